//! Several messages that are stored as one: all or none (ADR-50).

use std::collections::{HashMap, HashSet};

use super::{
    asks::{Asks, Rollup},
    clock::Nanos,
    intake::{Place, Staged},
    refusal::Refusal,
    stream::State,
};
use crate::{bus::Message, jetstream::error::number};

/// What was checked of a message.
struct Checked<'a> {
    message: &'a Message,
    id: Option<&'a str>,
    rollup: Option<Rollup>,
}

/// What the messages before are about.
#[derive(Default)]
struct Before<'a> {
    ids: HashSet<&'a str>,
    /// Subjects, and how many messages of each.
    written: HashMap<&'a str, u64>,
    /// Subjects whose last place was expected to be some.
    expected: HashSet<&'a str>,
    staged: Staged,
}

impl State {
    /// Stores all of these, or none; where the last one is.
    pub(super) fn publish_batch(&mut self, messages: &[Message], now: Nanos) -> Result<Place, Refusal> {
        if !self.spec.allow_atomic_publish {
            return Err(Refusal::new(number::BATCH_DISABLED, 400, "atomic publish is disabled"));
        }
        let mut before = Before::default();
        let mut checked = Vec::with_capacity(messages.len());
        for message in messages {
            checked.push(self.check_in_batch(message, &mut before, now)?);
        }
        let mut place = Place { sequence: self.store.log.last(), duplicate: false };
        for Checked { message, id, rollup } in checked {
            let is_wanted = self.has_interest(message);
            place.sequence = self.add(message, id, rollup, is_wanted, now);
        }
        Ok(place)
    }

    fn check_in_batch<'a>(
        &mut self,
        message: &'a Message,
        before: &mut Before<'a>,
        now: Nanos,
    ) -> Result<Checked<'a>, Refusal> {
        self.check_size(message)?;
        let subject = message.subject.as_str();
        let is_first = before.written.is_empty();
        let asks = Asks::of(message);
        asks.check(&self.spec)?;
        if asks.last_id.is_some() {
            let why = "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id";
            return Err(Refusal::new(number::BATCH_HEADER, 400, why));
        }
        let unknown = || Refusal::new(number::WRONG_LAST_SEQUENCE_CONSTANT, 400, "wrong last sequence");
        if let Some(expected) = asks.last_subject_sequence {
            let of = asks.last_subject.unwrap_or(subject);
            if before.written.contains_key(of) || !before.expected.insert(of) {
                return Err(unknown());
            }
            Asks::is_last(expected, self.last_of(of))?;
        }
        match asks.last_sequence {
            Some(expected) if is_first => Asks::is_last(expected, self.store.log.last())?,
            Some(_) => return Err(unknown()),
            None => {}
        }
        if let Some(id) = asks.id {
            let is_known = self.dedup.find(id, now, self.duplicate_window()).is_some();
            if is_known || !before.ids.insert(id) {
                let why = "atomic publish batch contains duplicate message id";
                return Err(Refusal::new(number::BATCH_DUPLICATE, 400, why));
            }
        }
        let rollup = asks.rollup(&self.spec)?;
        match rollup {
            Some(Rollup::All) if !is_first => return Err(Refusal::rollup("batch rollup all invalid")),
            Some(Rollup::Subject) if before.written.contains_key(subject) => {
                return Err(Refusal::rollup("batch rollup sub invalid"));
            }
            _ => {}
        }
        let of_subject = before.written.entry(subject).or_default();
        if self.has_interest(message) {
            self.check_room(message, rollup, Staged { of_subject: *of_subject, ..before.staged })?;
        }
        *of_subject += 1;
        before.staged.messages += 1;
        before.staged.bytes += self.weight(message);
        Ok(Checked { message, id: asks.id, rollup })
    }
}

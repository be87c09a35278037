//! How messages are looked at one by one, and taken out by hand.

use std::borrow::Cow;

use super::{
    log::View,
    refusal::Refusal,
    republish::Republisher,
    stream::{State, keeps_places},
    wants::Wants,
};
use crate::{
    Result,
    jetstream::{Get, Purge, Retention, StoredMessage, StreamSpec, error::number},
};

impl State {
    pub(super) fn get(&mut self, get: &Get) -> Result<Option<StoredMessage>> {
        let sequence = match get {
            Get::Sequence(0) => return Err(Refusal::bad_request().into()),
            Get::Sequence(sequence) => Some(*sequence),
            Get::Last(subject) => self.store.last_of(subject),
            Get::Next { from, subject } => {
                let wants = Wants::new(&[Cow::Owned(subject.clone())], &self.store.subjects);
                let mut views = self.store.log.from(*from);
                views.find(|view| wants.has(view.entry.subject)).map(|view| view.sequence)
            }
        };
        let view = sequence.and_then(|sequence| self.store.log.get(sequence));
        Ok(view.and_then(|view| self.store.stored(view)))
    }

    pub(super) fn delete(&mut self, sequence: u64) -> Result<()> {
        if self.spec.deny_delete {
            return Err(Refusal::new(number::DELETE_FAILED, 500, "message delete not permitted").into());
        }
        match self.remove(sequence) {
            true => Ok(()),
            false => {
                let why = format!("sequence {sequence} not found");
                Err(Refusal::new(number::SEQUENCE_NOT_FOUND, 400, why).into())
            }
        }
    }

    pub(super) fn purge(&mut self, purge: &Purge) -> Result<u64> {
        if purge.before.is_some() && purge.keep.is_some() {
            return Err(Refusal::bad_request().into());
        }
        let messages = self.store.log.messages();
        let filter = purge.subject.iter().map(|subject| Cow::Owned(subject.clone())).collect::<Vec<_>>();
        let wants = Wants::new(&filter, &self.store.subjects);
        let before = purge.before.filter(|before| *before > 0).unwrap_or(u64::MAX);
        let is_it = |view: &View<'_>| view.sequence < before && wants.has(view.entry.subject);
        let views = self.store.log.from(0).filter(is_it);
        let mut sequences: Vec<_> = views.map(|view| view.sequence).collect();
        if let Some(keep) = purge.keep {
            let gone = sequences.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
            sequences.truncate(gone);
        }
        for sequence in sequences {
            self.remove(sequence);
        }
        if purge.subject.as_deref().is_none_or(|subject| subject == ">") {
            // The server goes on where it was told to begin, also where nothing has been yet.
            self.store.log.skip_to(purge.before.unwrap_or(0).saturating_sub(1));
        }
        self.pass_over(purge.subject.as_deref());
        Ok(messages - self.store.log.messages())
    }

    pub(super) fn subjects(&self, filter: &str) -> Vec<(String, u64)> {
        let numbers = self.store.subjects.matching(filter).into_iter();
        let mut subjects: Vec<_> = numbers
            .filter_map(|number| {
                let subject = self.store.subjects.subject(number)?;
                Some((subject.as_str().to_owned(), self.store.subjects.messages(number)))
            })
            .collect();
        subjects.sort_unstable();
        subjects
    }

    /// Takes out what consumers have done with. What none of them ever got stays, as on the server, where each
    /// says again what it has acknowledged, unless it begins behind the end; without any consumer nothing does.
    fn settle_done(&mut self) {
        let end = self.store.log.last();
        let is_done = |view: &View<'_>| {
            let mut consumers = self.consumers.iter().filter(|consumer| consumer.floor <= end);
            consumers.any(|consumer| consumer.has_done(view.sequence, view.entry.subject))
        };
        let views = self.store.log.from(0).filter(|view| self.consumers.is_empty() || is_done(view));
        let sequences: Vec<_> = views.map(|view| view.sequence).collect();
        sequences.into_iter().for_each(|sequence| self.settle(sequence));
    }

    /// Makes the stream another.
    pub(super) fn change(&mut self, spec: StreamSpec) {
        self.store.subjects.keep_places(keeps_places(&spec), &self.store.log);
        self.republish = spec.republish.as_ref().and_then(Republisher::new);
        let begins_to_ask = spec.retention == Retention::Interest && self.spec.retention != Retention::Interest;
        self.spec = spec;
        if begins_to_ask {
            self.settle_done();
        }
        // In the order of the server: what the stream as a whole drops, its subjects need not.
        self.discard_oldest();
        let subjects: Vec<_> = self.store.subjects.iter().map(|(_, number)| number).collect();
        subjects.into_iter().for_each(|subject| self.discard(subject));
    }
}

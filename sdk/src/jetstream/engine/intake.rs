//! How a message comes into a stream: what is checked, in the order of nats-server.

use super::{
    asks::{Asks, Rollup},
    clock::Nanos,
    refusal::Refusal,
    stream::State,
    ttl::Ttl,
};
use crate::{
    bus::Message,
    jetstream::{Discard, Retention, error::number},
};

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) duplicate: bool,
}

/// What is stored together, and not stored yet.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Staged {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Of the same subject.
    pub(super) of_subject: u64,
}

impl State {
    /// Stores a message, if it may be.
    pub(super) fn publish(&mut self, message: &Message, now: Nanos) -> Result<Place, Refusal> {
        self.check_size(message)?;
        let mut id = None;
        let mut rollup = None;
        if !message.headers.is_empty() {
            let asks = Asks::of(message);
            asks.check(&self.spec)?;
            if let Some(expected) = asks.last_subject_sequence {
                Asks::is_last(expected, self.last_of(asks.last_subject.unwrap_or(message.subject.as_str())))?;
            }
            if let Some(expected) = asks.last_sequence {
                Asks::is_last(expected, self.store.log.last())?;
            }
            id = asks.id;
            if let Some(sequence) = id.and_then(|id| self.dedup.find(id, now, self.duplicate_window())) {
                return Ok(Place { sequence, duplicate: true });
            }
            if asks.last_id.is_some_and(|id| id != self.dedup.last) {
                let why = format!("wrong last msg ID: {}", self.dedup.last);
                return Err(Refusal::new(number::WRONG_LAST_ID, 400, why));
            }
            rollup = asks.rollup(&self.spec)?;
        }
        let is_wanted = self.has_interest(message);
        if is_wanted {
            self.check_room(message, rollup, Staged::default())?;
        }
        Ok(Place { sequence: self.add(message, id, rollup, is_wanted, now), duplicate: false })
    }

    /// The last place of a subject, which may have wildcards; 0: there is none.
    pub(super) fn last_of(&mut self, subject: &str) -> u64 {
        self.store.last_of(subject).unwrap_or(0)
    }

    pub(super) fn check_size(&self, message: &Message) -> Result<(), Refusal> {
        let headers = message.headers.wire_len();
        let size = headers + message.payload.len();
        if self.spec.max_message_bytes.is_some_and(|most| size > most as usize) {
            return Err(Refusal::new(number::STREAM_MESSAGE_TOO_LARGE, 400, "message size exceeds maximum allowed"));
        }
        if headers > usize::from(u16::MAX) {
            let why = "header size exceeds maximum allowed of 64k";
            return Err(Refusal::new(number::HEADERS_TOO_LARGE, 400, why));
        }
        Ok(())
    }

    /// Whether anybody will ever read it.
    pub(super) fn has_interest(&self, message: &Message) -> bool {
        self.spec.retention != Retention::Interest
            || self.consumers.iter().any(|consumer| consumer.wants.has_subject(message.subject.as_str()))
    }

    /// Whether a stream that refuses what is too much has room for it, beside what is staged.
    pub(super) fn check_room(
        &mut self,
        message: &Message,
        rollup: Option<Rollup>,
        staged: Staged,
    ) -> Result<(), Refusal> {
        if self.spec.discard != Discard::New {
            return Ok(());
        }
        let number = self.store.subjects.number(message.subject.as_str());
        let of_subject = number.map_or(0, |number| self.store.subjects.messages(number)) + staged.of_subject;
        // Where its subject is full, it takes the place of an older message.
        let replaces = self.spec.max_messages_per_subject.is_some_and(|most| of_subject >= most);
        if replaces && self.spec.discard_new_per_subject && rollup.is_none() {
            return Err(Refusal::full("maximum messages per subject exceeded"));
        }
        let messages = self.store.log.messages() + staged.messages;
        if !replaces && self.spec.max_messages.is_some_and(|most| messages >= most) {
            return Err(Refusal::full("maximum messages exceeded"));
        }
        let weight = self.weight(message);
        let bytes = self.store.bytes + staged.bytes + weight;
        if self.spec.max_bytes.is_some_and(|most| bytes > most) {
            // The server does no sum here: the older message has to be as large.
            let older = number.filter(|_| replaces).and_then(|number| {
                let first = self.store.subjects.first(number, &self.store.log)?;
                let entry = self.store.log.get(first)?.entry;
                let (headers, payload) = (entry.headers as usize, entry.payload as usize);
                Some(self.store.weight(message.subject.as_str().len(), headers, payload))
            });
            if older.is_none_or(|older| older < weight) {
                return Err(Refusal::full("maximum bytes exceeded"));
            }
        }
        Ok(())
    }

    pub(super) fn weight(&self, message: &Message) -> u64 {
        self.store.weight(message.subject.as_str().len(), message.headers.wire_len(), message.payload.len())
    }

    /// Gives a message that was checked its place, and stores it there if anybody wants it.
    pub(super) fn add(
        &mut self,
        message: &Message,
        id: Option<&str>,
        rollup: Option<Rollup>,
        is_wanted: bool,
        now: Nanos,
    ) -> u64 {
        self.dedup.last.clear();
        let last_of_subject = self.republish.as_ref().map(|_| self.store.last_of(message.subject.as_str()));
        let sequence = match is_wanted {
            true => self.store(message, now),
            false => self.store.log.skip(),
        };
        if let Some(rollup) = rollup {
            // It replaces the others even where nobody wants it.
            let subject = (rollup == Rollup::Subject).then_some(message.subject.as_str());
            let number = subject.and_then(|subject| self.store.subjects.number(subject));
            self.remove_where(|place, of| place < sequence && (subject.is_none() || Some(of) == number));
            self.pass_over(subject);
        }
        if let Some(id) = id {
            self.dedup.last.push_str(id);
            let window = self.duplicate_window();
            self.dedup.insert(id, sequence, now, window);
        }
        if let Some(last) = last_of_subject.filter(|_| is_wanted) {
            self.republish(message, sequence, last.unwrap_or(0), now);
        }
        sequence
    }

    fn store(&mut self, message: &Message, now: Nanos) -> u64 {
        let added = self.store.add(&message.subject, &message.headers, &message.payload, now);
        if self.spec.allow_message_ttl
            && let Some(end) = Ttl::of(&message.headers).and_then(|ttl| ttl.end(now))
        {
            self.store.expire_at(added.sequence, end);
        }
        for consumer in &mut self.consumers {
            if added.is_new {
                consumer.wants.learn(added.subject, message.subject.as_str());
            }
            consumer.added(added.sequence, added.subject, &mut self.wakes);
        }
        self.discard(added.subject);
        added.sequence
    }

    /// Makes room: what is over a limit goes, oldest first.
    pub(super) fn discard(&mut self, subject: u32) {
        if let Some(most) = self.spec.max_messages_per_subject {
            while self.store.subjects.messages(subject) > most {
                let Some(first) = self.store.subjects.first(subject, &self.store.log) else { break };
                self.remove(first);
            }
        }
        self.discard_oldest();
    }

    /// The same, for the limits of the stream as a whole. One that refuses drops nothing, not even
    /// when a limit shrinks.
    pub(super) fn discard_oldest(&mut self) {
        if self.spec.discard == Discard::New {
            return;
        }
        let (messages, bytes) = (self.spec.max_messages, self.spec.max_bytes);
        while messages.is_some_and(|most| self.store.log.messages() > most)
            || bytes.is_some_and(|most| self.store.bytes > most)
        {
            let Some(first) = self.store.log.first().map(|view| view.sequence) else { break };
            self.remove(first);
        }
    }

    /// Takes messages out, by place and number of subject.
    fn remove_where(&mut self, which: impl Fn(u64, u32) -> bool) {
        let views = self.store.log.from(0).filter(|view| which(view.sequence, view.entry.subject));
        let sequences: Vec<_> = views.map(|view| view.sequence).collect();
        for sequence in sequences {
            self.remove(sequence);
        }
    }
}

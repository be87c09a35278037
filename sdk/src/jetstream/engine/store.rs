//! [`Store`]: what a stream has, and what it weighs.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    clock::{self, Nanos},
    log::{Entry, Log, View},
    subjects::Subjects,
    ttl::Ttl,
};
use crate::{
    bus::{Headers, Message, Subject},
    jetstream::{Storage, StoredMessage},
};

/// What a stream has, and what it weighs.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) log: Log,
    pub(super) subjects: Subjects,
    storage: Storage,
    /// Bytes that the messages take, as the server counts.
    pub(super) bytes: u64,
    /// Messages with a time to live of their own, and when it ends.
    expiring: BTreeSet<(Nanos, u64)>,
    /// The next place whose message will be too old.
    aging: u64,
}

/// What a message is in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub(super) sequence: u64,
    /// The number of its subject.
    pub(super) subject: u32,
    /// Whether the subject had no number before.
    pub(super) is_new: bool,
}

impl Store {
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage, ..Self::default() }
    }

    pub(super) fn add(&mut self, subject: &Subject, headers: &Headers, payload: &Bytes, now: Nanos) -> Added {
        let (number, is_new) = self.subjects.number_or_new(subject);
        let sequence = self.log.append(number, now, headers, payload);
        self.subjects.added(number, sequence);
        self.bytes += self.weight(subject.as_str().len(), headers.wire_len(), payload.len());
        Added { sequence, subject: number, is_new }
    }

    /// The message goes at that time.
    pub(super) fn expire_at(&mut self, sequence: u64, time: Nanos) {
        self.expiring.insert((time, sequence));
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        if !self.expiring.is_empty()
            && let Some(view) = self.log.get(sequence)
            && let Some(end) = Ttl::of(&view.headers()).and_then(|ttl| ttl.end(view.entry.time))
        {
            self.expiring.remove(&(end, sequence));
        }
        let entry = self.log.remove(sequence)?;
        let subject = self.subjects.subject(entry.subject).map_or(0, |subject| subject.as_str().len());
        let weight = self.weight(subject, entry.headers as usize, entry.payload as usize);
        self.bytes = self.bytes.saturating_sub(weight);
        self.subjects.removed(entry.subject, sequence);
        Some(entry)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.log.clear();
        self.subjects.clear();
        self.expiring.clear();
        self.bytes = 0;
    }

    /// A message that goes now: one that is as old as `age`, or whose own time to live is over.
    pub(super) fn expired(&mut self, age: Option<Nanos>, now: Nanos) -> Option<u64> {
        while let Some(view) = age.and_then(|_| self.log.from(self.aging).next()) {
            if age.is_none_or(|age| view.entry.time.saturating_add(age) > now) {
                break;
            }
            self.aging = view.sequence + 1;
            if Ttl::of(&view.headers()) != Some(Ttl::Never) {
                return Some(view.sequence);
            }
        }
        self.expiring.first().filter(|(end, _)| *end <= now).map(|(_, sequence)| *sequence)
    }

    /// When a message goes next.
    pub(super) fn next_expiry(&self, age: Option<Nanos>) -> Option<Nanos> {
        let aging = age.and_then(|age| Some(self.log.from(self.aging).next()?.entry.time.saturating_add(age)));
        let own = self.expiring.first().map(|(end, _)| *end);
        [aging, own].into_iter().flatten().min()
    }

    /// Bytes that a message takes, as the server counts: more than it has, and by kind of storage.
    pub(super) fn weight(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        let own = match self.storage {
            Storage::Memory => 16,
            Storage::File if headers > 0 => 34,
            Storage::File => 30,
        };
        (own + subject + headers + payload) as u64
    }

    pub(super) fn stored(&self, view: View<'_>) -> Option<StoredMessage> {
        let subject = self.subjects.subject(view.entry.subject)?.clone();
        let (headers, payload) = view.parts();
        let message = Message::new(subject, payload).with_headers(headers);
        Some(StoredMessage { message, sequence: view.sequence, time: clock::to_system(view.entry.time) })
    }

    /// The newest message of a subject, which may have wildcards.
    pub(super) fn last_of(&mut self, subject: &str) -> Option<u64> {
        let numbers = self.subjects.matching(subject);
        numbers.into_iter().filter_map(|number| self.subjects.last(number, &self.log)).max()
    }
}

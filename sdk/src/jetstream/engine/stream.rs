//! [`Stream`]: one stream, behind its lock.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Waker,
};

use super::{
    answer::Stored,
    clock::{self, Clock, Nanos, nanos},
    consumer::Consumer,
    dedup::Dedup,
    refusal::Refusal,
    republish::Republisher,
    store::Store,
    wants::Wants,
};
use crate::{
    Result, Status,
    bus::{Message, Router},
    jetstream::{Ack, Delivered, Pull, Retention, StreamInfo, StreamSpec},
    wire::pattern,
};

/// One stream, behind its lock.
pub(crate) struct Stream {
    pub(super) name: Arc<str>,
    pub(super) clock: Arc<Clock>,
    router: Weak<Router>,
    state: Mutex<State>,
}

/// What a stream is made of.
pub(super) struct State {
    /// When it was made. No other stream was then.
    created: Nanos,
    pub(super) spec: StreamSpec,
    pub(super) republish: Option<Republisher>,
    pub(super) store: Store,
    pub(super) dedup: Dedup,
    /// In the order in which they were made.
    pub(super) consumers: Vec<Consumer>,
    /// Numbers given to consumers and readers so far.
    pub(super) serials: u64,
    /// Why it takes part in nothing any more.
    pub(super) gone: Option<Status>,
    /// Who is to look again, when the lock is free.
    pub(super) wakes: Vec<Waker>,
    /// What is to be published, when the lock is free.
    pub(super) outbox: Vec<Message>,
}

impl Stream {
    pub(super) fn new(spec: StreamSpec, clock: &Arc<Clock>, router: &Arc<Router>) -> Self {
        let mut store = Store::new(spec.storage);
        store.subjects.keep_places(keeps_places(&spec), &store.log);
        Self {
            name: spec.name.as_ref().into(),
            clock: clock.clone(),
            router: Arc::downgrade(router),
            state: Mutex::new(State {
                created: clock.now_only(),
                republish: spec.republish.as_ref().and_then(Republisher::new),
                spec,
                store,
                dedup: Dedup::default(),
                consumers: Vec::new(),
                serials: 0,
                gone: None,
                wakes: Vec::new(),
                outbox: Vec::new(),
            }),
        }
    }

    /// Does something with the stream as it is now.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut State, Nanos) -> R) -> R {
        let (answer, outbox) = self.act(act);
        if !outbox.is_empty()
            && let Some(router) = self.router.upgrade()
        {
            outbox.into_iter().for_each(|message| router.post(message));
        }
        answer
    }

    /// The same, and what is to be published because of it.
    fn act<R>(&self, act: impl FnOnce(&mut State, Nanos) -> R) -> (R, Vec<Message>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that messages lie in the order of their times.
        let now = self.clock.now();
        state.expire(now);
        let answer = act(&mut state, now);
        let wakes = mem::take(&mut state.wakes);
        let outbox = mem::take(&mut state.outbox);
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        (answer, outbox)
    }

    /// Stores a message, if it may be.
    pub(crate) fn publish(&self, message: &Message) -> Stored {
        let (place, copies) = self.act(|state, now| state.publish(message, now));
        Stored::new(&self.name, place, copies)
    }

    /// Stores all of these messages, or none.
    pub(super) fn publish_batch(&self, messages: &[Message]) -> Stored {
        let (place, copies) = self.act(|state, now| state.publish_batch(messages, now));
        Stored::new(&self.name, place, copies)
    }

    /// Ends everything.
    pub(crate) fn end(&self, why: Status) {
        self.with(|state, _| state.end(why));
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether the oldest message of a subject is wanted often.
pub(super) fn keeps_places(spec: &StreamSpec) -> bool {
    spec.max_messages_per_subject.is_some_and(|most| most > 1)
}

impl State {
    /// The consumer of this number.
    ///
    /// # Errors
    /// It is gone, or the stream is.
    pub(super) fn consumer(&mut self, serial: u64) -> Result<&mut Consumer> {
        let index = self.consumer_index(serial)?;
        self.consumers.get_mut(index).ok_or_else(|| Refusal::consumer_not_found().into())
    }

    fn consumer_index(&self, serial: u64) -> Result<usize> {
        if let Some(status) = &self.gone {
            return Err(status.clone());
        }
        let index = self.consumers.binary_search_by_key(&serial, |consumer| consumer.handle.serial);
        index.map_err(|_| Refusal::consumer_not_found().into())
    }

    /// Hands out messages of a consumer.
    pub(super) fn take(&mut self, serial: u64, now: Nanos, pull: &Pull, held: &mut VecDeque<Delivered>) -> Result<()> {
        let index = self.consumer_index(serial)?;
        let mut done = Vec::new();
        if let Some(consumer) = self.consumers.get_mut(index) {
            consumer.take(&self.store, now, pull, held, &mut done, &mut self.wakes);
            self.outbox.append(&mut consumer.advisories);
        }
        if self.spec.retention != Retention::Limits {
            done.into_iter().for_each(|sequence| self.settle(sequence));
        }
        Ok(())
    }

    /// Notes that a reader waits; when it has to look again by itself.
    pub(super) fn wait(&mut self, serial: u64, reader: u64, waker: &Waker) -> Option<Nanos> {
        let freed = self.store.next_expiry(self.spec.max_age.map(nanos));
        let store = &self.store;
        let consumer = self.consumers.iter_mut().find(|consumer| consumer.handle.serial == serial)?;
        let freed = freed.filter(|_| consumer.is_full());
        let due = [consumer.next_due(store), freed].into_iter().flatten().min();
        consumer.readers.wait(reader, waker.clone(), due);
        due
    }

    /// A reader is gone.
    pub(super) fn left(&mut self, serial: u64, reader: u64, waited: bool, now: Nanos) {
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.handle.serial == serial) else {
            return;
        };
        consumer.readers.count -= 1;
        consumer.readers.idle_since = now;
        if waited && !consumer.readers.stop_waiting(reader) {
            // It was woken for a message that it did not take.
            consumer.readers.wake_one(&mut self.wakes);
        }
    }

    pub(super) fn ack(&mut self, serial: u64, sequence: u64, ack: &Ack, now: Nanos) -> Result<()> {
        let index = self.consumer_index(serial)?;
        let Some(consumer) = self.consumers.get_mut(index) else { return Ok(()) };
        let settled = consumer.ack(sequence, ack, now, &mut self.wakes);
        if settled && self.spec.retention != Retention::Limits {
            self.settle(sequence);
        }
        Ok(())
    }

    /// A consumer has done with a message: it goes, if nobody else needs it.
    pub(super) fn settle(&mut self, sequence: u64) {
        let Some(subject) = self.store.log.get(sequence).map(|view| view.entry.subject) else { return };
        let needed = self.spec.retention == Retention::Interest
            && self.consumers.iter().any(|consumer| consumer.needs(sequence, subject));
        if !needed {
            self.remove(sequence);
        }
    }

    /// The same for everything in this place and after it.
    pub(super) fn settle_from(&mut self, place: u64) {
        let sequences: Vec<_> = self.store.log.from(place).map(|view| view.sequence).collect();
        sequences.into_iter().for_each(|sequence| self.settle(sequence));
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let Some(entry) = self.store.remove(sequence) else { return false };
        for consumer in &mut self.consumers {
            consumer.removed(sequence, entry.subject, &mut self.wakes);
        }
        true
    }

    /// Everything was purged, or this subject, which may have wildcards: consumers go on with what is left. As on
    /// the server one that reads nothing else goes on with what is left of the subject, one that reads more with
    /// what is left of the stream, and one that reads another stays where it is.
    pub(super) fn pass_over(&mut self, purged: Option<&str>) {
        let (first, end) = (self.store.log.first_sequence(), self.store.log.last() + 1);
        let left = purged.map_or(first, |subject| {
            let wants = Wants::new(&[Cow::Owned(subject.to_owned())], &self.store.subjects);
            self.store.log.from(0).find(|view| wants.has(view.entry.subject)).map_or(end, |view| view.sequence)
        });
        for consumer in &mut self.consumers {
            let filters = &consumer.spec.filters;
            let place = match purged {
                None => first,
                Some(_) if filters.is_empty() => first,
                Some(subject) if filters.iter().all(|filter| pattern::covers(subject, filter)) => left,
                Some(subject) if filters.iter().any(|filter| pattern::covers(filter, subject)) => first,
                Some(_) => continue,
            };
            consumer.pass_over(place.saturating_sub(1));
        }
    }

    /// Does what time has brought.
    fn expire(&mut self, now: Nanos) {
        let age = self.spec.max_age.map(nanos);
        while let Some(sequence) = self.store.expired(age, now) {
            self.remove(sequence);
        }
        if self.consumers.iter().any(|consumer| consumer.is_idle(now)) {
            self.forget_consumers(|consumer| consumer.is_idle(now));
        }
        self.dedup.expire(now, self.duplicate_window());
    }

    pub(super) fn duplicate_window(&self) -> Nanos {
        self.spec.duplicate_window.map_or(0, nanos)
    }

    /// Takes consumers away, and what only they kept.
    pub(super) fn forget_consumers(&mut self, which: impl Fn(&Consumer) -> bool) {
        let (gone, left): (Vec<_>, Vec<_>) = mem::take(&mut self.consumers).into_iter().partition(which);
        self.consumers = left;
        for mut consumer in gone {
            consumer.readers.wake_all(&mut self.wakes);
            if self.spec.retention == Retention::Interest {
                // As on the server: only what this consumer might have acknowledged yet, while there is
                // another one.
                self.settle_from(if self.consumers.is_empty() { 0 } else { consumer.floor });
            }
        }
    }

    /// Ends everything.
    pub(super) fn end(&mut self, why: Status) {
        self.gone = Some(why);
        self.consumers.iter_mut().for_each(|consumer| consumer.readers.wake_all(&mut self.wakes));
        self.store.clear();
    }

    pub(super) fn info(&self) -> StreamInfo {
        let first = self.store.log.first();
        StreamInfo {
            spec: self.spec.clone(),
            messages: self.store.log.messages(),
            bytes: self.store.bytes,
            first_sequence: self.store.log.first_sequence(),
            last_sequence: self.store.log.last(),
            first_time: first.map(|view| clock::to_system(view.entry.time)),
            consumers: self.consumers.len() as u64,
            created: clock::to_system(self.created),
        }
    }
}

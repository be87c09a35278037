//! [`Consumer`]: a place in a stream, and what is out from it.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use super::{
    advisory,
    clock::{self, Nanos, nanos},
    deliveries::{Handle, Ticket},
    log::View,
    pending::{Out, Pending},
    replay::Replay,
    store::Store,
    wants::Wants,
};
use crate::{
    bus::{Headers, Message},
    jetstream::{
        Ack, AckPolicy, ConsumerInfo, ConsumerSpec, Delivered, Pull, delivery, header, spec::MAX_DELIVER_RESERVE,
    },
};

/// A place in a stream, and what is out from it.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) handle: Arc<Handle>,
    pub(super) spec: ConsumerSpec,
    pub(super) wants: Wants,
    /// What comes before everything else: the last message of each subject.
    pub(super) heads: VecDeque<u64>,
    /// The next place to look at.
    pub(super) next: u64,
    /// Messages that it wants and has not handed out.
    pub(super) unseen: u64,
    pub(super) pending: Pending,
    pub(super) replay: Option<Replay>,
    /// What was handed out so far, each time counted.
    pub(super) handed_out: u64,
    /// The last place handed out.
    pub(super) delivered: u64,
    /// Up to where everything is acknowledged.
    pub(super) floor: u64,
    /// What it has to tell the world.
    pub(super) advisories: Vec<Message>,
    pub(super) readers: Readers,
}

/// Who reads a consumer.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// How many there are.
    pub(super) count: usize,
    /// When somebody read or acknowledged last, or the consumer was made.
    pub(super) idle_since: Nanos,
    /// Those who wait for a message, longest first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    reader: u64,
    waker: Waker,
    /// When its timer fires.
    due: Option<Nanos>,
}

impl Readers {
    pub(super) fn new(now: Nanos) -> Self {
        Self { idle_since: now, ..Self::default() }
    }

    pub(super) fn wait(&mut self, reader: u64, waker: Waker, due: Option<Nanos>) {
        self.waiting.push_back(Waiting { reader, waker, due });
    }

    /// Whether it did wait.
    pub(super) fn stop_waiting(&mut self, reader: u64) -> bool {
        let place = self.waiting.iter().position(|waiting| waiting.reader == reader);
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    /// The one who has waited longest.
    pub(super) fn wake_one(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.waiting.pop_front().map(|waiting| waiting.waker));
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.waiting.drain(..).map(|waiting| waiting.waker));
    }

    /// Wakes those whose timers fire too late for what is due at `due`.
    fn rearm(&mut self, due: Option<Nanos>, wakes: &mut Vec<Waker>) {
        let Some(due) = due else { return };
        if self.waiting.iter().any(|waiting| waiting.due.is_none_or(|timer| timer > due)) {
            self.wake_all(wakes);
        }
    }
}

/// What a reader has room for: one message at least.
struct Room {
    messages: usize,
    bytes: usize,
    is_untouched: bool,
}

impl Room {
    fn takes(&mut self, view: &View<'_>) -> bool {
        let bytes = (view.entry.headers + view.entry.payload) as usize;
        if !self.is_untouched && (self.messages == 0 || self.bytes < bytes) {
            return false;
        }
        self.is_untouched = false;
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

impl Consumer {
    /// Hands out what is due and what is new, as much as `pull` takes. Tells `done` what needs no
    /// acknowledgement.
    pub(super) fn take(
        &mut self,
        store: &Store,
        now: Nanos,
        pull: &Pull,
        held: &mut VecDeque<Delivered>,
        done: &mut Vec<u64>,
        wakes: &mut Vec<Waker>,
    ) {
        let mut room = Room { messages: pull.messages, bytes: pull.bytes, is_untouched: true };
        self.pending.expire(now);
        self.take_due(store, now, &mut room, held);
        self.take_new(store, now, &mut room, held, done);
        self.readers.rearm(self.pending.next_due(), wakes);
    }

    fn take_due(&mut self, store: &Store, now: Nanos, room: &mut Room, held: &mut VecDeque<Delivered>) {
        while let Some(Out { sequence, attempt, .. }) = self.pending.due() {
            let most = self.spec.max_deliver.map_or(u32::MAX, |most| most.saturating_add(MAX_DELIVER_RESERVE));
            if attempt >= most {
                // It is out no more, and it stays in the stream.
                self.pending.remove(sequence);
                self.advisories.push(advisory::max_deliveries(&self.handle, sequence, attempt));
                continue;
            }
            let Some(view) = store.log.get(sequence) else {
                self.settled(sequence);
                continue;
            };
            if !room.takes(&view) {
                return;
            }
            let attempt = attempt + 1;
            self.pending.again(sequence, now.saturating_add(self.wait(attempt)));
            held.extend(self.hand_out(store, view, attempt));
        }
    }

    fn take_new(
        &mut self,
        store: &Store,
        now: Nanos,
        room: &mut Room,
        held: &mut VecDeque<Delivered>,
        done: &mut Vec<u64>,
    ) {
        while let Some(sequence) = self.heads.front().copied() {
            if let Some(view) = store.log.get(sequence)
                && !self.take_one(store, view, now, room, held, done)
            {
                return;
            }
            self.heads.pop_front();
        }
        for view in store.log.from(self.next) {
            if self.wants.has(view.entry.subject) && !self.take_one(store, view, now, room, held, done) {
                return;
            }
            self.next = view.sequence + 1;
        }
        self.next = self.next.max(store.log.last() + 1);
    }

    /// Hands out a message for the first time, if that can be now.
    fn take_one(
        &mut self,
        store: &Store,
        view: View<'_>,
        now: Nanos,
        room: &mut Room,
        held: &mut VecDeque<Delivered>,
        done: &mut Vec<u64>,
    ) -> bool {
        if self.is_full() || self.replay.as_ref().is_some_and(|replay| replay.holds(&view, now)) {
            return false;
        }
        if !room.takes(&view) {
            return false;
        }
        if let Some(replay) = &mut self.replay {
            replay.handed_out(&view, now);
        }
        match self.spec.ack {
            AckPolicy::Explicit => self.pending.push(view.sequence, now.saturating_add(self.wait(1))),
            AckPolicy::None => {
                done.push(view.sequence);
                self.floor = view.sequence;
            }
        }
        self.unseen = self.unseen.saturating_sub(1);
        self.delivered = self.delivered.max(view.sequence);
        held.extend(self.hand_out(store, view, 1));
        true
    }

    fn hand_out(&mut self, store: &Store, view: View<'_>, attempt: u32) -> Option<Delivered> {
        self.handed_out += 1;
        let subject = store.subjects.subject(view.entry.subject)?.clone();
        let message = match self.spec.headers_only {
            false => {
                let (headers, payload) = view.parts();
                Message { headers, ..Message::new(subject, payload) }
            }
            true => Message { headers: self.headers_only(&view), ..Message::new(subject, bytes::Bytes::new()) },
        };
        Some(Delivered {
            message,
            origin: self.handle.origin.clone(),
            stream_sequence: view.sequence,
            consumer_sequence: self.handed_out,
            attempt,
            is_readable: true,
            time: clock::to_system(view.entry.time),
            pending: self.unseen,
            ticket: delivery::Ticket::Memory(Ticket::new(&self.handle, view.sequence)),
        })
    }

    fn headers_only(&self, view: &View<'_>) -> Headers {
        let mut headers = view.headers();
        headers.append(header::SIZE, view.entry.payload.to_string());
        headers
    }

    /// Whether as much is out as may be.
    pub(super) fn is_full(&self) -> bool {
        self.spec.ack == AckPolicy::Explicit && self.pending.len() >= self.spec.max_ack_pending as usize
    }

    /// How long a message may be out at this attempt.
    fn wait(&self, attempt: u32) -> Nanos {
        let last = self.spec.backoff.len().saturating_sub(1);
        let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(last);
        nanos(self.spec.backoff.get(place).copied().unwrap_or(self.spec.ack_wait))
    }

    /// When a reader has to look again, though nobody publishes or acknowledges.
    pub(super) fn next_due(&self, store: &Store) -> Option<Nanos> {
        let replay = self.replay.as_ref().filter(|_| !self.is_full()).and_then(|replay| {
            let next = match self.heads.front() {
                Some(sequence) => store.log.get(*sequence),
                None => store.log.from(self.next).find(|view| self.wants.has(view.entry.subject)),
            };
            replay.due(&next?)
        });
        [self.pending.next_due(), replay].into_iter().flatten().min()
    }

    /// Learns what became of a delivery; whether the message is settled for this consumer.
    pub(super) fn ack(&mut self, sequence: u64, ack: &Ack, now: Nanos, wakes: &mut Vec<Waker>) -> bool {
        self.pending.expire(now);
        self.readers.idle_since = now;
        match ack {
            Ack::Done | Ack::Term(_) => {
                let was_full = self.is_full();
                let was_out = self.settled(sequence);
                if was_full && was_out && self.unseen > 0 {
                    self.readers.wake_one(wakes);
                }
                return was_out;
            }
            Ack::Retry(_) | Ack::Progress => {
                let Some(attempt) = self.pending.attempt(sequence) else { return false };
                let wait = match ack {
                    // The server moves the start of the wait so that the first wait would be over in
                    // time; a later one is longer by as much as it is longer.
                    Ack::Retry(delay) => nanos(*delay).saturating_add(self.wait(attempt).saturating_sub(self.wait(1))),
                    _ => self.wait(attempt),
                };
                self.pending.postpone(sequence, now.saturating_add(wait));
            }
        }
        self.readers.rearm(self.pending.next_due(), wakes);
        false
    }

    /// Whether it has not done with the message yet. What its filter leaves out it does not need, also while
    /// it is out.
    pub(super) fn needs(&self, sequence: u64, subject: u32) -> bool {
        self.wants.has(subject) && (self.is_ahead(sequence, subject) || self.pending.has(sequence))
    }

    /// Whether it has handed out the message, or passed it over, and it is out no more.
    pub(super) fn has_done(&self, sequence: u64, subject: u32) -> bool {
        self.wants.has(subject) && sequence <= self.delivered && !self.pending.has(sequence)
    }

    /// Whether it wants the message and has not handed it out.
    pub(super) fn is_ahead(&self, sequence: u64, subject: u32) -> bool {
        match sequence >= self.next {
            true => self.wants.has(subject),
            false => self.heads.binary_search(&sequence).is_ok(),
        }
    }

    /// A message is stored.
    pub(super) fn added(&mut self, sequence: u64, subject: u32, wakes: &mut Vec<Waker>) {
        if self.is_ahead(sequence, subject) {
            self.unseen += 1;
            if !self.is_full() {
                self.readers.wake_one(wakes);
            }
        }
    }

    /// A message is gone from the stream.
    pub(super) fn removed(&mut self, sequence: u64, subject: u32, wakes: &mut Vec<Waker>) {
        if self.is_ahead(sequence, subject) {
            self.unseen = self.unseen.saturating_sub(1);
            return;
        }
        let was_full = self.is_full();
        if self.settled(sequence) && was_full && self.unseen > 0 {
            self.readers.wake_one(wakes);
        }
    }

    /// There is nothing in this place and before it any more.
    pub(super) fn pass_over(&mut self, place: u64) {
        self.floor = self.floor.max(place);
        self.delivered = self.delivered.max(place);
        self.next = self.next.max(place + 1);
    }

    /// A delivery is out no more; whether it was.
    fn settled(&mut self, sequence: u64) -> bool {
        let first = self.pending.first();
        let was_out = self.pending.remove(sequence);
        if was_out && first == Some(sequence) {
            self.floor = self.pending.first().map_or(self.delivered, |first| first - 1);
        }
        was_out
    }

    pub(super) fn info(&self) -> ConsumerInfo {
        ConsumerInfo {
            spec: self.spec.clone(),
            pending: self.unseen,
            ack_pending: self.pending.len() as u64,
            redelivered: self.pending.redelivered() as u64,
            ack_floor: self.floor,
            delivered: self.delivered,
            waiting: self.readers.waiting.len() as u64,
        }
    }
}

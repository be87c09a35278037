//! [`Registry`]: every living subscription of a bus.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context as TaskContext, Poll},
};

use async_nats::Subscriber;
use futures_util::task::AtomicWaker;

use super::{Connection, disconnected, drain::Current, message};
use crate::{Result, wire::subject::Subject};

/// What the supervisor knows of one subscription.
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) subject: Subject,
    pub(super) queue: Option<String>,
    dropped: AtomicU64,
    reader: AtomicWaker,
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    /// The client that it is subscribed at.
    generation: Option<u64>,
    /// Its number there.
    sid: Option<u64>,
    /// What the reader goes on with when it has drained the one before.
    next: Option<Current>,
    closed: bool,
}

impl Slot {
    /// Subscribes at this client, unless that is done.
    pub(super) async fn establish(&self, connection: &Arc<Connection>) -> Result<()> {
        let client = &connection.client;
        let number = connection.number();
        let subject = message::outgoing(self.subject.clone());
        let subscribed = match &self.queue {
            Some(queue) => client.queue_subscribe(subject, queue.clone()).await,
            None => client.subscribe(subject).await,
        };
        // Subject and queue group were checked when the slot was made, so the client is dead.
        let subscriber = subscribed.map_err(|error| disconnected().with_source(error))?;
        let mut state = self.lock();
        if state.generation < Some(connection.generation) && !state.closed {
            state.generation = Some(connection.generation);
            state.sid = sid(&subscriber);
            state.next = Some(Current::new(subscriber, connection.clone(), number));
            drop(state);
            self.reader.wake();
        }
        Ok(())
    }

    /// What to go on with; `None` when the bus is closed.
    pub(super) fn poll_take(&self, cx: &mut TaskContext<'_>) -> Poll<Option<Current>> {
        self.reader.register(cx.waker());
        let mut state = self.lock();
        match state.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None if state.closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    pub(super) fn poll_closed(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        if self.lock().closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What to go on with, if it is there.
    pub(super) fn take(&self) -> Option<Current> {
        self.lock().next.take()
    }

    /// Messages that did not fit the buffer.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.reader.wake();
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every living subscription of a bus.
#[derive(Default)]
pub(super) struct Registry(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    added: u64,
    living: HashMap<u64, Weak<Slot>>,
    closed: bool,
}

impl Registry {
    pub(super) fn add(&self, subject: Subject, queue: Option<String>) -> Arc<Slot> {
        let mut slots = self.lock();
        slots.added += 1;
        let slot = Arc::new(Slot {
            id: slots.added,
            subject,
            queue,
            dropped: AtomicU64::new(0),
            reader: AtomicWaker::new(),
            state: Mutex::new(SlotState { closed: slots.closed, ..SlotState::default() }),
        });
        slots.living.insert(slot.id, Arc::downgrade(&slot));
        slot
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().living.remove(&id);
    }

    /// The subscriptions that are not made at this client yet.
    pub(super) fn missing(&self, generation: u64) -> Vec<Arc<Slot>> {
        let mut living = self.living();
        living.retain(|slot| slot.lock().generation < Some(generation));
        living
    }

    /// Counts a message that the subscription with this number at this client had no room for.
    pub(super) fn count_dropped(&self, generation: u64, sid: u64) {
        let is_slow = |slot: &&Arc<Slot>| {
            let state = slot.lock();
            state.generation == Some(generation) && state.sid == Some(sid)
        };
        if let Some(slot) = self.living().iter().find(is_slow) {
            slot.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends every subscription, now and later.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.living().iter().for_each(|slot| slot.close());
    }

    fn living(&self) -> Vec<Arc<Slot>> {
        self.lock().living.values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number that a slow consumer is reported by. async-nats keeps it to itself but for `Debug`;
/// should that change, drops are still reported, only not counted for their subscription.
fn sid(subscriber: &Subscriber) -> Option<u64> {
    let mut text = Head(String::new());
    // Fails by design: the rest is the inside of a channel, which is long.
    let _ = write!(text, "{subscriber:?}");
    let digits = text.0.split_once("sid: ")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Keeps what is written to it, but not more than a line.
struct Head(String);

impl Write for Head {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() < 48 { Ok(()) } else { Err(fmt::Error) }
    }
}

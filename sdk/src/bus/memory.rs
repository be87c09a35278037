//! [`Memory`]: a broker in this process, with the semantics of NATS core.

mod sublist;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    task::{Context as TaskContext, Poll, Waker, ready},
};

use tokio::sync::{broadcast, watch};

use self::sublist::Sublist;
use super::message::{BusEvent, Link, Message, NO_RESPONDERS};
use crate::{Code, Result, Status, status::reason, wire::subject::Subject};

/// The default of nats-server.
const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// Events that a slow reader may miss.
const EVENTS: usize = 64;

/// A broker in this process. Dropping it closes its subscriptions.
pub(super) struct Memory(Arc<Broker>);

struct Broker {
    subscriptions: RwLock<Sublist<Arc<Mailbox>>>,
    link: watch::Sender<Link>,
    events: broadcast::Sender<BusEvent>,
}

/// What one subscription has not read yet.
struct Mailbox {
    capacity: usize,
    state: Mutex<MailboxState>,
}

#[derive(Default)]
struct MailboxState {
    queue: VecDeque<Message>,
    reader: Option<Waker>,
    dropped: u64,
    closed: bool,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Broker {
            subscriptions: RwLock::default(),
            link: watch::Sender::new(Link { epoch: 1, up: true, closed: None }),
            events: broadcast::Sender::new(EVENTS),
        }))
    }

    pub(super) fn publish(&self, message: Message) -> Result<()> {
        let size = message.payload.len() + message.headers.wire_len();
        if size > MAX_PAYLOAD_BYTES {
            return Err(super::message::too_large(size, MAX_PAYLOAD_BYTES));
        }
        if self.0.link.borrow().closed.is_some() {
            return Err(closed());
        }
        let reply = message.reply.clone();
        if !self.0.deliver(message)
            && let Some(reply) = reply
        {
            self.0.deliver(Message { status: Some(NO_RESPONDERS), ..Message::new(reply, bytes::Bytes::new()) });
        }
        Ok(())
    }

    pub(super) fn subscribe(&self, subject: Subject, queue: Option<&str>, capacity: usize) -> MemorySubscription {
        let mailbox = Arc::new(Mailbox { capacity, state: Mutex::default() });
        mailbox.lock().closed = self.0.link.borrow().closed.is_some();
        let queue = queue.map(str::to_owned);
        self.0.subscriptions.write().unwrap_or_else(PoisonError::into_inner).insert(
            subject.as_str(),
            queue.as_deref(),
            mailbox.clone(),
        );
        MemorySubscription { broker: self.0.clone(), subject, queue, mailbox, read: VecDeque::new() }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.0.link.subscribe()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<BusEvent> {
        self.0.events.subscribe()
    }

    pub(super) fn max_payload(&self) -> usize {
        MAX_PAYLOAD_BYTES
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.link.borrow().closed.is_none()
    }

    pub(super) fn close(&self) {
        self.0.close();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn closed() -> Status {
    Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the in-memory bus is closed")
}

impl Broker {
    /// Gives the message to whoever listens; whether anybody does.
    fn deliver(&self, message: Message) -> bool {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        // Most messages have one receiver, which gets the message itself and no copy.
        let mut first: Option<&Arc<Mailbox>> = None;
        subscriptions.receivers(message.subject.as_str(), |mailbox| {
            if let Some(another) = first.replace(mailbox) {
                self.put(another, message.clone());
            }
        });
        let Some(last) = first else { return false };
        self.put(last, message);
        true
    }

    fn put(&self, mailbox: &Mailbox, message: Message) {
        let mut state = mailbox.lock();
        if state.queue.len() >= mailbox.capacity {
            state.dropped += 1;
            drop(state);
            // Nobody may be listening to events, and that is fine.
            let _ = self.events.send(BusEvent::SlowConsumer);
            return;
        }
        state.queue.push_back(message);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn close(&self) {
        self.link.send_if_modified(|link| {
            let first = link.closed.is_none();
            link.up = false;
            link.closed.get_or_insert_with(closed);
            first
        });
        let subscriptions = mem::take(&mut *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner));
        subscriptions.for_each(|mailbox| {
            let mut state = mailbox.lock();
            state.closed = true;
            let reader = state.reader.take();
            drop(state);
            if let Some(reader) = reader {
                reader.wake();
            }
        });
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscription on the broker.
pub(super) struct MemorySubscription {
    broker: Arc<Broker>,
    subject: Subject,
    queue: Option<String>,
    mailbox: Arc<Mailbox>,
    /// Taken out of the mailbox all at once, so that a busy reader locks it seldom.
    read: VecDeque<Message>,
}

impl MemorySubscription {
    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.read.pop_front() {
            return Poll::Ready(Some(message));
        }
        // Once a refill: a reader that always finds more still lets its neighbours run.
        ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
        let mut state = self.mailbox.lock();
        mem::swap(&mut state.queue, &mut self.read);
        match self.read.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.mailbox.lock().dropped
    }

    pub(super) fn drain(&mut self) {
        self.unsubscribe();
        self.mailbox.lock().closed = true;
    }

    fn unsubscribe(&self) {
        let mut subscriptions = self.broker.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        subscriptions
            .remove(self.subject.as_str(), self.queue.as_deref(), |mailbox| Arc::ptr_eq(mailbox, &self.mailbox));
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl fmt::Debug for MemorySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscription")
            .field("subject", &self.subject)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

//! [`Router`]: who gets a message of the in-memory broker.

use std::{
    borrow::Cow,
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    task::Waker,
};

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::sublist::Sublist;
use crate::{
    Code, Result, Status,
    bus::message::{BusEvent, Link, Message, NO_RESPONDERS},
    jetstream::engine::{Stored, Stream},
    status::reason,
};

/// The default of nats-server.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// Events that a slow reader may miss.
const EVENTS: usize = 64;

/// Messages that a reader takes out of its mailbox at one time.
const TAKEN_MESSAGES: usize = 1_024;

/// Who gets a message: mailboxes of subscriptions, and streams.
///
/// A stream is one more listener, so a bus without streams pays nothing for them.
pub(crate) struct Router {
    listeners: RwLock<Sublist<Listener>>,
    pub(super) link: watch::Sender<Link>,
    pub(super) events: broadcast::Sender<BusEvent>,
}

enum Listener {
    Mailbox(Arc<Mailbox>),
    Stream(Arc<Stream>),
}

/// What one subscription has not read yet.
pub(super) struct Mailbox {
    capacity: usize,
    state: Mutex<MailboxState>,
}

#[derive(Default)]
pub(super) struct MailboxState {
    pub(super) queue: VecDeque<Message>,
    /// What the reader took out last and had not read then.
    taken: usize,
    pub(super) reader: Option<Waker>,
    pub(super) dropped: u64,
    pub(super) closed: bool,
}

impl Mailbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a reader that has read all it had the next message, and moves others to it. Of a long queue these
    /// are a part: they count as unread until it comes again, and so a little room is missing and not all of it.
    pub(super) fn take(&self, state: &mut MailboxState, read: &mut VecDeque<Message>) -> Option<Message> {
        let most = TAKEN_MESSAGES.min(self.capacity.div_ceil(2));
        match state.queue.len() <= most {
            true => mem::swap(&mut state.queue, read),
            false => read.extend(state.queue.drain(..most)),
        }
        let first = read.pop_front();
        state.taken = read.len();
        first
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// What became of a message.
pub(crate) struct Delivery {
    /// Whether anybody listens.
    is_heard: bool,
    /// What the stream of its subject says, if there is one.
    pub(crate) stored: Option<Stored>,
}

impl Router {
    pub(super) fn new() -> Self {
        Self {
            listeners: RwLock::default(),
            link: watch::Sender::new(Link { epoch: 1, up: true, closed: None }),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    /// Whether a message may be sent.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if it is too large, `UNAVAILABLE` when the bus is closed.
    pub(crate) fn check(&self, message: &Message) -> Result<()> {
        let size = message.payload.len() + message.headers.wire_len();
        if size > MAX_PAYLOAD_BYTES {
            return Err(crate::bus::message::too_large(size, MAX_PAYLOAD_BYTES));
        }
        self.check_open()
    }

    /// # Errors
    /// `UNAVAILABLE` when the bus is closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.link.borrow().closed {
            Some(_) => Err(closed()),
            None => Ok(()),
        }
    }

    /// Gives the message to whoever listens, and answers where NATS does: for a stream, and for nobody.
    pub(super) fn send(&self, message: Message) {
        let reply = message.reply.clone();
        let Delivery { is_heard, stored } = self.deliver(Cow::Owned(message));
        let Some(reply) = reply else { return };
        if let Some(stored) = stored {
            self.deliver(Cow::Owned(Message::new(reply, stored.answer())));
        } else if !is_heard {
            let nobody = Message { status: Some(NO_RESPONDERS), ..Message::new(reply, Bytes::new()) };
            self.deliver(Cow::Owned(nobody));
        }
    }

    /// Gives the message to whoever listens.
    pub(crate) fn deliver(&self, message: Cow<'_, Message>) -> Delivery {
        let mut delivery = self.deliver_once(message, true);
        if let Some(stored) = &mut delivery.stored {
            stored.take_copies().into_iter().for_each(|copy| self.post(copy));
        }
        delivery
    }

    /// Gives the message, which a stream publishes, to whoever listens. Where it is stored, that stream
    /// publishes nothing: streams that feed one another would never end.
    pub(crate) fn post(&self, message: Message) {
        self.deliver_once(Cow::Owned(message), true);
    }

    /// Gives the message to subscriptions; it is stored already.
    pub(crate) fn pass(&self, message: Message) {
        self.deliver_once(Cow::Owned(message), false);
    }

    /// The stream that stores this subject.
    pub(crate) fn stream(&self, subject: &str) -> Option<Arc<Stream>> {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let mut stream = None;
        listeners.receivers(subject, |listener| {
            if let Listener::Stream(found) = listener {
                stream = Some(found.clone());
            }
        });
        stream
    }

    fn deliver_once(&self, message: Cow<'_, Message>, store: bool) -> Delivery {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        // Most messages have one receiver, which gets the message itself and no copy.
        let mut first: Option<&Arc<Mailbox>> = None;
        let mut stream = None;
        listeners.receivers(message.subject.as_str(), |listener| match listener {
            Listener::Stream(found) => stream = Some(found),
            Listener::Mailbox(mailbox) => {
                if let Some(another) = first.replace(mailbox) {
                    self.put(another, Message::clone(&message));
                }
            }
        });
        let stored = stream.filter(|_| store).map(|stream| stream.publish(&message));
        let is_heard = first.is_some() || stored.is_some();
        if let Some(last) = first {
            self.put(last, message.into_owned());
        }
        Delivery { is_heard, stored }
    }

    fn put(&self, mailbox: &Mailbox, message: Message) {
        let mut state = mailbox.lock();
        if state.queue.len() + state.taken >= mailbox.capacity {
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

    pub(super) fn subscribe(&self, pattern: &str, queue: Option<&str>, capacity: usize) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox { capacity, state: Mutex::default() });
        mailbox.lock().closed = self.link.borrow().closed.is_some();
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(pattern, queue, Listener::Mailbox(mailbox.clone()));
        mailbox
    }

    pub(super) fn unsubscribe(&self, pattern: &str, queue: Option<&str>, mailbox: &Arc<Mailbox>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.remove(pattern, queue, |listener| match listener {
            Listener::Mailbox(other) => Arc::ptr_eq(mailbox, other),
            Listener::Stream(_) => false,
        });
    }

    /// Has a stream store what is published on these subjects, and no longer on those.
    pub(crate) fn store(&self, stream: &Arc<Stream>, subjects: &[impl AsRef<str>], instead: &[impl AsRef<str>]) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        for pattern in instead {
            listeners.remove(pattern.as_ref(), None, |listener| match listener {
                Listener::Stream(other) => Arc::ptr_eq(stream, other),
                Listener::Mailbox(_) => false,
            });
        }
        for pattern in subjects {
            listeners.insert(pattern.as_ref(), None, Listener::Stream(stream.clone()));
        }
    }

    pub(super) fn close(&self) {
        self.link.send_if_modified(|link| {
            let first = link.closed.is_none();
            link.up = false;
            link.closed.get_or_insert_with(closed);
            first
        });
        let listeners = mem::take(&mut *self.listeners.write().unwrap_or_else(PoisonError::into_inner));
        listeners.for_each(|listener| match listener {
            Listener::Mailbox(mailbox) => mailbox.close(),
            Listener::Stream(stream) => stream.end(closed()),
        });
    }
}

pub(super) fn closed() -> Status {
    Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the in-memory bus is closed")
}

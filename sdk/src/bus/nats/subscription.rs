//! [`NatsSubscription`]: messages for one subject, over any number of clients.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};
use tokio::{
    task::unconstrained,
    time::{Sleep, sleep},
};

use super::{Connection, Registry, message, registry::Slot};
use crate::{bus::Message, wire::subject::Subject};

/// Messages for one subject. Dropping it unsubscribes.
///
/// A client of async-nats keeps its subscriptions when it reconnects. When the client itself is
/// replaced, the supervisor subscribes again and leaves the new [`Subscriber`] in the slot, before
/// it says that the link is up: what is sent on the new connection cannot be answered too early.
pub(crate) struct NatsSubscription {
    slot: Arc<Slot>,
    registry: Arc<Registry>,
    current: Option<Current>,
    drain: Option<Drain>,
    /// What a drain took out of the buffer, to count it.
    ahead: VecDeque<async_nats::Message>,
}

/// A subscription at one client.
pub(super) struct Current {
    subscriber: Subscriber,
    connection: Arc<Connection>,
    /// The connection of the client that the server counts messages for.
    number: u64,
    /// Messages of this subscriber so far.
    received: u64,
}

/// Where a drain stands.
enum Drain {
    /// The server stops after the next message.
    Asked,
    /// The same, and this long to wait for that message.
    Waiting(Pin<Box<Sleep>>),
    /// Unsubscribed: what is buffered comes, then the end.
    Ending,
}

/// How long a drain waits for one more message, by which it ends without a loss.
const DRAIN_WAIT: Duration = Duration::from_millis(100);

impl NatsSubscription {
    pub(super) fn new(registry: Arc<Registry>, subject: Subject, queue: Option<&str>) -> Self {
        let slot = registry.add(subject, queue.map(str::to_owned));
        Self { slot, registry, current: None, drain: None, ahead: VecDeque::new() }
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The next message; `None` when the bus is closed. A lost connection is waited out.
    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        if let Some(received) = self.ahead.pop_front() {
            return Poll::Ready(Some(message::incoming(received)));
        }
        loop {
            match self.current.as_mut().map(|current| current.subscriber.poll_next_unpin(cx)) {
                Some(Poll::Ready(Some(received))) => {
                    self.current.iter_mut().for_each(|current| current.received += 1);
                    return Poll::Ready(Some(message::incoming(received)));
                }
                Some(Poll::Pending) if self.is_drain_to_end(cx) => {}
                Some(Poll::Pending) => {
                    ready!(self.slot.poll_closed(cx));
                    // It holds the client, and so the connection.
                    self.current = None;
                    return Poll::Ready(None);
                }
                Some(Poll::Ready(None)) | None if self.drain.is_some() => return Poll::Ready(None),
                Some(Poll::Ready(None)) | None => match ready!(self.slot.poll_take(cx)) {
                    Some(next) => self.current = Some(next),
                    None => return Poll::Ready(None),
                },
            }
        }
    }

    /// Ends the flow: what the server has sent still comes, then `None`.
    ///
    /// async-nats forgets a subscription before the server has heard of it, and loses what is under
    /// way in between. It loses nothing when the server ends a subscription of itself after a
    /// number of messages. So we ask it to stop after one more, and only when none comes for a
    /// while, which makes it unlikely that one is under way, unsubscribe.
    pub(crate) fn drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        // No supervisor shall subscribe again.
        self.registry.remove(self.slot.id);
        if self.current.is_none() {
            self.current = self.slot.take();
        }
        self.drain = Some(Drain::Ending);
        let Some(current) = &mut self.current else { return };
        // Server and client count alike only on the connection that it was made on, and only if
        // nothing was dropped.
        if current.connection.number() == current.number && self.slot.dropped() == 0 {
            while let Some(Some(received)) = unconstrained(current.subscriber.next()).now_or_never() {
                self.ahead.push_back(received);
            }
            let after = current.received + self.ahead.len() as u64 + 1;
            if unconstrained(current.subscriber.unsubscribe_after(after)).now_or_never().is_some() {
                self.drain = Some(Drain::Asked);
                return;
            }
        }
        current.unsubscribe();
    }

    /// Whether a drain has just unsubscribed, so that the end is near.
    fn is_drain_to_end(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if let Some(Drain::Asked) = self.drain {
            self.drain = Some(Drain::Waiting(Box::pin(sleep(DRAIN_WAIT))));
        }
        let Some(Drain::Waiting(wait)) = &mut self.drain else { return false };
        if wait.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.drain = Some(Drain::Ending);
        self.current.iter_mut().for_each(Current::unsubscribe);
        true
    }

    /// How many messages did not fit the buffer, at least: a burst of drops is reported in part.
    pub(crate) fn dropped(&self) -> u64 {
        self.slot.dropped()
    }
}

impl Drop for NatsSubscription {
    fn drop(&mut self) {
        // Dropping a `Subscriber` unsubscribes, and spawns nothing when there is no runtime.
        self.registry.remove(self.slot.id);
    }
}

impl fmt::Debug for NatsSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSubscription")
            .field("subject", &self.slot.subject)
            .field("queue", &self.slot.queue)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

impl Current {
    pub(super) fn new(subscriber: Subscriber, connection: Arc<Connection>, number: u64) -> Self {
        Self { subscriber, connection, number, received: 0 }
    }

    /// Tells the server at once, if the client's queue has room, else when this is dropped.
    fn unsubscribe(&mut self) {
        let _ = unconstrained(self.subscriber.drain()).now_or_never();
    }
}

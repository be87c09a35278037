//! [`NatsSubscription`]: messages for one subject, over any number of clients.

use std::{
    fmt,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use super::{
    Registry,
    drain::{Current, Drain},
    message,
    registry::Slot,
};
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
}

impl NatsSubscription {
    pub(super) fn new(registry: Arc<Registry>, subject: Subject, queue: Option<&str>) -> Self {
        let slot = registry.add(subject, queue.map(str::to_owned));
        Self { slot, registry, current: None, drain: None }
    }

    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The next message; `None` when the bus is closed. A lost connection is waited out.
    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        if let (Some(drain), Some(current)) = (&mut self.drain, &mut self.current) {
            drain.poll(current, cx);
        }
        loop {
            match self.current.as_mut().map(|current| current.poll_next(cx)) {
                Some(Poll::Ready(Some(received))) => return Poll::Ready(Some(message::incoming(received))),
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
    pub(crate) fn drain(&mut self) {
        if self.drain.is_some() {
            return;
        }
        // No supervisor shall subscribe again.
        self.registry.remove(self.slot.id);
        if self.current.is_none() {
            self.current = self.slot.take();
        }
        // Server and client must count alike, which they do not when something was dropped.
        let countable = self.slot.dropped() == 0;
        self.drain =
            self.current.as_mut().map_or(Some(Drain::Ending), |current| Some(Drain::begin(current, countable)));
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

//! [`Memory`]: a broker in this process, with the semantics of NATS core.

mod router;
mod sublist;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use tokio::sync::{broadcast, watch};

pub(crate) use self::router::Router;
use self::router::{MAX_PAYLOAD_BYTES, Mailbox};
use super::message::{BusEvent, Link, Message};
use crate::{Result, jetstream::engine::Engine, wire::subject::Subject};

/// A broker in this process. Dropping it closes its subscriptions.
pub(super) struct Memory {
    router: Arc<Router>,
    engine: Engine,
}

impl Memory {
    pub(super) fn new() -> Self {
        let router = Arc::new(Router::new());
        Self { engine: Engine::new(&router), router }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn publish(&self, message: Message) -> Result<()> {
        self.router.check(&message)?;
        self.router.send(message);
        Ok(())
    }

    pub(super) fn subscribe(&self, subject: Subject, queue: Option<&str>, capacity: usize) -> MemorySubscription {
        let mailbox = self.router.subscribe(subject.as_str(), queue, capacity);
        let queue = queue.map(str::to_owned);
        MemorySubscription { router: self.router.clone(), subject, queue, mailbox, read: VecDeque::new() }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.router.link.subscribe()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<BusEvent> {
        self.router.events.subscribe()
    }

    pub(super) fn max_payload(&self) -> usize {
        MAX_PAYLOAD_BYTES
    }

    pub(super) fn is_open(&self) -> bool {
        self.router.link.borrow().closed.is_none()
    }

    pub(super) fn close(&self) {
        self.router.close();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.router.close();
    }
}

/// One subscription on the broker.
pub(super) struct MemorySubscription {
    router: Arc<Router>,
    subject: Subject,
    queue: Option<String>,
    mailbox: Arc<Mailbox>,
    /// Taken out of the mailbox many at a time, so that a busy reader locks it seldom.
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
        match self.mailbox.take(&mut state, &mut self.read) {
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
        self.router.unsubscribe(self.subject.as_str(), self.queue.as_deref(), &self.mailbox);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(subscription: &mut MemorySubscription) -> Option<String> {
        let message = poll_fn(|cx| subscription.poll_next(cx)).await?;
        Some(String::from_utf8_lossy(&message.payload).into_owned())
    }

    #[tokio::test]
    async fn a_subscription_holds_no_more_than_its_capacity_while_it_is_read() -> Result<()> {
        let memory = Memory::new();
        let subject = Subject::from_static("s");
        let mut subscription = memory.subscribe(subject.clone(), None, 100);
        let publish = |numbers: std::ops::Range<u32>| {
            numbers.into_iter().try_for_each(|number| memory.publish(Message::new(subject.clone(), number.to_string())))
        };
        publish(0..100)?;
        assert_eq!(next(&mut subscription).await.as_deref(), Some("0"));
        publish(100..200)?;
        assert_eq!(subscription.dropped(), 99);
        subscription.drain();
        for number in 1..101 {
            assert_eq!(next(&mut subscription).await, Some(number.to_string()));
        }
        assert_eq!(next(&mut subscription).await, None);
        Ok(())
    }
}

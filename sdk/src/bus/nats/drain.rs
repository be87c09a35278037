//! [`Drain`]: how a subscription ends without losing a message.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};
use tokio::{
    task::unconstrained,
    time::{Sleep, sleep},
};

use super::Connection;

/// How long the messages are counted that come, to know how many may be under way.
const MEASURE: Duration = Duration::from_millis(50);

/// How long the last messages may take that the server was asked for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The server is asked for as many messages as came in this many measured times, and some more.
const MARGIN_TIMES: u64 = 2;
const MARGIN_MESSAGES: u64 = 8;

/// A subscription at one client.
pub(super) struct Current {
    subscriber: Subscriber,
    connection: Arc<Connection>,
    /// The connection of the client that the server counts messages for.
    number: u64,
    /// Messages of this subscriber so far, with those in `ahead`.
    received: u64,
    /// What was taken out of the buffer only to count it.
    ahead: VecDeque<async_nats::Message>,
}

/// How a subscription ends without losing a message.
///
/// async-nats forgets a subscription before the server has heard of it, and drops what is under
/// way in between. Nothing is lost when the *server* ends it after a number of messages, if that
/// number is not reached before it has heard of it. So we see how many messages come, ask for some
/// more than that, and have them all. Only where none comes do we unsubscribe: one would have to
/// come in that very moment to be lost.
pub(super) enum Drain {
    Measuring { from: u64, countable: bool, wait: Option<Pin<Box<Sleep>>> },
    Stopping { wait: Pin<Box<Sleep>> },
    Ending,
}

impl Drain {
    pub(super) fn begin(current: &mut Current, countable: bool) -> Self {
        Self::Measuring { from: current.count(), countable, wait: None }
    }

    /// Goes on with what there is to do, and wakes the reader when there is more.
    pub(super) fn poll(&mut self, current: &mut Current, cx: &mut TaskContext<'_>) {
        if let Self::Measuring { from, countable, wait } = self {
            // Made here, because a `Sleep` needs a runtime, and `begin` may be called outside.
            let wait = wait.get_or_insert_with(|| Box::pin(sleep(MEASURE)));
            if wait.as_mut().poll(cx).is_pending() {
                return;
            }
            let count = current.count();
            let came = count - *from;
            let stops = came > 0 && *countable && current.stop_after(count + MARGIN_TIMES * came + MARGIN_MESSAGES);
            *self = match stops {
                true => Self::Stopping { wait: Box::pin(sleep(PATIENCE)) },
                false => Self::end(current),
            };
        }
        if let Self::Stopping { wait } = self
            && wait.as_mut().poll(cx).is_ready()
        {
            *self = Self::end(current);
        }
    }

    fn end(current: &mut Current) -> Self {
        // Without room in the client's queue, dropping it does the same.
        let _ = unconstrained(current.subscriber.drain()).now_or_never();
        Self::Ending
    }
}

impl Current {
    pub(super) fn new(subscriber: Subscriber, connection: Arc<Connection>, number: u64) -> Self {
        Self { subscriber, connection, number, received: 0, ahead: VecDeque::new() }
    }

    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<async_nats::Message>> {
        if let Some(message) = self.ahead.pop_front() {
            return Poll::Ready(Some(message));
        }
        let polled = self.subscriber.poll_next_unpin(cx);
        self.received += u64::from(matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    /// Messages so far, with those that wait to be read.
    fn count(&mut self) -> u64 {
        while let Some(Some(message)) = unconstrained(self.subscriber.next()).now_or_never() {
            self.received += 1;
            self.ahead.push_back(message);
        }
        self.received
    }

    /// Asks the server to end the subscription after this many messages. Not after a reconnect: the
    /// server has then begun to count anew.
    fn stop_after(&mut self, messages: u64) -> bool {
        self.connection.number() == self.number
            && unconstrained(self.subscriber.unsubscribe_after(messages))
                .now_or_never()
                .is_some_and(|sent| sent.is_ok())
    }
}

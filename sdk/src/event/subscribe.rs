//! [`Subscriber`]: events as they are published.

use std::{
    fmt,
    future::IntoFuture,
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use futures_util::Stream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Event, Filter,
    unread::{Next, Unread, WhenSlow},
};
use crate::{
    BoxFuture, Code, Result, Status,
    bus::{Bus, Headers, Message, Subject, Subscription},
    limits,
    status::reason,
};

impl Bus {
    /// Receives events as they are published: `bus.subscribe(AgentMessageFilter::new()).await?`.
    ///
    /// At most once: what is published while nobody listens is gone. For what must not be lost see
    /// [`Worker`](crate::Worker).
    pub fn subscribe<E: Event>(&self, filter: impl Into<Filter<E>>) -> Subscribe<E> {
        let filter = filter.into();
        Subscribe { bus: self.clone(), filter, group: None, unread: limits::UNREAD_EVENTS, when_slow: WhenSlow::Fail }
    }
}

/// A subscription to be made. Await it.
#[must_use = "nothing is subscribed until it is awaited"]
pub struct Subscribe<E> {
    bus: Bus,
    filter: Filter<E>,
    group: Option<String>,
    unread: usize,
    when_slow: WhenSlow,
}

impl<E: Event> Subscribe<E> {
    /// Each event goes to one member of the group.
    pub fn queue_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// How many events may be unread before `when_slow` decides; 8,192 unless said.
    pub fn unread(mut self, events: usize) -> Self {
        self.unread = events;
        self
    }

    /// What happens when more are unread; [`WhenSlow::Fail`] unless said.
    pub fn when_slow(mut self, when_slow: WhenSlow) -> Self {
        self.when_slow = when_slow;
        self
    }

    async fn open(self) -> Result<Subscriber<E>> {
        let subscription = self.bus.listen(self.filter.subject()?, self.group.as_deref()).await?;
        // The broker has it, so nothing that is published from now on is missed. Without a connection it is
        // made with the next one.
        if self.bus.link().borrow().up {
            self.bus.fence().await?;
        }
        let unread = Unread::new(self.unread, self.when_slow);
        let leave = CancellationToken::new();
        let reader = AbortOnDropHandle::new(tokio::spawn(read(subscription, unread.clone(), leave.clone())));
        let fails = self.when_slow == WhenSlow::Fail;
        Ok(Subscriber { unread, leave, fails, dropped: 0, over: false, _reader: reader, event: PhantomData })
    }
}

impl<E: Event> IntoFuture for Subscribe<E> {
    type Output = Result<Subscriber<E>>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl<E: Event> fmt::Debug for Subscribe<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe").field("filter", &self.filter).field("group", &self.group).finish_non_exhaustive()
    }
}

/// Reads as fast as the broker sends, so that what is dropped is dropped here, where it is counted.
async fn read(mut subscription: Subscription, unread: Unread, leave: CancellationToken) {
    let (mut lost, mut leaving) = (0, false);
    loop {
        let next = tokio::select! {
            () = leave.cancelled(), if !leaving => {
                leaving = true;
                subscription.drain();
                continue;
            }
            next = subscription.next() => next,
        };
        let Some(message) = next else { break };
        unread.push(message);
        while let Some(message) = subscription.try_next() {
            unread.push(message);
        }
        let dropped = subscription.dropped();
        if dropped > lost {
            unread.count_dropped(dropped - lost);
            lost = dropped;
        }
    }
    unread.close();
}

/// Events as they are published, one after another: a [`Stream`]. Dropping it unsubscribes.
///
/// An item is an error, and the next one may be well, when
/// - the payload is not what the schema says (`DATA_LOSS`, reason `MALFORMED_EVENT`),
/// - events were dropped because they were read too slowly (`RESOURCE_EXHAUSTED`, reason
///   `SLOW_CONSUMER`; the metadata of its `ErrorInfo` has their number as `dropped`). With
///   [`WhenSlow::Fail`] that is the last item.
///
/// That number is exact where more are unread than may be. On NATS a process that has no time at all to read can
/// lose events even before that
/// ([`subscription_capacity`](crate::bus::NatsOptions::subscription_capacity)); of a burst of these the client may
/// report a part only, and the number is the least that it can be.
pub struct Subscriber<E> {
    unread: Unread,
    leave: CancellationToken,
    /// Whether a loss is the end.
    fails: bool,
    dropped: u64,
    over: bool,
    _reader: AbortOnDropHandle<()>,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Subscriber<E> {
    /// The next event; `None` when the bus is closed. A lost connection is waited out. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Received<E>>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Unsubscribes: what has been sent so far still comes, then the end.
    pub fn drain(&mut self) {
        self.leave.cancel();
    }

    /// How many events were dropped and reported so far: at least, as [`Subscriber`] says.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn poll_next(&mut self, cx: &TaskContext<'_>) -> Poll<Option<Result<Received<E>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.unread.poll_next(cx)) {
            Next::Message(message) => Some(Received::decode(message)),
            Next::Dropped(dropped) => {
                self.dropped += dropped;
                self.over = self.fails;
                Some(Err(slow::<E>(dropped)))
            }
            Next::End => None,
        })
    }
}

impl<E: Event> Stream for Subscriber<E> {
    type Item = Result<Received<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Subscriber::poll_next(self.get_mut(), cx)
    }
}

impl<E: Event> fmt::Debug for Subscriber<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("event", &E::INFO.name)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

/// An event that has come.
#[derive(Debug, Clone)]
pub struct Received<E> {
    /// The event.
    pub event: E,
    /// Where it was published.
    pub subject: Subject,
    /// Where an answer may go, if its publisher wants one.
    pub reply: Option<Subject>,
    /// What came beside it: its id, its trace (`traceparent`), and whatever its publisher added.
    pub headers: Headers,
}

impl<E: Event> Received<E> {
    fn decode(message: Message) -> Result<Self> {
        let Message { subject, reply, headers, payload, .. } = message;
        match E::decode(payload) {
            Ok(event) => Ok(Self { event, subject, reply, headers }),
            Err(error) => Err(malformed::<E>(&subject, error)),
        }
    }
}

/// The status of a payload that is not what the schema of its subject says.
pub(crate) fn malformed<E: Event>(subject: &Subject, error: prost::DecodeError) -> Status {
    let message = format!("what came on {subject} is no {}: {error}", E::INFO.name);
    Status::made_here(Code::DataLoss, reason::MALFORMED_EVENT, message).with_source(error)
}

fn slow<E: Event>(dropped: u64) -> Status {
    let message = format!("{dropped} of {} were dropped, because they were read too slowly", E::INFO.name);
    Status::resource_exhausted(message).with_error_info(
        reason::SLOW_CONSUMER,
        crate::ERROR_DOMAIN,
        [("dropped", dropped.to_string())],
    )
}

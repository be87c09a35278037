//! [`Events`]: events that are stored before the publisher goes on.

use std::{
    fmt,
    future::IntoFuture,
    pin::{Pin, pin},
    time::Duration,
};

use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep},
};

use super::pipeline::Pipeline;
use crate::{
    Code, Context, Executed, Result, Status,
    backoff::Backoff,
    bus::{Bus, IntoMessage, Message},
    jetstream::{Acknowledgement, JetStream, PublishAck, header},
    layer::deadline::Within,
    limits,
    status::reason,
};

/// What a publisher hands on of the call it works for (W3C).
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Waits between attempts to publish.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Publishes to streams, and knows what was stored. A clone is one atomic increment.
///
/// ```
/// # use subwire::{Bus, Events, Result, StreamSpec, Streams};
/// # use subwire::bus::{Message, Subject};
/// # #[tokio::main] async fn main() -> Result<()> {
/// let bus = Bus::memory();
/// Streams::new(&bus).apply(StreamSpec::new("orders", ["order.>"])).await?;
///
/// let events = Events::new(&bus);
/// let order = Message::new(Subject::new("order.created")?, "an order");
/// let ack = events.publish(order.clone()).id("order-1").await?;
/// assert_eq!((&*ack.stream, ack.sequence, ack.duplicate), ("orders", 1, false));
/// assert!(events.publish(order).id("order-1").await?.duplicate);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Events {
    streams: JetStream,
}

impl Events {
    /// Publishes over `bus`.
    pub fn new(bus: &Bus) -> Self {
        Self { streams: JetStream::new(bus) }
    }

    /// Publishes an event, or a message, when it is awaited, which ends when a stream has stored it.
    ///
    /// A failure that leaves open whether it was stored (a lost connection, no answer) is retried when
    /// the event has an id, by its schema or by [`id`](Publish::id): the stream stores one id once. Without
    /// one, or with an expected sequence, which the stream looks at before the id, it is retried only where
    /// it was certainly not stored.
    ///
    /// # Errors
    /// - `NOT_FOUND`, reason `NO_STREAM`: no stream takes its subject.
    /// - `RESOURCE_EXHAUSTED`: `STREAM_FULL` (a limit, the disk, the account), `TOO_LARGE_MESSAGE` for
    ///   the stream, `TOO_LARGE_REQUEST` for the broker.
    /// - `ABORTED`, reason `WRONG_SEQUENCE`: another event was stored first, see
    ///   [`expect_sequence`](Publish::expect_sequence).
    /// - `INVALID_ARGUMENT`: its subject cannot hold the value of a field.
    /// - `UNAVAILABLE`, `DEADLINE_EXCEEDED`: no answer in time. Unless
    ///   [`executed`](Status::executed) says `No`, it may have been stored.
    pub fn publish(&self, event: impl IntoMessage) -> Publish<'_> {
        let message = event.into_message();
        Publish { streams: &self.streams, message, timeout: limits::PUBLISH_TIMEOUT, finds_out: false }
    }

    /// Publishes many events, each without waiting for those before it.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(self.streams.clone())
    }

    /// Stores all of these events or none, one after another: at most 1,000, all of one stream, which
    /// must allow it ([`allow_atomic_publish`](crate::StreamSpec::allow_atomic_publish)). The answer is that of
    /// the last one.
    ///
    /// # Errors
    /// As [`publish`](Self::publish). An unknown outcome is not retried. A stream or a server that does
    /// not have it refuses with `INVALID_ARGUMENT` or `FAILED_PRECONDITION`; use a
    /// [`pipeline`](Self::pipeline) there.
    pub async fn publish_batch<M: IntoMessage>(&self, events: impl IntoIterator<Item = M>) -> Result<PublishAck> {
        let messages = events.into_iter().map(M::into_message).collect::<Result<Vec<_>>>()?;
        if messages.is_empty() || messages.len() > limits::BATCH_EVENTS {
            let message = format!("a batch has 1 to {} events, not {}", limits::BATCH_EVENTS, messages.len());
            return Err(Status::invalid_argument(message));
        }
        self.streams.publish_batch(messages).await
    }
}

/// A publish to be done. Await it.
#[must_use = "nothing is published until it is awaited"]
pub struct Publish<'a> {
    streams: &'a JetStream,
    message: Result<Message>,
    timeout: Duration,
    /// Whether it is sent again although the answer may then be `WRONG_SEQUENCE` because of itself.
    finds_out: bool,
}

impl Publish<'_> {
    /// What makes it the same event when it is published twice; replaces the one of the schema.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.set(header::ID, id)
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.message = self.message.map(|message| message.with_header(name, value));
        self
    }

    /// Stores it only if the last event of the stream is in this place: nobody else was first.
    pub fn expect_sequence(self, last: u64) -> Self {
        self.set(header::EXPECTED_SEQUENCE, last.to_string())
    }

    /// Stores it only if the last event of the same subject is in this place; 0: there is none.
    pub fn expect_subject_sequence(self, last: u64) -> Self {
        self.set(header::EXPECTED_SUBJECT_SEQUENCE, last.to_string())
    }

    /// Stores it only in this stream.
    pub fn expect_stream(self, stream: impl Into<String>) -> Self {
        self.set(header::EXPECTED_STREAM, stream)
    }

    /// How long it is kept, in whole seconds, rounded up: more than nothing, and 100 years at most, to which
    /// more is cut. The stream must allow it ([`allow_message_ttl`](crate::StreamSpec::allow_message_ttl)).
    /// Default: as long as the stream keeps its messages.
    pub fn ttl(self, ttl: Duration) -> Self {
        let ttl = ttl.min(limits::STREAM_TIME_MAX);
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        self.set(header::TTL, format!("{seconds}s"))
    }

    /// Sends it again with an expected sequence, too: the caller looks at what was stored instead.
    pub(crate) fn finds_out(mut self) -> Self {
        self.finds_out = true;
        self
    }

    /// How long to try; 30 s unless said. Retries stop after 60 s in any case: a stream that knows ids
    /// for two minutes must still know the first attempt.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Publishes it for the call that is being answered: no longer than that may take, and in its trace.
    pub fn within(mut self, cx: &Context) -> Self {
        if let Some(remaining) = cx.remaining() {
            self.timeout = self.timeout.min(remaining);
        }
        self.message = self.message.map(|mut message| {
            for name in TRACE {
                if let Some(value) = cx.metadata().get(name) {
                    message.headers.append(name, value);
                }
            }
            message
        });
        self
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Ok(message) = &mut self.message {
            message.headers.set(name, value);
        }
        self
    }
}

impl<'a> IntoFuture for Publish<'a> {
    type Output = Result<PublishAck>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let message = self.message?;
            // Where nothing has to wait, others want their turn all the same.
            consume_budget().await;
            if let Some(answer) = self.streams.publish_here(&message) {
                return answer;
            }
            let mut attempt = Attempt::new(self.streams, message, self.timeout).await;
            attempt.repeatable |= self.finds_out;
            attempt.finish(self.streams).await
        })
    }
}

impl fmt::Debug for Publish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("message", &self.message).finish_non_exhaustive()
    }
}

/// An event on its way to a stream.
#[derive(Debug)]
pub(super) struct Attempt {
    message: Message,
    /// Whether the stream would say of a second copy that it has it.
    repeatable: bool,
    /// How often it was sent, or could not be.
    count: usize,
    last: Result<Acknowledgement>,
    /// Whether an attempt before the last may have been stored.
    maybe_stored: bool,
    deadline: Instant,
}

impl Attempt {
    /// Hands the event over for the first time.
    pub(super) async fn new(streams: &JetStream, message: Message, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout.min(limits::PUBLISH_HORIZON);
        let has = |name| message.headers.get(name).is_some();
        let repeatable = has(header::ID) && !has(header::EXPECTED_SEQUENCE) && !has(header::EXPECTED_SUBJECT_SEQUENCE);
        let last = within(deadline, pin!(streams.publish(message.clone()))).await;
        Self { message, repeatable, count: 1, last, maybe_stored: false, deadline }
    }

    /// One that was refused where it was made.
    pub(super) fn refused(message: Message, status: Status) -> Self {
        Self { message, repeatable: false, count: 1, last: Err(status), maybe_stored: false, deadline: Instant::now() }
    }

    /// Waits for the answer, and tries again where that is safe. Cancel-safe.
    pub(super) async fn finish(&mut self, streams: &JetStream) -> Result<PublishAck> {
        loop {
            let status = match &mut self.last {
                Ok(acknowledgement) => match within(self.deadline, acknowledgement).await {
                    Ok(ack) => return Ok(ack),
                    Err(status) => status,
                },
                Err(status) => status.clone(),
            };
            let pause = RETRY.delay(self.count);
            let safe = self.repeatable || status.executed() == Executed::No;
            if !safe || !may_pass(streams, &status) || Instant::now() + pause >= self.deadline {
                return Err(if self.maybe_stored { status.with_executed(Executed::Maybe) } else { status });
            }
            self.maybe_stored |= status.executed() != Executed::No;
            tracing::debug!(%status, attempt = self.count, subject = %self.message.subject, "publishing again");
            self.last = Err(status);
            sleep(pause).await;
            self.last = within(self.deadline, pin!(streams.publish(self.message.clone()))).await;
            self.count += 1;
        }
    }
}

/// Whether another attempt can end differently.
fn may_pass(streams: &JetStream, status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
        && streams.bus().link().borrow().closed.is_none()
}

fn within<F>(deadline: Instant, work: F) -> Within<F> {
    Within::new(Some(deadline), work).or(unacknowledged)
}

fn unacknowledged() -> Status {
    let message = "no stream acknowledged the event in time: it may be stored or not";
    Status::made_here(Code::DeadlineExceeded, reason::DEADLINE, message)
}

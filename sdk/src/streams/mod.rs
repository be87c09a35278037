//! [`Streams`]: making streams and consumers what their schema says.

mod difference;
mod plan;

use std::{fmt, future::IntoFuture, pin::Pin};

pub use self::{
    difference::Difference,
    plan::{Change, Plan, Step},
};
use crate::{
    Code, Result, Status,
    bus::Bus,
    jetstream::{Action, ConsumerInfo, Get, JetStream, Purge, Specs, StoredMessage, StreamInfo},
    status::reason,
};

/// The streams and consumers of a broker: to make them what the schema says, and to look at them.
///
/// Services need no right to do this; it is what a deployment does.
///
/// ```
/// # use subwire::{Bus, ConsumerSpec, Result, Specs, StreamSpec, Streams};
/// # #[tokio::main] async fn main() -> Result<()> {
/// let streams = Streams::new(&Bus::memory());
/// let specs = Specs {
///     streams: vec![StreamSpec::new("orders", ["order.>"])],
///     consumers: vec![ConsumerSpec::new("orders", "billing")],
/// };
/// assert_eq!(streams.plan(&specs).await?.to_string(), "+ stream orders\n+ consumer orders/billing\n");
/// streams.apply(&specs).await?;
/// assert!(streams.plan(&specs).await?.is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Streams {
    streams: JetStream,
}

impl Streams {
    /// Those of the broker that `bus` is connected to.
    pub fn new(bus: &Bus) -> Self {
        Self { streams: JetStream::new(bus) }
    }

    /// What would have to change. Changes nothing.
    ///
    /// # Errors
    /// `UNAVAILABLE` without an answer, `FAILED_PRECONDITION` (`NO_JETSTREAM`) from a broker without streams.
    pub async fn plan(&self, specs: impl Into<Specs>) -> Result<Plan> {
        Plan::new(&self.streams, &specs.into()).await
    }

    /// Makes and changes what has to be, when it is awaited; the answer is what was done. What is there
    /// and not in `specs` stays. Doing it twice is like doing it once.
    ///
    /// # Errors
    /// - `FAILED_PRECONDITION` (`WOULD_LOSE_DATA`): it would delete messages that are stored; nothing was
    ///   changed. See [`Apply::allow_data_loss`].
    /// - What JetStream refuses, with its reason and the name of the stream or consumer; the steps
    ///   before it are done.
    pub fn apply(&self, specs: impl Into<Specs>) -> Apply<'_> {
        Apply { streams: &self.streams, specs: specs.into(), allow_data_loss: false }
    }

    /// The names of all streams, sorted.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub async fn names(&self) -> Result<Vec<String>> {
        self.streams.stream_names().await
    }

    /// A stream as it is.
    ///
    /// # Errors
    /// `NOT_FOUND` (`STREAM_NOT_FOUND`), and as [`plan`](Self::plan).
    pub async fn info(&self, stream: &str) -> Result<StreamInfo> {
        self.streams.stream_info(stream).await
    }

    /// How many messages each subject has; `filter` may have wildcards.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<(String, u64)>> {
        self.streams.subjects(stream, filter).await
    }

    /// One message, if it is there.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn message(&self, stream: &str, sequence: u64) -> Result<Option<StoredMessage>> {
        self.streams.get_message(stream, &Get::Sequence(sequence), false).await
    }

    /// The newest message of a subject, if there is one.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn last_message(&self, stream: &str, subject: &str) -> Result<Option<StoredMessage>> {
        self.streams.get_message(stream, &Get::Last(subject.to_owned()), false).await
    }

    /// Deletes one message.
    ///
    /// # Errors
    /// `NOT_FOUND` (`MESSAGE_NOT_FOUND`), and as [`info`](Self::info).
    pub async fn delete_message(&self, stream: &str, sequence: u64) -> Result<()> {
        self.streams.delete_message(stream, sequence).await
    }

    /// Deletes the messages of a subject, which may have wildcards, or all; how many.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn purge(&self, stream: &str, subject: Option<&str>) -> Result<u64> {
        let purge = Purge { subject: subject.map(str::to_owned), ..Purge::default() };
        self.streams.purge_stream(stream, &purge).await
    }

    /// Deletes a stream with its messages and consumers.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn delete(&self, stream: &str) -> Result<()> {
        self.streams.delete_stream(stream).await
    }

    /// The names of all consumers of a stream, sorted.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn consumer_names(&self, stream: &str) -> Result<Vec<String>> {
        self.streams.consumer_names(stream).await
    }

    /// A consumer as it is.
    ///
    /// # Errors
    /// `NOT_FOUND` (`CONSUMER_NOT_FOUND`), and as [`info`](Self::info).
    pub async fn consumer_info(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo> {
        self.streams.consumer_info(stream, consumer).await
    }

    /// Deletes a consumer: its place in the stream is lost.
    ///
    /// # Errors
    /// As [`consumer_info`](Self::consumer_info).
    pub async fn delete_consumer(&self, stream: &str, consumer: &str) -> Result<()> {
        self.streams.delete_consumer(stream, consumer).await
    }
}

/// Changes to be made. Await it.
#[must_use = "nothing is changed until it is awaited"]
pub struct Apply<'a> {
    streams: &'a JetStream,
    specs: Specs,
    allow_data_loss: bool,
}

impl Apply<'_> {
    /// Makes the changes that delete stored messages, too: smaller limits, another retention.
    pub fn allow_data_loss(mut self) -> Self {
        self.allow_data_loss = true;
        self
    }

    async fn done(self) -> Result<Plan> {
        let plan = Plan::new(self.streams, &self.specs).await?;
        let losses: Vec<_> = plan.losses().collect();
        if !losses.is_empty() && !self.allow_data_loss {
            let message = format!("nothing was changed: {}; say `allow_data_loss` if that is meant", losses.join("; "));
            return Err(Status::made_here(Code::FailedPrecondition, reason::WOULD_LOSE_DATA, message));
        }
        for step in &plan.steps {
            let done = match (step, step.change()) {
                (Step::Stream { spec, .. }, Change::Create) => self.streams.create_stream(spec).await.map(drop),
                (Step::Stream { spec, .. }, Change::Update(_)) => self.streams.update_stream(spec).await.map(drop),
                (Step::Consumer { spec, .. }, change) => {
                    let action = match change {
                        Change::Create => Action::Create,
                        Change::Update(_) => Action::Update,
                    };
                    self.streams.put_consumer(spec, action).await.map(drop)
                }
            };
            done.map_err(|status| status.with_context(step))?;
        }
        Ok(plan)
    }
}

impl<'a> IntoFuture for Apply<'a> {
    type Output = Result<Plan>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.done())
    }
}

impl fmt::Debug for Apply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apply").field("specs", &self.specs).finish_non_exhaustive()
    }
}

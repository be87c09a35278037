//! [`StreamSpec`], [`ConsumerSpec`]: what a stream and a durable consumer should be.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use crate::{Code, Event, Executed, Filter, Result, Status, limits, status::reason, wire::pattern};

/// Attempts that the server allows beyond [`ConsumerSpec::max_deliver`].
///
/// A worker sets a message aside at its last attempt. Should it die in that very moment, the server
/// hands the message out again, so that it reaches the dead letters all the same.
pub(crate) const MAX_DELIVER_RESERVE: u32 = 2;

/// What a stream should be: where its messages come from, and how long it keeps them.
///
/// The generator writes one for each stream that a `.proto` declares. By hand:
/// `StreamSpec { max_messages: Some(1_000), ..StreamSpec::new("orders", ["order.>"]) }`.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSpec {
    /// `[A-Za-z0-9_-]+`
    pub name: Cow<'static, str>,
    /// What it stores; wildcards are allowed. No two streams of a broker may overlap.
    pub subjects: Cow<'static, [Cow<'static, str>]>,
    /// For people.
    pub description: Cow<'static, str>,
    /// When a message goes.
    pub retention: Retention,
    /// Where messages are kept.
    pub storage: Storage,
    /// Servers that keep a copy: 1 to 5. With 1 the stream is down when its server is.
    pub replicas: u8,
    /// Messages that it keeps.
    pub max_messages: Option<u64>,
    /// Messages of one subject that it keeps.
    pub max_messages_per_subject: Option<u64>,
    /// Bytes that it keeps, with subjects and headers.
    pub max_bytes: Option<u64>,
    /// How long it keeps a message.
    pub max_age: Option<Duration>,
    /// The largest message that it takes, headers included: at most 2,147,483,647 bytes.
    pub max_message_bytes: Option<u32>,
    /// What it does when it is full.
    pub discard: Discard,
    /// With [`Discard::New`]: whether `max_messages_per_subject` refuses too, instead of making room.
    pub discard_new_per_subject: bool,
    /// How long it knows the ids of messages, to store each once. Unset: 2 minutes, or `max_age` if
    /// that is less.
    pub duplicate_window: Option<Duration>,
    /// Whether any replica may answer a read of one message, not its leader only.
    pub allow_direct: bool,
    /// Whether a message may have a time to live of its own.
    pub allow_message_ttl: bool,
    /// Whether several messages may be published as one: all or none.
    pub allow_atomic_publish: bool,
    /// Whether a message may replace all earlier ones of its subject.
    pub allow_rollup: bool,
    /// Whether single messages cannot be deleted.
    pub deny_delete: bool,
    /// What else is published when a message was stored.
    pub republish: Option<Republish>,
}

impl StreamSpec {
    /// A stream that keeps everything on these subjects, in a file, without limits.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        subjects: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
    ) -> Self {
        Self {
            name: name.into(),
            subjects: subjects.into_iter().map(Into::into).collect(),
            description: Cow::Borrowed(""),
            retention: Retention::Limits,
            storage: Storage::File,
            replicas: 1,
            max_messages: None,
            max_messages_per_subject: None,
            max_bytes: None,
            max_age: None,
            max_message_bytes: None,
            discard: Discard::Old,
            discard_new_per_subject: false,
            duplicate_window: None,
            allow_direct: false,
            allow_message_ttl: false,
            allow_atomic_publish: false,
            allow_rollup: false,
            deny_delete: false,
            republish: None,
        }
    }

    /// Whether a server could read it: what it cannot count it answers without saying why.
    pub(crate) fn check(&self) -> Result<()> {
        let most = limits::STREAM_MESSAGE_BYTES_MAX;
        let Some(bytes) = self.max_message_bytes.filter(|bytes| *bytes > most) else { return Ok(()) };
        let message = format!("max_message_bytes of the stream {:?} is {bytes} and may be {most} at most", self.name);
        Err(Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message).with_executed(Executed::No))
    }
}

/// When a message leaves a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// When a limit of the stream says so.
    #[default]
    Limits,
    /// Also when every consumer that wants it has acknowledged it; at once when there is none.
    Interest,
    /// Also when its consumer has acknowledged it. Consumers may not overlap.
    WorkQueue,
}

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In the memory of the server: gone when it stops.
    Memory,
}

/// What a full stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discard {
    /// Drops its oldest messages.
    #[default]
    Old,
    /// Refuses new ones.
    New,
}

/// A copy of what was stored, for those who only listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Republish {
    /// Which subjects.
    pub source: Cow<'static, str>,
    /// Under which subject: `{{wildcard(1)}}` is the first token that a wildcard of the source met.
    pub destination: Cow<'static, str>,
    /// Whether the payload is left out.
    pub headers_only: bool,
}

/// What a durable consumer should be: a place in a stream, and how messages are handed out from it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerSpec {
    /// `[A-Za-z0-9_-]+`
    pub name: Cow<'static, str>,
    /// The stream that it reads.
    pub stream: Cow<'static, str>,
    /// For people.
    pub description: Cow<'static, str>,
    /// Which subjects; empty: all of the stream's.
    pub filters: Cow<'static, [Cow<'static, str>]>,
    /// Where it begins.
    pub deliver: Deliver,
    /// Whether messages have to be acknowledged.
    pub ack: AckPolicy,
    /// How long a message may be out before it is handed out again.
    pub ack_wait: Duration,
    /// Attempts at a message. The server allows two more, see [`Worker`](crate::Worker).
    pub max_deliver: Option<u32>,
    /// Waits between attempts; the last one repeats. Replaces `ack_wait` where it is given.
    pub backoff: Cow<'static, [Duration]>,
    /// Messages that may be out at one time.
    pub max_ack_pending: u32,
    /// How fast stored messages come.
    pub replay: ReplayPolicy,
    /// Whether the payloads are left out.
    pub headers_only: bool,
    /// Goes by itself when nobody has pulled for so long; unset: never.
    pub inactive_threshold: Option<Duration>,
}

impl ConsumerSpec {
    /// A consumer of everything in `stream`, from its start, with explicit acknowledgement.
    pub fn new(stream: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            stream: stream.into(),
            description: Cow::Borrowed(""),
            filters: Cow::Borrowed(&[]),
            deliver: Deliver::All,
            ack: AckPolicy::Explicit,
            ack_wait: limits::ACK_WAIT,
            max_deliver: None,
            backoff: Cow::Borrowed(&[]),
            max_ack_pending: limits::ACK_PENDING,
            replay: ReplayPolicy::Instant,
            headers_only: false,
            inactive_threshold: None,
        }
    }

    /// The same, for these events only. May be called once for each kind.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field whose value cannot be part of a subject.
    pub fn filter<E: Event>(mut self, filter: impl Into<Filter<E>>) -> Result<Self> {
        self.filters.to_mut().push(filter.into().subject()?.into());
        Ok(self)
    }

    /// Whether it reads what is published there.
    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| pattern::matches(filter, subject))
    }
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deliver {
    /// At the first message that is stored.
    #[default]
    All,
    /// At the last one that it wants.
    Last,
    /// At the last one of each subject.
    LastPerSubject,
    /// At what is stored from now on.
    New,
    /// At this sequence.
    FromSequence(u64),
    /// At the first message stored at that time or later.
    FromTime(SystemTime),
}

/// Whether messages have to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckPolicy {
    /// Each for itself.
    #[default]
    Explicit,
    /// Not at all: for readers that can begin again.
    None,
}

/// How fast stored messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayPolicy {
    /// As fast as they are taken.
    #[default]
    Instant,
    /// As they were stored.
    Original,
}

/// Streams and consumers that belong together: what a package declares.
///
/// ```
/// # use std::time::Duration;
/// # use subwire::{ConsumerSpec, Specs, StreamSpec};
/// let mut specs = Specs {
///     streams: vec![StreamSpec::new("orders", ["order.>"])],
///     consumers: vec![ConsumerSpec::new("orders", "billing")],
/// };
/// if let Some(orders) = specs.stream_mut("orders") {
///     orders.max_age = Some(Duration::from_secs(3600));
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Specs {
    /// The streams.
    pub streams: Vec<StreamSpec>,
    /// The consumers; their streams need not be among `streams`.
    pub consumers: Vec<ConsumerSpec>,
}

impl Specs {
    /// The stream of this name, to change what the schema says.
    pub fn stream_mut(&mut self, name: &str) -> Option<&mut StreamSpec> {
        self.streams.iter_mut().find(|stream| stream.name == name)
    }

    /// The consumer of this name.
    pub fn consumer_mut(&mut self, name: &str) -> Option<&mut ConsumerSpec> {
        self.consumers.iter_mut().find(|consumer| consumer.name == name)
    }

    /// Gives a stream another name, for its consumers too.
    pub fn rename_stream(&mut self, from: &str, to: &str) {
        for stream in self.streams.iter_mut().filter(|stream| stream.name == from) {
            stream.name = Cow::Owned(to.to_owned());
        }
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.stream == from) {
            consumer.stream = Cow::Owned(to.to_owned());
        }
    }
}

impl From<StreamSpec> for Specs {
    fn from(stream: StreamSpec) -> Self {
        Self { streams: vec![stream], consumers: Vec::new() }
    }
}

impl From<ConsumerSpec> for Specs {
    fn from(consumer: ConsumerSpec) -> Self {
        Self { streams: Vec::new(), consumers: vec![consumer] }
    }
}

impl From<&Specs> for Specs {
    fn from(specs: &Specs) -> Self {
        specs.clone()
    }
}

impl From<&StreamSpec> for Specs {
    fn from(stream: &StreamSpec) -> Self {
        stream.clone().into()
    }
}

impl From<&ConsumerSpec> for Specs {
    fn from(consumer: &ConsumerSpec) -> Self {
        consumer.clone().into()
    }
}

impl FromIterator<Specs> for Specs {
    fn from_iter<T: IntoIterator<Item = Specs>>(all: T) -> Self {
        let mut together = Self::default();
        for specs in all {
            together.streams.extend(specs.streams);
            together.consumers.extend(specs.consumers);
        }
        together
    }
}

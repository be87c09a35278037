//! [`Replay`]: the events of a stream, from the past on.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::SystemTime,
};

use futures_util::Stream;

use crate::{
    Bus, Code, Deliver, Event, Filter, ReplayPolicy, Result, Status,
    bus::{Headers, Subject},
    event::malformed,
    jetstream::{Delivered, JetStream, Ordered, OrderedSpec},
    status::reason,
};

/// The events of a stream, from the past on, in their order: a [`Stream`].
///
/// Nothing is acknowledged and nobody else gets less: it is for looking back, for projections that are
/// built anew, for those who come late. It notices by itself when a part is lost on the way, when its server goes
/// away and when its place is forgotten, and reads on where it was, without a gap or a double. What the stream
/// has deleted meanwhile, by its limits, does not come.
///
/// ```
/// # use subwire::{Bus, Event, Filter, Replay, Result};
/// # async fn example<AgentMessage: Event>(bus: &Bus, filter: Filter<AgentMessage>) -> Result<()> {
/// let mut past = Replay::of(bus, filter).from_sequence(1).until_caught_up().open().await?;
/// while let Some(replayed) = past.next().await.transpose()? {
///     println!("{} {}", replayed.sequence, replayed.subject);
/// }
/// # Ok(()) }
/// ```
///
/// An item may be an error and the next one well: a payload that is not what the schema says (`DATA_LOSS`,
/// reason `MALFORMED_EVENT`, with its place as `sequence` in the metadata of its `ErrorInfo`). After any other error comes
/// the end: the stream is gone (`NOT_FOUND`), may not be read (`PERMISSION_DENIED`), or the bus is closed
/// (`UNAVAILABLE`).
pub struct Replay<E> {
    reader: Option<Ordered>,
    until_caught_up: bool,
    event: PhantomData<fn() -> E>,
}

/// An event of the past.
#[derive(Debug, Clone)]
pub struct Replayed<E> {
    /// The event.
    pub event: E,
    /// What it was published on.
    pub subject: Subject,
    /// What came beside it: its id, its trace (`traceparent`), and whatever its publisher added.
    pub headers: Headers,
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored.
    pub time: SystemTime,
}

impl<E: Event> Replay<E> {
    /// Reads the stream that the schema names, from its start, for ever, as fast as it is read.
    pub fn of(bus: &Bus, filter: impl Into<Filter<E>>) -> ReplayBuilder<E> {
        ReplayBuilder {
            streams: JetStream::new(bus),
            filter: filter.into(),
            stream: E::INFO.stream.map(str::to_owned),
            deliver: Deliver::All,
            replay: ReplayPolicy::Instant,
            until_caught_up: false,
        }
    }

    /// The next one; `None` after an error that is final, and when it has caught up and was to stop there.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Replayed<E>>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Whether everything has been read that was stored when it was last heard of.
    pub fn caught_up(&self) -> bool {
        self.reader.as_ref().is_none_or(Ordered::caught_up)
    }

    fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Replayed<E>>>> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        if self.until_caught_up && reader.caught_up() {
            self.reader = None;
            return Poll::Ready(None);
        }
        match reader.poll_next(cx) {
            Poll::Ready(Some(Ok(delivered))) => Poll::Ready(Some(decode(delivered))),
            Poll::Ready(last) => {
                self.reader = None;
                Poll::Ready(last.map(|last| last.and_then(decode)))
            }
            // What was left may have gone instead of coming.
            Poll::Pending if self.until_caught_up && reader.caught_up() => {
                self.reader = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn decode<E: Event>(delivered: Delivered) -> Result<Replayed<E>> {
    let (sequence, time, message) = (delivered.stream_sequence, delivered.time, delivered.message);
    match E::decode(message.payload) {
        Ok(event) => Ok(Replayed { event, subject: message.subject, headers: message.headers, sequence, time }),
        Err(error) => Err(malformed::<E>(&message.subject, error).with_fact("sequence", sequence.to_string())),
    }
}

impl<E: Event> Stream for Replay<E> {
    type Item = Result<Replayed<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Self::poll_next(self.get_mut(), cx)
    }
}

impl<E: Event> fmt::Debug for Replay<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("event", &E::INFO.name).field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// A replay to be opened.
#[must_use = "nothing is read until it is opened"]
pub struct ReplayBuilder<E> {
    streams: JetStream,
    filter: Filter<E>,
    stream: Option<String>,
    deliver: Deliver,
    replay: ReplayPolicy,
    until_caught_up: bool,
}

impl<E: Event> ReplayBuilder<E> {
    /// Reads this stream, in place of the one that the schema names: an archive, a mirror.
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Begins in this place of the stream, or at what follows it.
    pub fn from_sequence(mut self, sequence: u64) -> Self {
        // Places begin at 1, and the broker refuses 0.
        self.deliver = Deliver::FromSequence(sequence.max(1));
        self
    }

    /// Begins at what was stored at this time or later.
    pub fn from_time(mut self, time: SystemTime) -> Self {
        self.deliver = Deliver::FromTime(time);
        self
    }

    /// Begins at the last event of each subject: what is, without how it came about.
    pub fn from_last_of_each(mut self) -> Self {
        self.deliver = Deliver::LastPerSubject;
        self
    }

    /// Takes as long as it took then: between two events passes what passed between them.
    pub fn original_speed(mut self) -> Self {
        self.replay = ReplayPolicy::Original;
        self
    }

    /// Ends when everything has been read that is stored.
    pub fn until_caught_up(mut self) -> Self {
        self.until_caught_up = true;
        self
    }

    /// Begins to read.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such stream; `INVALID_ARGUMENT` when neither the schema nor
    /// [`stream`](Self::stream) names one, and for a filter whose value cannot be in a subject; else as
    /// those of reading.
    pub async fn open(self) -> Result<Replay<E>> {
        let Some(stream) = self.stream else {
            let message = format!("the schema names no stream for {}: name one", E::INFO.name);
            return Err(Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message));
        };
        let subject = self.filter.subject()?.as_str().to_owned();
        let (deliver, replay) = (self.deliver, self.replay);
        let spec = OrderedSpec { filters: vec![subject], deliver, replay, ..OrderedSpec::new(stream) };
        let reader = Ordered::open(self.streams, spec).await?;
        Ok(Replay { reader: Some(reader), until_caught_up: self.until_caught_up, event: PhantomData })
    }
}

impl<E: Event> fmt::Debug for ReplayBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBuilder")
            .field("event", &E::INFO.name)
            .field("stream", &self.stream)
            .field("deliver", &self.deliver)
            .finish_non_exhaustive()
    }
}

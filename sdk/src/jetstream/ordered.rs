//! [`Ordered`]: a stream in its order, without a gap.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::time::{Sleep, sleep};

use super::{
    AckPolicy, Action, ConsumerSpec, Deliver, Delivered, Deliveries, JetStream, Origin, Pull, ReplayPolicy, StreamInfo,
    wrapped::Wrapped,
};
use crate::{BoxFuture, Code, Result, Status, backoff::Backoff, limits};

/// Waits between attempts to read on.
const REOPEN: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4));

/// Silence after which a reader that has not caught up asks what is left. Nothing says so when what was to
/// come went instead: by its time to live, or purged.
const SILENCE: Duration = Duration::from_secs(1);

/// How many are looked at one by one behind one that cannot be read. Each that is met otherwise costs a connection.
const NEAR: usize = 100;

/// After so long without a reader the broker forgets its consumer.
const INACTIVE: Duration = Duration::from_secs(60);

/// What is read, and from where.
#[derive(Debug, Clone)]
pub(crate) struct OrderedSpec {
    pub(crate) stream: String,
    /// Which subjects; empty: all.
    pub(crate) filters: Vec<String>,
    pub(crate) deliver: Deliver,
    pub(crate) replay: ReplayPolicy,
    pub(crate) headers_only: bool,
}

impl OrderedSpec {
    /// Everything in `stream`, from its start, as fast as it is taken.
    pub(crate) fn new(stream: impl Into<String>) -> Self {
        let (deliver, replay) = (Deliver::All, ReplayPolicy::Instant);
        Self { stream: stream.into(), filters: Vec::new(), deliver, replay, headers_only: false }
    }
}

/// A stream in its order, without a gap, for as long as somebody reads.
///
/// Nothing is acknowledged. The broker numbers what it hands out, and says how far it is when it has no more; a number
/// that is missing, a lost connection or a consumer that is gone make another consumer, which goes on where this one
/// was.
/// The only final errors: the stream is gone (`NOT_FOUND`), may not be read (`PERMISSION_DENIED`), or
/// the bus is closed (`UNAVAILABLE`).
pub(crate) struct Ordered {
    streams: JetStream,
    spec: OrderedSpec,
    state: State,
    mark: Mark,
    /// The last one read, as this consumer counts.
    consumer_last: u64,
    caught_up: bool,
    silence: Option<Silence>,
}

/// How far a reader is.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// When the stream was made, if that may be asked.
    made: Option<SystemTime>,
    /// In front of the first one that is wanted.
    start: u64,
    /// The last one read, in the stream.
    last: Option<u64>,
    /// How many of the next ones are looked at one by one, since one cannot be read and others may be near.
    one_by_one: usize,
    /// Where that ends when only the newest of each subject counts: all that comes behind is new.
    end: u64,
}

impl Mark {
    /// In front of the next one.
    fn place(self) -> u64 {
        self.last.unwrap_or(self.start)
    }

    /// Where to go on in the stream as it is now. It may be another one of the same name; or have lost its end, and
    /// give those places to others.
    fn in_stream(self, stream: &StreamInfo) -> Self {
        let is_shorter = self.last > Some(stream.last_sequence);
        match self.made {
            Some(made) if made == stream.created => Self { last: self.last.min(Some(stream.last_sequence)), ..self },
            None if !is_shorter => self,
            _ => {
                tracing::warn!(stream = %stream.spec.name, "a stream was made anew: reading it from its start");
                Self { made: Some(stream.created), start: 0, last: Some(0), one_by_one: 0, end: u64::MAX }
            }
        }
    }
}

/// Nothing has come for a while.
enum Silence {
    Waiting(Pin<Box<Sleep>>),
    /// Is anything left to come?
    Asking(BoxFuture<Result<bool>>),
}

enum State {
    Opening(BoxFuture<Result<(Mark, Next)>>),
    Reading(Opened),
    Over,
}

/// What comes next.
enum Next {
    Opened(Opened),
    /// A message that came another way.
    Found(Box<Delivered>),
}

struct Opened {
    consumer: String,
    deliveries: Deliveries,
    /// What it has to hand out, when it was opened.
    pending: u64,
    /// The connection over which it reads. What is under way when that is lost does not come again: nothing is
    /// acknowledged.
    epoch: u64,
    /// What has been read before, and comes again because older ones of a subject are not wanted.
    read_before: u64,
}

impl Ordered {
    /// Begins to read.
    ///
    /// # Errors
    /// As those that are final.
    pub(crate) async fn open(streams: JetStream, spec: OrderedSpec) -> Result<Self> {
        let mut mark = Mark { made: None, start: 0, last: None, one_by_one: 0, end: u64::MAX };
        let (stream, opened) = tokio::join!(stream_info(&streams, &spec), open(&streams, consumer(&spec, mark, false)));
        let (opened, start) = opened?;
        (mark.made, mark.start) = (stream?.map(|stream| stream.created), start);
        let mut ordered =
            Self { streams, spec, state: State::Over, mark, consumer_last: 0, caught_up: false, silence: None };
        ordered.read(opened);
        Ok(ordered)
    }

    /// Whether everything has been read that was stored when it was last heard of.
    pub(crate) fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// The next one; `None` after an error. It may have [caught up](Self::caught_up) while this is pending.
    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Delivered>>> {
        loop {
            let next = match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Opening(opening) => {
                    match ready!(opening.as_mut().poll(cx)) {
                        Ok((mark, Next::Opened(opened))) => {
                            self.mark = mark;
                            self.read(opened);
                        }
                        Ok((mark, Next::Found(delivered))) => {
                            self.mark = Mark { last: Some(delivered.stream_sequence), ..mark };
                            self.go_on(true, 0);
                            return Poll::Ready(Some(Ok(*delivered)));
                        }
                        Err(status) => return self.fail(status),
                    }
                    continue;
                }
                State::Reading(opened) => opened.deliveries.poll_next(cx),
            };
            let Poll::Ready(next) = next else {
                if self.is_cut_off() {
                    self.abandon();
                    self.go_on(true, 1);
                    continue;
                }
                if self.lacks_some() {
                    self.reopen();
                    continue;
                }
                self.poll_silence(cx);
                return Poll::Pending;
            };
            self.silence = None;
            match next {
                Some(Ok(delivered)) if delivered.consumer_sequence == self.consumer_last + 1 => {
                    self.consumer_last = delivered.consumer_sequence;
                    self.caught_up |= delivered.pending == 0;
                    if self.has_read(&delivered) {
                        continue;
                    }
                    self.mark.last = Some(delivered.stream_sequence);
                    return Poll::Ready(Some(Ok(delivered)));
                }
                Some(Ok(delivered)) => {
                    let (got, last) = (delivered.consumer_sequence, self.consumer_last);
                    tracing::debug!(stream = self.spec.stream, got, last, "a gap: reading it again");
                    self.reopen();
                }
                // The consumer is gone: it was forgotten, or its server is.
                Some(Err(status)) if status.code() == Code::NotFound => self.reopen(),
                Some(Err(status)) => return self.fail(status),
                None => self.reopen(),
            }
        }
    }

    /// Whether the connection is another one than that over which it began to read.
    fn is_cut_off(&self) -> bool {
        let State::Reading(opened) = &self.state else { return false };
        let link = self.streams.bus().link();
        let link = link.borrow();
        link.closed.is_none() && link.up && link.epoch != opened.epoch
    }

    /// Whether some messages were lost on the way, and nothing has come behind them that would show it.
    fn lacks_some(&self) -> bool {
        matches!(&self.state, State::Reading(opened) if opened.deliveries.lacks(self.consumer_last))
    }

    fn has_read(&self, delivered: &Delivered) -> bool {
        matches!(&self.state, State::Reading(opened) if delivered.stream_sequence <= opened.read_before)
    }

    /// Finds out whether anything is left, when nothing has come for a while.
    fn poll_silence(&mut self, cx: &mut TaskContext<'_>) {
        while !self.caught_up {
            let silence = self.silence.get_or_insert_with(|| Silence::Waiting(Box::pin(sleep(SILENCE))));
            match silence {
                Silence::Waiting(wait) => {
                    if wait.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    let asking = is_left(self.streams.clone(), self.spec.clone(), self.mark);
                    self.silence = Some(Silence::Asking(Box::pin(asking)));
                }
                Silence::Asking(asking) => {
                    let Poll::Ready(left) = asking.as_mut().poll(cx) else { return };
                    // Who cannot be asked now is asked again later.
                    self.caught_up = matches!(left, Ok(false));
                    self.silence = None;
                }
            }
        }
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Delivered>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(status)))
    }

    fn read(&mut self, opened: Opened) {
        self.consumer_last = 0;
        self.caught_up |= opened.pending == 0;
        self.state = State::Reading(opened);
    }

    fn reopen(&mut self) {
        self.abandon();
        self.go_on(false, 1);
    }

    /// Reads on; `looks`: what comes next may be what has ended the connection. Attempt number 0 is at once.
    fn go_on(&mut self, looks: bool, first: usize) {
        let (streams, spec, mark) = (self.streams.clone(), self.spec.clone(), self.mark);
        let newest = spec.deliver == Deliver::LastPerSubject && !self.caught_up;
        self.state = State::Opening(Box::pin(async move {
            for attempt in first.. {
                if attempt > 0 {
                    sleep(REOPEN.delay(attempt)).await;
                }
                match again(&streams, &spec, mark, newest, looks).await {
                    Err(status) if may_pass(&streams, &status) => {
                        tracing::debug!(%status, attempt, "a reader waits for its stream");
                    }
                    next => return next,
                }
            }
            Err(super::error::polled_again())
        }));
    }

    /// The broker need not wait until it notices by itself.
    fn abandon(&mut self) {
        if let State::Reading(Opened { consumer, .. }) = &self.state {
            self.streams.abandon_consumer(&self.spec.stream, consumer);
        }
        self.state = State::Over;
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").field("spec", &self.spec).field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// Opens a consumer. Says also what is in front of the first one that it hands out.
async fn open(streams: &JetStream, spec: ConsumerSpec) -> Result<(Opened, u64)> {
    let epoch = streams.bus().link().borrow().epoch;
    let info = streams.put_consumer(&spec, Action::Create).await?;
    let pull = Pull { messages: limits::PULL_MESSAGES, bytes: limits::PULL_BYTES };
    let deliveries = streams.pull(&spec.stream, &spec.name, pull).await?;
    let consumer = spec.name.into_owned();
    Ok((Opened { consumer, deliveries, pending: info.pending, epoch, read_before: 0 }, info.delivered))
}

/// The stream as it is. `None`: that may not be asked.
async fn stream_info(streams: &JetStream, spec: &OrderedSpec) -> Result<Option<StreamInfo>> {
    match streams.stream_info(&spec.stream).await {
        Err(status) if status.code() == Code::PermissionDenied => {
            tracing::debug!(%status, "a reader cannot tell whether its stream is made anew");
            Ok(None)
        }
        info => info.map(Some),
    }
}

/// Whether anything is left to come: what its consumer still counts may have been deleted.
async fn is_left(streams: JetStream, spec: OrderedSpec, mark: Mark) -> Result<bool> {
    let newest = spec.deliver == Deliver::LastPerSubject;
    Ok(next(&streams, &spec, mark, newest).await?.is_some())
}

/// What comes next behind the mark.
async fn next(streams: &JetStream, spec: &OrderedSpec, mark: Mark, newest: bool) -> Result<Option<Wrapped>> {
    match newest {
        true => streams.next_newest(&spec.stream, &spec.filters, mark.place(), mark.end).await,
        false => streams.next_wrapped(&spec.stream, &spec.filters, mark.place()).await,
    }
}

/// Goes on behind the mark: with the `newest` of each subject, or with all that come. `looks`: what comes next may
/// be what has ended the connection.
async fn again(
    streams: &JetStream,
    spec: &OrderedSpec,
    mut mark: Mark,
    newest: bool,
    looks: bool,
) -> Result<(Mark, Next)> {
    let stream = stream_info(streams, spec).await?;
    if let Some(stream) = &stream {
        mark = mark.in_stream(stream);
    }
    let one_by_one = mark.one_by_one > 0;
    if (looks || one_by_one)
        && let Some(next) = found(streams, spec, mark, newest).await?
        && (one_by_one || !next.is_readable)
    {
        if !one_by_one {
            mark.end = stream.map_or(u64::MAX, |stream| stream.last_sequence);
        }
        mark.one_by_one = match next.is_readable {
            false => NEAR,
            // A consumer would begin with the newest of each subject once more, and meet it again.
            true if newest => mark.one_by_one,
            true => mark.one_by_one - 1,
        };
        if !next.is_readable {
            let sequence = next.stored.sequence;
            tracing::warn!(stream = spec.stream, sequence, "a message is shown as far as it can be made out");
        }
        let origin = Arc::new(Origin { stream: spec.stream.as_str().into(), consumer: "".into() });
        return Ok((mark, Next::Found(Box::new(next.deliver(&origin)))));
    }
    // Behind the last of one by one there is only what is new.
    if newest && one_by_one {
        mark.last = mark.last.max(Some(mark.end).filter(|end| *end < u64::MAX));
    }
    let newest = newest && !one_by_one;
    let (opened, _) = open(streams, consumer(spec, mark, newest)).await?;
    let read_before = mark.last.filter(|_| newest).unwrap_or(0);
    Ok((mark, Next::Opened(Opened { read_before, ..opened })))
}

/// The same, if that may be asked.
async fn found(streams: &JetStream, spec: &OrderedSpec, mark: Mark, newest: bool) -> Result<Option<Wrapped>> {
    match next(streams, spec, mark, newest).await {
        Err(status) if status.code() == Code::PermissionDenied => {
            tracing::warn!(%status, stream = spec.stream, "what has ended a connection cannot be looked for");
            Ok(None)
        }
        next => next,
    }
}

/// Whether it makes sense to try again.
fn may_pass(streams: &JetStream, status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
        && streams.bus().link().borrow().closed.is_none()
}

/// The consumer that goes on behind the mark, or with the `newest` of each subject once more.
fn consumer(spec: &OrderedSpec, mark: Mark, newest: bool) -> ConsumerSpec {
    let deliver = match (mark.last, spec.deliver) {
        (Some(last), _) if !newest => Deliver::FromSequence(last + 1),
        // What has been stored since it began is new.
        (None, Deliver::New) if mark.made.is_some() => Deliver::FromSequence(mark.start + 1),
        (_, deliver) => deliver,
    };
    ConsumerSpec {
        filters: spec.filters.iter().cloned().map(Into::into).collect(),
        deliver,
        ack: AckPolicy::None,
        replay: spec.replay,
        headers_only: spec.headers_only,
        inactive_threshold: Some(INACTIVE),
        ..ConsumerSpec::new(spec.stream.clone(), format!("ordered-{:016x}", rand::random::<u64>()))
    }
}

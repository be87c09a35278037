//! [`WorkerMonitor`]: how a worker is doing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};

use super::outcome::Verdict;
use crate::{
    Code, ConsumerSpec, Result, Status,
    jetstream::{Get, JetStream},
};

/// How a worker is doing: to look at while it runs. A clone is one atomic increment.
#[derive(Clone)]
pub struct WorkerMonitor {
    pub(super) streams: JetStream,
    pub(super) consumer: ConsumerSpec,
    pub(super) board: Arc<Board>,
    state: watch::Receiver<WorkerState>,
}

/// What a consumer has still to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Messages that it has not handed out yet.
    pub pending: u64,
    /// Messages that are out, with this instance or another, or that wait for another attempt.
    pub ack_pending: u64,
    /// Of these, messages that are out for the second time or more.
    pub redelivered: u64,
    /// How long the oldest message lies in the stream that is not done; `None` when all are.
    pub oldest_age: Option<Duration>,
}

/// What a worker is doing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum WorkerState {
    /// It does not run.
    #[default]
    Stopped,
    /// It takes messages.
    Working,
    /// Its consumer or its stream is gone, and it tries to have the consumer made again.
    Waiting(Status),
    /// It takes no more, and finishes what it has.
    Stopping,
}

/// What a worker has done since it was built, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkerCounts {
    /// Done.
    pub done: u64,
    /// Done before, as the store of effects knew; not done again.
    pub repeated: u64,
    /// Attempts that failed, panics among them.
    pub failed: u64,
    /// Attempts that panicked.
    pub panicked: u64,
    /// Set aside as dead letters.
    pub dead_letters: u64,
    /// Times that a message could not be set aside, and was kept.
    pub burials_failed: u64,
    /// Handed back, or cut off, when the worker stopped.
    pub handed_back: u64,
    /// Handed out again while they were still being worked on; not begun twice.
    pub doubles: u64,
}

impl WorkerMonitor {
    pub(super) fn new(streams: JetStream, consumer: ConsumerSpec, board: Arc<Board>) -> Self {
        let state = board.state.subscribe();
        Self { streams, consumer, board, state }
    }

    /// What its consumer has still to do: one or two questions to the broker.
    ///
    /// # Errors
    /// `NOT_FOUND` when the consumer is gone, `PERMISSION_DENIED`, `UNAVAILABLE`.
    pub async fn lag(&self) -> Result<Lag> {
        let info = self.streams.consumer_info(&self.consumer.stream, &self.consumer.name).await?;
        let (pending, ack_pending, redelivered) = (info.pending, info.ack_pending, info.redelivered);
        let oldest_age = match pending + ack_pending {
            0 => None,
            _ => self.oldest(info.ack_floor + 1).await?.map(|time| self.board.age(time)),
        };
        Ok(Lag { pending, ack_pending, redelivered, oldest_age })
    }

    /// When the oldest message that the consumer wants was stored, from this place on.
    async fn oldest(&self, from: u64) -> Result<Option<SystemTime>> {
        let all = [">".into()];
        let filters = if self.consumer.filters.is_empty() { &all } else { &*self.consumer.filters };
        let mut oldest = None;
        for filter in filters {
            let get = Get::Next { from, subject: filter.to_string() };
            let found = match self.streams.get_message(&self.consumer.stream, &get, false).await {
                Err(status) if status.code() == Code::NotFound => None,
                found => found?,
            };
            let time = found.map(|found| found.time);
            oldest = oldest.into_iter().chain(time).min();
        }
        Ok(oldest)
    }

    /// What it has done.
    pub fn counts(&self) -> WorkerCounts {
        self.board.counts()
    }

    /// What it is doing.
    pub fn state(&self) -> WorkerState {
        self.board.state.borrow().clone()
    }

    /// Waits until it does something else than when this was asked last, and says what. What lasts a moment
    /// only may not be seen. Cancel-safe.
    pub async fn changed(&mut self) -> WorkerState {
        // Its sender is in the same place as we are.
        let _ = self.state.changed().await;
        self.state.borrow_and_update().clone()
    }
}

impl fmt::Debug for WorkerMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerMonitor")
            .field("stream", &self.consumer.stream)
            .field("consumer", &self.consumer.name)
            .field("state", &self.state())
            .field("counts", &self.counts())
            .finish()
    }
}

/// Where a worker writes down how it is doing.
pub(super) struct Board {
    state: watch::Sender<WorkerState>,
    done: AtomicU64,
    repeated: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    dead_letters: AtomicU64,
    burials_failed: AtomicU64,
    handed_back: AtomicU64,
    doubles: AtomicU64,
    /// What the time was, by both clocks: a test may stop one of them.
    since: (SystemTime, Instant),
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::default(),
            done: AtomicU64::default(),
            repeated: AtomicU64::default(),
            failed: AtomicU64::default(),
            panicked: AtomicU64::default(),
            dead_letters: AtomicU64::default(),
            burials_failed: AtomicU64::default(),
            handed_back: AtomicU64::default(),
            doubles: AtomicU64::default(),
            since: (SystemTime::now(), Instant::now()),
        }
    }

    /// What time it is.
    pub(super) fn now(&self) -> SystemTime {
        self.since.0 + self.since.1.elapsed()
    }

    fn age(&self, time: SystemTime) -> Duration {
        self.now().duration_since(time).unwrap_or_default()
    }

    pub(super) fn set(&self, state: WorkerState) {
        self.state.send_replace(state);
    }

    pub(super) fn count(&self, verdict: &Verdict) {
        add(match verdict {
            Verdict::Done => &self.done,
            Verdict::Repeated => &self.repeated,
            Verdict::CutOff => &self.handed_back,
            Verdict::Panicked(_) => {
                add(&self.panicked);
                &self.failed
            }
            Verdict::Retry(..) | Verdict::DeadLetter(_) => &self.failed,
        });
    }

    pub(super) fn dead_letter(&self) {
        add(&self.dead_letters);
    }

    pub(super) fn burial_failed(&self) {
        add(&self.burials_failed);
    }

    pub(super) fn handed_back(&self) {
        add(&self.handed_back);
    }

    pub(super) fn double(&self) {
        add(&self.doubles);
    }

    fn counts(&self) -> WorkerCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerCounts {
            done: get(&self.done),
            repeated: get(&self.repeated),
            failed: get(&self.failed),
            panicked: get(&self.panicked),
            dead_letters: get(&self.dead_letters),
            burials_failed: get(&self.burials_failed),
            handed_back: get(&self.handed_back),
            doubles: get(&self.doubles),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

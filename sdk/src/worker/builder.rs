//! [`WorkerBuilder`]: puts a worker together.

use std::{fmt, future::Future, hash::Hash, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    RunningWorker, backstop,
    core::Core,
    delivery::Life,
    effects::{EffectKey, Effects, Once},
    handler::{Handler, Keys, Payload},
    in_hand::InHand,
    intake::Intake,
    lanes::Lanes,
    metrics::Metrics,
    monitor::{Board, WorkerMonitor},
    pace::Pace,
    retry::Retry,
};
use crate::{
    AckPolicy, Code, ConsumerSpec, Result, Status, StreamSpec,
    bus::Bus,
    dead_letters::{Burial, DeadLetter, DeadLetters},
    jetstream::{Action, JetStream},
    limits,
    status::reason,
};

/// Puts a worker together. A clone runs the same work, and is counted with it.
#[derive(Clone)]
#[must_use = "a builder does nothing until it runs"]
pub struct WorkerBuilder {
    bus: Bus,
    consumer: ConsumerSpec,
    handler: Handler,
    keys: Keys,
    effects: Option<Once>,
    concurrency: usize,
    prefetch: usize,
    grace: Duration,
    retry_delays: (Duration, Duration),
    dead_letters: StreamSpec,
    recreate: bool,
    backstop: bool,
    board: Arc<Board>,
}

impl WorkerBuilder {
    pub(super) fn new(bus: Bus, consumer: &ConsumerSpec, handler: Handler) -> Self {
        Self {
            bus,
            consumer: consumer.clone(),
            handler,
            keys: Keys::default(),
            effects: None,
            concurrency: limits::WORKER_CONCURRENCY,
            prefetch: limits::PULL_MESSAGES,
            grace: limits::GRACE,
            retry_delays: (limits::RETRY_BASE, limits::RETRY_CAP),
            dead_letters: DeadLetters::spec(),
            recreate: true,
            backstop: false,
            board: Arc::new(Board::new()),
        }
    }

    /// Messages that are handled at one time, in this process. Default: 16.
    pub fn concurrency(mut self, messages: usize) -> Self {
        self.concurrency = messages.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Messages that are taken ahead where the handler is quick, so that it need not wait for the next
    /// ones. Default: 1,000, and at most 4 MiB of them.
    ///
    /// They wait here and are not shared with other instances. So where the handler takes longer than about
    /// 50 microseconds or waits for something, only as many are taken ahead as are handled at one time.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.prefetch = messages.max(1);
        self
    }

    /// How long a worker that stops waits for what has begun, before it cuts it off. Default: 30 s. What is too
    /// long for the clock is without an end.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The waits between attempts, where the consumer names none (`backoff`): each random between nothing
    /// and a ceiling, which is `base` at first, doubles, and is never over `cap`. Default: 1 s to 60 s. No wait is
    /// shorter than 10 ms or longer than 30 days.
    pub fn retry_delays(mut self, base: Duration, cap: Duration) -> Self {
        self.retry_delays = (base, cap);
        self
    }

    /// Handles messages of the same key one after another, in the order of the stream, and others beside
    /// them: `.ordered_by(|message: &AgentMessage| message.recipient_id.clone())`. Once for each kind of event that
    /// the handler takes; kinds without a key are in no order.
    ///
    /// A message that is tried again holds back those of its key: at most 32 MiB of them are kept; more are
    /// given back to come again, which uses up one of their attempts. If it does not come again within its
    /// `ack_wait` (5 s at least, 30 days at most) after it was due, since it was deleted, its key goes on without
    /// it. This is an order within one instance: with several, a key's messages go to all of them.
    pub fn ordered_by<P: Payload, K: Hash>(mut self, key: impl Fn(&P) -> K + Send + Sync + 'static) -> Self {
        self.keys.add(key);
        self
    }

    /// Asks this store before it does a message, and notes there what is done: at least once, and hardly
    /// ever twice. See [`Effects`].
    pub fn effects_once(mut self, store: impl Effects, key: EffectKey) -> Self {
        self.effects = Some(Once { store: Arc::new(store), key });
        self
    }

    /// Sets messages aside in this stream, which is made when the first one needs it. It must store
    /// `dlq.<stream>.<consumer>`. Default: [`DeadLetters::spec`].
    pub fn dead_letters(mut self, stream: StreamSpec) -> Self {
        self.dead_letters = stream;
        self
    }

    /// Whether a consumer that is deleted while the worker runs is made again, by its spec, with at most
    /// one attempt a second; default: yes. One that is made again begins where its spec says, so what is stored
    /// may come again. If its stream is gone the worker waits for that. Otherwise the worker ends with
    /// `NOT_FOUND`.
    pub fn recreate(mut self, recreate: bool) -> Self {
        self.recreate = recreate;
        self
    }

    /// Also sets aside what the broker has given up on. Default: no.
    ///
    /// The broker gives up when a message was handed out two times more often than its consumer says, which
    /// takes workers that die with it each time. It says so once, and the message stays where it is. With
    /// this, a stream `dead-letter-advisories` keeps what it says (for 7 days), and the worker sets those
    /// messages aside.
    pub fn backstop(mut self) -> Self {
        self.backstop = true;
        self
    }

    /// How the worker is doing, also while it does not run.
    pub fn monitor(&self) -> WorkerMonitor {
        let (streams, consumer) = (JetStream::new(&self.bus), self.consumer.clone());
        WorkerMonitor::new(streams, consumer, self.board.clone())
    }

    /// Works until `shutdown` resolves; then takes no more, finishes or hands back what it has, and
    /// returns.
    ///
    /// # Errors
    /// As [`start`](Self::start). Later: `NOT_FOUND` when the consumer is gone and is not to be made again,
    /// `PERMISSION_DENIED`, `UNAVAILABLE` when the bus is closed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut running = self.start().await?;
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            ended = running.ended() => ended,
        };
        // Its backstop may have ended, and it goes on.
        let stopped = running.stop().await;
        ended.and(stopped)
    }

    /// Begins to work. The consumer is made by its spec if there is none.
    ///
    /// # Errors
    /// `NOT_FOUND`, reason `STREAM_NOT_FOUND`, when the consumer's stream does not exist: apply the specs of
    /// its schema first. `INVALID_ARGUMENT` for a consumer that is not acknowledged, for one whose name is
    /// longer than 507 bytes with that of its stream, and for a key of something that the handler does not
    /// take. `UNAVAILABLE` when the broker cannot be reached.
    pub async fn start(self) -> Result<RunningWorker> {
        self.check()?;
        let backstop = match self.backstop {
            true => Some(Box::new(Box::pin(backstop::start(&self.bus, &self.consumer, &self.dead_letters)).await?)),
            false => None,
        };
        let streams = JetStream::new(&self.bus);
        let consumer = self.consumer(&streams).await?;
        let prefetch = self.prefetch.min(usize::try_from(consumer.max_ack_pending).unwrap_or(usize::MAX)).max(1);
        let (grace, recreate) = (self.grace, self.recreate);
        let draining = CancellationToken::new();
        let core = Arc::new(self.core(streams, consumer, draining.clone()));
        let monitor = core.monitor();
        let intake = Intake::new(core, prefetch, grace, recreate);
        let deliveries = intake.open().await?;
        let mut task = JoinSet::new();
        task.spawn(intake.run(deliveries));
        Ok(RunningWorker { monitor, draining, task, backstop })
    }

    fn core(self, streams: JetStream, consumer: ConsumerSpec, draining: CancellationToken) -> Core {
        let waits = consumer.backoff.iter().copied().chain([consumer.ack_wait, limits::ORDER_PATIENCE]);
        let patience = waits.max().unwrap_or(limits::ORDER_PATIENCE).min(limits::RETRY_DELAY_MAX);
        let lanes = (!self.keys.is_empty()).then(|| Lanes::new(patience, limits::WORKER_BYTES / 2));
        let (base, cap) = self.retry_delays;
        Core {
            retry: Retry::new(&consumer, base, cap),
            burial: Burial::new(&streams, self.dead_letters),
            metrics: Metrics::new(&consumer),
            life: Arc::new(Life { abort: CancellationToken::new(), attempts: consumer.max_deliver }),
            places: Arc::new(Semaphore::new(self.concurrency)),
            streams,
            consumer,
            handler: self.handler,
            keys: self.keys,
            effects: self.effects,
            in_hand: Arc::new(InHand::default()),
            lanes,
            draining,
            closed: CancellationToken::new(),
            pace: Pace::new(),
            board: self.board,
        }
    }

    /// Whether its bus is closed for good.
    pub(super) fn is_cut_off(&self) -> bool {
        self.bus.link().borrow().closed.is_some()
    }

    fn check(&self) -> Result<()> {
        let invalid = |message| Err(Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message));
        if self.consumer.ack != AckPolicy::Explicit {
            return invalid(format!("a worker acknowledges, and the consumer {} is not to be", self.consumer.name));
        }
        // Better now than when the first message cannot be set aside.
        if let Err(status) = DeadLetter::place_of(&self.consumer.stream, &self.consumer.name) {
            return invalid(format!("what this worker sets aside would have no place: {}", status.message()));
        }
        match self.keys.stray(&*self.handler.0) {
            Some(name) => invalid(format!("no handler takes {name}, by which messages are to be ordered")),
            None => Ok(()),
        }
    }

    /// The consumer as the broker has it, made if there is none.
    async fn consumer(&self, streams: &JetStream) -> Result<ConsumerSpec> {
        let wanted = &self.consumer;
        let found = match streams.consumer_info(&wanted.stream, &wanted.name).await {
            Err(status) if is_absent(&status) => streams.put_consumer(wanted, Action::Create).await?.spec,
            // It may do its work and not look.
            Err(status) if status.code() == Code::PermissionDenied => return Ok(wanted.clone()),
            info => info?.spec,
        };
        // With waits between attempts, the broker takes the first of them for `ack_wait`.
        let waits_differ = wanted.backoff.is_empty() && found.ack_wait != wanted.ack_wait;
        if waits_differ || (found.max_deliver, &found.backoff) != (wanted.max_deliver, &wanted.backoff) {
            tracing::warn!(
                stream = %wanted.stream, consumer = %wanted.name,
                "the broker has other attempts and waits for this consumer than its spec, and they count: apply the spec"
            );
        }
        let ConsumerSpec { max_deliver, backoff, max_ack_pending, .. } = found;
        let ack_wait = if backoff.is_empty() { found.ack_wait } else { wanted.ack_wait };
        Ok(ConsumerSpec { ack_wait, max_deliver, backoff, max_ack_pending, ..wanted.clone() })
    }
}

fn is_absent(status: &Status) -> bool {
    status.reason().as_deref() == Some(reason::CONSUMER_NOT_FOUND)
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("stream", &self.consumer.stream)
            .field("consumer", &self.consumer.name)
            .field("handler", &self.handler)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

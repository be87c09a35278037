//! [`Serving`]: what a server does with what arrives.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prost::Message as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Options,
    early_cancels::EarlyCancels,
    endpoint::Endpoint,
    freshness::Freshness,
    in_flight::{InFlight, Slot},
    queue::Queue,
};
use crate::{
    Code, Kind, Result, Status,
    bus::{Bus, Message},
    limits,
    rpc::{calls::Calls, exchange::Exchange, inbox::BEAT_TOKEN},
    status::reason,
    wire::{
        call_id::CallId,
        frame::{Beat, CallState, Frame},
        reply::{self, ReplyTo},
        status,
        subject::Subject,
    },
};

/// What a server does with what arrives.
pub(crate) struct Serving {
    pub(super) bus: Bus,
    pub(super) options: Options,
    /// Calls that others may speak to: streams, and unary calls that have not ended at once.
    calls: Arc<Calls>,
    queue: Queue<Job>,
    in_flight: Arc<InFlight>,
    running: TaskTracker,
    draining: CancellationToken,
    abort: CancellationToken,
    freshness: Mutex<Freshness>,
    early_cancels: EarlyCancels,
}

/// A call that has been let in.
pub(super) struct Job {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) message: Message,
    pub(super) reply: Subject,
    pub(super) arrived: Instant,
    pub(super) slot: Slot,
}

impl Serving {
    pub(super) fn new(bus: Bus, options: Options) -> Self {
        Self {
            calls: Arc::default(),
            queue: Queue::new(runners(), bus.has_connection()),
            bus,
            in_flight: InFlight::new(options.max_in_flight),
            running: TaskTracker::new(),
            draining: CancellationToken::new(),
            abort: CancellationToken::new(),
            freshness: Mutex::default(),
            early_cancels: EarlyCancels::default(),
            options,
        }
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    pub(super) fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Starts the runners and the watch over the calls.
    pub(super) fn run(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for _ in 0..runners() {
            let serving = self.clone();
            tasks.spawn(async move {
                loop {
                    let (job, started) = serving.queue.pop().await;
                    if job.endpoint.pace.is_slow() {
                        serving.queue.call_another();
                    }
                    serving.begin(job, Instant::from_std(started)).await;
                    // A busy runner still lets the connection's own task run.
                    tokio::task::coop::consume_budget().await;
                }
            });
        }
        tasks.spawn(self.clone().watch());
    }

    /// Lets a request in, or refuses it. Called by the readers, so it never waits.
    pub(super) fn take(&self, endpoint: &Arc<Endpoint>, mut message: Message, arrived: Instant) {
        // The reply subject is chosen by the caller and written to with our rights.
        let Some(reply) = message.reply.take().filter(|reply| self.may_answer(reply)) else {
            tracing::debug!(method = endpoint.method.path, "a request without an inbox for the answer was dropped");
            return;
        };
        let Some(slot) = self.in_flight.try_take() else {
            let text = format!("the server handles {} calls at a time and has as many", self.in_flight.max());
            return self.refuse(&reply, &Status::made_here(Code::ResourceExhausted, reason::IN_FLIGHT_LIMIT, text));
        };
        self.queue.push(Job { endpoint: endpoint.clone(), message, reply, arrived, slot }, arrived.into_std());
    }

    fn may_answer(&self, reply: &Subject) -> bool {
        let own = reply.as_str().strip_prefix(self.bus.inbox_prefix());
        reply::is_inbox(reply.as_str()) || own.is_some_and(|rest| rest.starts_with('.'))
    }

    pub(super) fn refuse(&self, reply: &Subject, refusal: &Status) {
        let (headers, body) = self.fitting(refusal);
        self.bus.post(Message::new(reply.clone(), body).with_headers(headers));
    }

    /// Runs a call as far as it goes at once; what has to wait gets a task.
    async fn begin(self: &Arc<Self>, job: Job, started: Instant) {
        let endpoint = job.endpoint.clone();
        let rest = endpoint.pace.first_step(|cx| self.answer(job, started, cx)).await;
        let took = started.elapsed();
        endpoint.pace.took(took);
        self.queue.took(took);
        if let Some(answer) = rest {
            let abort = self.abort.clone();
            self.running.spawn(async move { abort.run_until_cancelled(answer).await });
        }
    }

    /// When the caller stops waiting; an error if it already has.
    pub(super) fn deadline(
        &self,
        endpoint: &Endpoint,
        message: &Message,
        caller: Option<&ReplyTo<'_>>,
        arrived: Instant,
        now: Instant,
    ) -> Result<Option<Instant>> {
        let timeout = match (caller, message.headers.get(status::TIMEOUT)) {
            (Some(caller), _) => caller.timeout,
            (None, Some(header)) => Some(parse_timeout(header)?),
            (None, None) => endpoint.method.default_timeout(),
        };
        let timeout = match endpoint.method.kind {
            Kind::Unary => Some(timeout.unwrap_or(limits::TIMEOUT_MAX).min(limits::TIMEOUT_MAX)),
            _ => timeout.map(|timeout| timeout.min(limits::TIMEOUT_MAX)),
        };
        let expired = || {
            let message = "the request came when its caller had stopped waiting, and was not started";
            Status::made_here(Code::DeadlineExceeded, reason::EXPIRED, message)
        };
        if let Some(caller) = caller {
            let mut freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
            if freshness.is_stale(caller.inbox, caller.sent_ms, reply::unix_ms(), timeout, arrived) {
                return Err(expired());
            }
        }
        let deadline = timeout.map(|timeout| arrived + timeout);
        match deadline.is_some_and(|deadline| deadline <= now) {
            true => Err(expired()),
            false => Ok(deadline),
        }
    }

    /// Lets others speak to a call; `None` for a request that has come twice, and runs already.
    pub(super) fn open(&self, call: CallId, endpoint: &Endpoint, framed: bool) -> Option<Open> {
        let subject = Subject::from_static(endpoint.method.subject);
        let epoch = self.bus.link().borrow().epoch;
        let exchange = Arc::new(Exchange::new(call, subject, epoch, framed));
        if !self.calls.insert(exchange.clone()) {
            tracing::debug!(method = endpoint.method.path, "a request came twice");
            return None;
        }
        if self.is_cancelled(call) {
            exchange.fail(crate::rpc::exchange::cancelled_by_peer());
        }
        Some(Open { calls: self.calls.clone(), exchange })
    }

    /// Takes in what a caller says to this instance.
    pub(super) fn control(&self, instance: &str, message: Message) {
        let Some(call) = reply::call_of(message.subject.as_str(), instance) else {
            if message.subject.as_str().ends_with(BEAT_TOKEN) {
                self.hear(&message);
            }
            return;
        };
        // A frame for a call that has ended is late, or was never ours.
        if let Some(exchange) = self.calls.get(call) {
            match Frame::decode(message.payload) {
                Ok(frame) => exchange.deliver_frame(frame),
                Err(status) => exchange.fail(status),
            }
        }
    }

    /// Answers a client that asks which of its calls are still here.
    fn hear(&self, message: &Message) {
        let Ok(beat) = Beat::decode(message.payload.clone()) else { return };
        let calls = beat.calls.into_iter().filter_map(|state| {
            let exchange = CallId::parse(&state.call).map(|call| self.calls.get(call))?;
            Some(match exchange {
                Some(exchange) => exchange.answer(state),
                None => CallState { call: state.call, over: true, ..CallState::default() },
            })
        });
        let Some(reply) = message.reply.clone().filter(|reply| self.may_answer(reply)) else { return };
        for answer in Beat::of(calls.collect(), self.bus.max_payload()) {
            self.bus.post(Message::new(reply.clone(), answer.encode_to_vec()));
        }
    }

    /// Cancels a call whose caller does not know which instance has it.
    pub(super) fn cancel(&self, message: &Message) {
        let reply = std::str::from_utf8(&message.payload).ok().and_then(ReplyTo::parse);
        let Some(call) = reply.map(|reply| reply.call) else { return };
        // First this: a call that begins in between finds it.
        self.early_cancels.insert(call);
        if let Some(exchange) = self.calls.get(call) {
            exchange.fail(crate::rpc::exchange::cancelled_by_peer());
        }
    }

    /// Whether nobody waits for a call any more that has not begun.
    pub(super) fn is_cancelled(&self, call: CallId) -> bool {
        self.early_cancels.contains(call)
    }

    /// Ends the calls whose callers are gone, and those whose connection is.
    async fn watch(self: Arc<Self>) {
        let mut link = self.bus.link();
        let mut check = pin!(sleep_until(Instant::now() + limits::PEER_SILENCE));
        loop {
            tokio::select! {
                () = &mut check => check.as_mut().reset(self.calls.fail_silent()),
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = link.borrow_and_update().clone();
                    let message = "the service lost its connection to the broker";
                    let status = Status::made_here(Code::Unavailable, reason::CONNECTION_LOST, message);
                    self.calls.fail(&status, |exchange| exchange.is_leased() && (exchange.epoch < now.epoch || !now.up));
                }
            }
        }
    }

    /// Stops taking calls: nothing more is let in, and what had arrived before is.
    pub(super) async fn drain_readers(&self, readers: &mut JoinSet<()>) {
        self.draining.cancel();
        if let Err(status) = self.bus.fence().await {
            tracing::debug!(%status, "the broker could not be told that this server stops");
        }
        while readers.join_next().await.is_some() {}
    }

    /// Waits for the calls there are, then cancels them.
    pub(super) async fn drain(&self) {
        if tokio::time::timeout(self.options.grace, self.in_flight.idle()).await.is_ok() {
            return;
        }
        let message = "the server stopped before the call had ended";
        let status = Status::made_here(Code::Unavailable, reason::CANCELLED, message);
        self.calls.fail(&status, |_| true);
        // Only handlers that never come back to an await are still there after this.
        if tokio::time::timeout(limits::BEAT, self.in_flight.idle()).await.is_err() {
            tracing::warn!(calls = self.in_flight(), "handlers did not end when they were cancelled");
        }
    }

    /// Drops whatever is running.
    pub(super) fn abort(&self) {
        self.abort.cancel();
    }
}

/// One for each thread there is to run on.
fn runners() -> usize {
    tokio::runtime::Handle::current().metrics().num_workers()
}

/// A call that others may speak to, for as long as this lives.
pub(super) struct Open {
    calls: Arc<Calls>,
    pub(super) exchange: Arc<Exchange>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.calls.remove(self.exchange.call);
    }
}

fn parse_timeout(header: &str) -> Result<Duration> {
    match header.trim().parse::<u64>() {
        Ok(us) if us > 0 => Ok(Duration::from_micros(us)),
        _ => {
            let begins: String = header.chars().take(40).collect();
            let message =
                format!("{} must be microseconds, a whole number above 0, and is {begins:?}", status::TIMEOUT);
            Err(Status::made_here(Code::InvalidArgument, reason::INVALID_TIMEOUT, message))
        }
    }
}

//! [`Serving`]: what a server does with what arrives.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use prost::Message as _;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Options,
    endpoint::Endpoint,
    freshness::Freshness,
    in_flight::{InFlight, Slot},
    queue::Queue,
};
use crate::{
    Code, Kind, Metadata, Peer, Result, Status,
    bus::{Bus, Message},
    layer::deadline,
    limits,
    message::{Body, RpcRequest, RpcResponse, TransportOptions},
    rpc::{calls::Calls, exchange::Exchange, inbox::BEAT_TOKEN, incoming::Incoming, outgoing::Outgoing},
    status::reason,
    wire::{
        call_id::CallId,
        frame::{Beat, CallState, Frame},
        header::Headers,
        reply::{self, ReplyTo},
        status,
        subject::Subject,
    },
};

/// A unary call that takes longer than this is told which instance has it, so that its caller
/// notices within seconds when that one dies.
const LONG_CALL: Duration = Duration::from_secs(1);

/// Cancels that came before their call had begun, remembered for when it does.
const EARLY_CANCELS: usize = 256;

/// What a server does with what arrives.
pub(crate) struct Serving {
    bus: Bus,
    options: Options,
    /// Calls that others may speak to: streams, and unary calls that have not ended at once.
    calls: Arc<Calls>,
    queue: Queue<Job>,
    in_flight: Arc<InFlight>,
    running: TaskTracker,
    draining: CancellationToken,
    abort: CancellationToken,
    freshness: Mutex<Freshness>,
    early_cancels: Mutex<VecDeque<CallId>>,
    /// What every request is given, though it means nothing on this side.
    transport: Arc<TransportOptions>,
}

/// A call that has been let in.
struct Job {
    endpoint: Arc<Endpoint>,
    message: Message,
    reply: Subject,
    arrived: Instant,
    _slot: Slot,
}

impl Serving {
    pub(super) fn new(bus: Bus, options: Options) -> Self {
        Self {
            bus,
            calls: Arc::default(),
            queue: Queue::new(),
            in_flight: InFlight::new(options.max_in_flight),
            running: TaskTracker::new(),
            draining: CancellationToken::new(),
            abort: CancellationToken::new(),
            freshness: Mutex::default(),
            early_cancels: Mutex::default(),
            transport: Arc::default(),
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
        for _ in 0..tokio::runtime::Handle::current().metrics().num_workers() {
            let serving = self.clone();
            tasks.spawn(async move {
                loop {
                    let job = serving.queue.pop().await;
                    serving.begin(job).await;
                    // A busy runner still lets the connection's own task run.
                    tokio::task::coop::consume_budget().await;
                }
            });
        }
        tasks.spawn(self.clone().watch());
    }

    /// Lets a request in, or refuses it. Called by the readers, so it never waits.
    pub(super) fn take(&self, endpoint: &Arc<Endpoint>, mut message: Message) {
        // The reply subject is chosen by the caller and written to with our rights.
        let Some(reply) = message.reply.take().filter(|reply| self.may_answer(reply)) else {
            tracing::debug!(method = endpoint.method.path, "a request without an inbox for the answer was dropped");
            return;
        };
        let Some(slot) = self.in_flight.try_take() else {
            let text = format!("the server handles {} calls at a time and has as many", self.in_flight.max());
            return self.refuse(&reply, &Status::made_here(Code::ResourceExhausted, reason::IN_FLIGHT_LIMIT, text));
        };
        self.queue.push(Job { endpoint: endpoint.clone(), message, reply, arrived: Instant::now(), _slot: slot });
    }

    fn may_answer(&self, reply: &Subject) -> bool {
        reply::is_inbox(reply.as_str()) || reply.as_str().starts_with(self.bus.inbox_prefix())
    }

    fn refuse(&self, reply: &Subject, refusal: &Status) {
        let (headers, body) = status::encode(refusal);
        self.bus.post(Message::new(reply.clone(), body).with_headers(headers));
    }

    /// Runs a call as far as it goes at once; what has to wait gets a task.
    async fn begin(self: &Arc<Self>, job: Job) {
        let endpoint = job.endpoint.clone();
        let mut answer: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(self.clone().answer(job));
        let first = endpoint.pace.first_poll(&mut answer).await;
        if first.is_pending() {
            let abort = self.abort.clone();
            self.running.spawn(async move { abort.run_until_cancelled(answer).await });
        }
    }

    async fn answer(self: Arc<Self>, job: Job) {
        let Job { endpoint, message, reply, arrived, _slot } = job;
        let caller = ReplyTo::parse(reply.as_str());
        let deadline = match self.deadline(&endpoint, &message, caller.as_ref(), arrived) {
            Ok(deadline) => deadline,
            Err(status) => return self.refuse(&reply, &status),
        };
        let metadata = match message.headers.is_empty() {
            true => Metadata::new(),
            false => status::metadata(&message.headers).0,
        };
        let request = RpcRequest {
            method: endpoint.method,
            metadata,
            deadline,
            peer: Peer::Inbox(reply.slice(caller.as_ref().map_or(reply.as_str(), |caller| caller.inbox))),
            body: Body::Message(message.payload),
            options: self.transport.clone(),
        };
        let framed = endpoint.method.kind.streams_requests() || message.headers.get(status::FRAME).is_some();
        let call = caller.map(|caller| caller.call);
        if endpoint.method.kind == Kind::Unary && !framed {
            self.answer_unary(&endpoint, request, &reply, call).await;
        } else {
            // Boxed, so that unary calls do not carry the room for all of this about.
            Box::pin(self.answer_streaming(&endpoint, request, reply, call, framed)).await;
        }
    }

    /// When the caller stops waiting; an error if it already has.
    fn deadline(
        &self,
        endpoint: &Endpoint,
        message: &Message,
        caller: Option<&ReplyTo<'_>>,
        arrived: Instant,
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
        match deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => Err(expired()),
            false => Ok(deadline),
        }
    }

    async fn answer_unary(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        request: RpcRequest,
        reply: &Subject,
        call: Option<CallId>,
    ) {
        let deadline = request.deadline;
        let mut response = pin!(caught(endpoint.channel.send(request)));
        let outcome = match poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Box::pin(self.wait(endpoint, response, deadline, reply, call)).await,
        };
        if let Err(status) = self.respond(endpoint, outcome, reply, call).await {
            tracing::debug!(%status, method = endpoint.method.path, "a reply could not be sent");
        }
    }

    /// Waits for a handler that did not answer at once, for as long as its caller does.
    async fn wait(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        response: Pin<&mut (impl Future<Output = Result<RpcResponse>> + Send)>,
        deadline: Option<Instant>,
        reply: &Subject,
        call: Option<CallId>,
    ) -> Result<RpcResponse> {
        let mut response = pin!(deadline::within(deadline, response));
        // A caller that knows nothing of this protocol cannot cancel, so nobody will ask for it.
        let open = self.open(call.unwrap_or_else(CallId::random), endpoint, false);
        let mut failed = pin!(open.exchange.failed());
        if call.is_none() {
            return self.race(&mut response, &mut failed).await;
        }
        if let Ok(outcome) = tokio::time::timeout(LONG_CALL, self.race(&mut response, &mut failed)).await {
            return outcome;
        }
        let mut outgoing = self.outgoing(&open.exchange, reply.clone(), Kind::Unary);
        outgoing.accept(endpoint.accept(open.exchange.call));
        open.exchange.lease();
        if let Err(status) = outgoing.flush().await {
            tracing::debug!(%status, "a long call could not be accepted");
        }
        self.race(&mut response, &mut failed).await
    }

    async fn race(
        &self,
        response: &mut (impl Future<Output = Result<RpcResponse>> + Unpin),
        failed: &mut (impl Future<Output = Status> + Unpin),
    ) -> Result<RpcResponse> {
        tokio::select! {
            biased;
            outcome = response => outcome,
            status = failed => Err(status),
        }
    }

    /// Sends the outcome of a unary call.
    async fn respond(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        outcome: Result<RpcResponse>,
        reply: &Subject,
        call: Option<CallId>,
    ) -> Result<()> {
        let failure = match outcome {
            Ok(RpcResponse { metadata, trailers, body: Body::Message(payload) }) => {
                let headers = match metadata.is_empty() && trailers.is_empty() {
                    true => Headers::new(),
                    false => status::response_headers(&metadata, &trailers),
                };
                let size = payload.len() + headers.wire_len();
                let limit = self.bus.max_payload();
                if size <= limit {
                    return self.bus.publish(Message::new(reply.clone(), payload).with_headers(headers)).await;
                }
                match call {
                    Some(call) if payload.len() <= self.options.max_message_bytes => {
                        let response = RpcResponse { metadata, trailers, body: Body::Message(payload) };
                        return Box::pin(self.respond_in_frames(endpoint, response, reply, call)).await;
                    }
                    Some(_) => too_large(payload.len(), self.options.max_message_bytes),
                    None => too_large(size, limit),
                }
            }
            Ok(_) => crate::call::wrong_kind("the handler of a unary call answered with a stream"),
            // Nobody waits for it.
            Err(status) if status.code() == Code::Cancelled && is_peer_cancel(&status) => return Ok(()),
            Err(status) => status,
        };
        let (headers, body) = self.fitting(&failure);
        self.bus.publish(Message::new(reply.clone(), body).with_headers(headers)).await
    }

    /// Sends a response too large for one message.
    async fn respond_in_frames(
        &self,
        endpoint: &Endpoint,
        response: RpcResponse,
        reply: &Subject,
        call: CallId,
    ) -> Result<()> {
        let open = self.open(call, endpoint, true);
        let mut outgoing = self.outgoing(&open.exchange, reply.clone(), Kind::Unary);
        outgoing.accept(endpoint.accept(call));
        outgoing.start(&response.metadata);
        open.exchange.lease();
        tokio::select! {
            sent = outgoing.body(response.body, response.trailers) => sent,
            status = open.exchange.failed() => Err(status),
        }
    }

    /// A status as a message; its details stay behind when they would not fit.
    fn fitting(&self, failure: &Status) -> (Headers, bytes::Bytes) {
        let (headers, body) = status::encode(failure);
        if body.len() + headers.wire_len() <= self.bus.max_payload() {
            return (headers, body);
        }
        let text: String = failure.message().chars().take(1000).collect();
        status::encode(&Status::new(failure.code(), text))
    }

    async fn answer_streaming(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        mut request: RpcRequest,
        reply: Subject,
        call: Option<CallId>,
        framed: bool,
    ) {
        let kind = endpoint.method.kind;
        let deadline = request.deadline;
        let open = self.open(call.unwrap_or_else(CallId::random), endpoint, true);
        let exchange = &open.exchange;
        let mut outgoing = self.outgoing(exchange, reply.clone(), kind);
        if framed {
            let Body::Message(payload) = std::mem::replace(&mut request.body, Body::Message(bytes::Bytes::new()))
            else {
                return;
            };
            match Frame::decode(payload) {
                Ok(frame) => exchange.deliver_frame(frame),
                Err(_) => {
                    let message = "the request of this method must be a subwire.v1.Frame";
                    let status = Status::made_here(Code::InvalidArgument, reason::MALFORMED_REQUEST, message);
                    return self.refuse(&reply, &status);
                }
            }
        }
        outgoing.accept(endpoint.accept(exchange.call));
        exchange.lease();
        let work = async {
            if framed {
                let incoming =
                    Incoming::requests(self.bus.clone(), exchange.clone(), reply, self.options.max_message_bytes)
                        .marked(marks(kind));
                request.body = match kind.streams_requests() {
                    true => Body::Stream(Box::new(incoming)),
                    false => {
                        outgoing.flush().await?;
                        Body::Message(incoming.only_message().await?.0)
                    }
                };
            }
            let mut response = pin!(caught(endpoint.channel.send(request)));
            let outcome = match poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => {
                    outgoing.flush().await?;
                    response.await
                }
            };
            let RpcResponse { metadata, trailers, body } = outcome?;
            if let Body::Message(payload) = &body
                && payload.len() > self.options.max_message_bytes
            {
                return Err(too_large(payload.len(), self.options.max_message_bytes));
            }
            outgoing.start(&metadata);
            outgoing.body(body, trailers).await
        };
        let outcome = tokio::select! {
            biased;
            outcome = deadline::within(deadline, work) => outcome,
            status = exchange.failed() => Err(status),
        };
        if let Err(status) = outcome
            && !is_peer_cancel(&status)
            && let Err(unsent) = outgoing.end(Err(status), Metadata::new()).await
        {
            tracing::debug!(status = %unsent, method = endpoint.method.path, "the end of a stream could not be sent");
        }
    }

    fn outgoing(&self, exchange: &Arc<Exchange>, reply: Subject, kind: Kind) -> Outgoing {
        Outgoing::new(self.bus.clone(), exchange.clone(), reply, self.options.max_message_bytes).marked(marks(kind))
    }

    /// Lets others speak to a call.
    fn open(&self, call: CallId, endpoint: &Endpoint, framed: bool) -> Open {
        let subject = Subject::from_static(endpoint.method.subject);
        let epoch = self.bus.link().borrow().epoch;
        let exchange = Arc::new(Exchange::new(call, subject, epoch, framed));
        self.calls.insert(exchange.clone());
        let early = self.early_cancels.lock().unwrap_or_else(PoisonError::into_inner).contains(&call);
        if early {
            exchange.fail(crate::rpc::exchange::cancelled_by_peer());
        }
        Open { calls: self.calls.clone(), exchange }
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
                Some(exchange) => {
                    exchange.hear(&state);
                    exchange.beat()
                }
                None => CallState { call: state.call, over: true, ..CallState::default() },
            })
        });
        let answer = Beat { calls: calls.collect() };
        if let Some(reply) = message.reply.clone().filter(|reply| self.may_answer(reply)) {
            self.bus.post(Message::new(reply, answer.encode_to_vec()));
        }
    }

    /// Cancels a call whose caller does not know which instance has it.
    pub(super) fn cancel(&self, message: &Message) {
        let reply = std::str::from_utf8(&message.payload).ok().and_then(ReplyTo::parse);
        let Some(call) = reply.map(|reply| reply.call) else { return };
        if let Some(exchange) = self.calls.get(call) {
            return exchange.fail(crate::rpc::exchange::cancelled_by_peer());
        }
        let mut early = self.early_cancels.lock().unwrap_or_else(PoisonError::into_inner);
        if early.len() == EARLY_CANCELS {
            early.pop_front();
        }
        early.push_back(call);
    }

    /// Ends the calls whose callers are gone, and those whose connection is.
    async fn watch(self: Arc<Self>) {
        let mut link = self.bus.link();
        let mut beats = tokio::time::interval_at(Instant::now() + limits::BEAT, limits::BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beats.tick() => {
                    let now = Instant::now();
                    self.calls.all().iter().for_each(|exchange| exchange.check_silence(now));
                }
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

/// A call that others may speak to, for as long as this lives.
struct Open {
    calls: Arc<Calls>,
    exchange: Arc<Exchange>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.calls.remove(self.exchange.call);
    }
}

/// Frames of a unary method say that they are frames.
fn marks(kind: Kind) -> Headers {
    let mut headers = Headers::new();
    if kind == Kind::Unary {
        headers.append(status::FRAME, "1");
    }
    headers
}

/// A layer that panics fails the call and nothing else; handlers are caught further in.
async fn caught(response: impl Future<Output = Result<RpcResponse>>) -> Result<RpcResponse> {
    AssertUnwindSafe(response).catch_unwind().await.unwrap_or_else(|panic| Err(crate::__codegen::panicked(&*panic)))
}

fn is_peer_cancel(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.error_info().is_some_and(|info| info.reason == reason::CANCELLED)
}

fn too_large(size: usize, limit: usize) -> Status {
    let message = format!("the response is {size} bytes and the limit is {limit}");
    Status::made_here(Code::ResourceExhausted, reason::TOO_LARGE_RESPONSE, message)
}

fn parse_timeout(header: &str) -> Result<Duration> {
    match header.trim().parse::<u64>() {
        Ok(us) if us > 0 => Ok(Duration::from_micros(us)),
        _ => {
            let message =
                format!("{} must be microseconds, a whole number above 0, and is {header:?}", status::TIMEOUT);
            Err(Status::made_here(Code::InvalidArgument, reason::INVALID_TIMEOUT, message))
        }
    }
}

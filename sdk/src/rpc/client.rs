//! [`Client`]: the calling side of a call over a bus.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{
    exchange::{Arrival, Exchange},
    inbox::Registered,
    incoming::Incoming,
    message_limit::{MessageLimit, Side},
    outgoing::{self, Outgoing},
};
use crate::{
    BoxFuture, Code, Executed, Kind, Metadata, Method, Result, Status,
    bus::{Bus, Message},
    call::wrong_kind,
    channel::Transport,
    layer::deadline,
    limits,
    message::{Batch, Batches, Body, Room, RpcRequest, RpcResponse, SharedOptions},
    status::reason,
    wire::{
        frame::{self, Frame, Head},
        header::Headers,
        status,
        subject::{Subject, check_namespace},
    },
};

/// With more calls under way than this, requests leave in bundles.
const FEW_CALLS: usize = 8;

/// Sends calls over a bus.
pub(crate) struct Client {
    bus: Bus,
}

impl Client {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }
}

impl Transport for Client {
    fn send(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>> {
        let bus = self.bus.clone();
        let RpcRequest { method, metadata, deadline, body, options, .. } = request;
        let request = Request { method, metadata, deadline, options };
        if let Body::Message(payload) = &body
            && let Err(status) = request.request_limit().check(payload.len())
        {
            return Box::pin(std::future::ready(Err(status)));
        }
        match request.method.kind {
            Kind::Unary => Box::pin(unary(bus, request, body)),
            _ => Box::pin(async move {
                let opening = open(bus, &request).await?;
                streaming(opening, request, body).await
            }),
        }
    }
}

/// What is asked for, but for the body.
struct Request {
    method: &'static Method,
    metadata: Metadata,
    deadline: Option<Instant>,
    options: SharedOptions,
}

impl Request {
    fn request_limit(&self) -> MessageLimit {
        MessageLimit::requests(Side::Channel, self.method.kind, self.options.max_message_bytes)
    }

    fn response_limit(&self) -> MessageLimit {
        MessageLimit::responses(Side::Channel, self.options.max_message_bytes)
    }
}

/// A call that is registered, with its request message ready but for the payload.
struct Opening {
    registered: Registered,
    message: Message,
}

impl Opening {
    /// Whether the broker takes the message with such a payload.
    fn fits(&self, payload_len: usize) -> bool {
        payload_len + self.message.headers.wire_len() <= self.registered.bus.max_payload()
    }
}

async fn unary(bus: Bus, request: Request, body: Body) -> Result<RpcResponse> {
    let Body::Message(payload) = body else {
        return Err(wrong_kind("expected one request and got a stream"));
    };
    let mut opening = open(bus, &request).await?;
    if !opening.fits(payload.len()) {
        opening.message.headers.append(status::FRAME, "1");
        // Boxed, so that ordinary calls do not carry the room for all of this about.
        return Box::pin(streaming(opening, request, Body::Message(payload))).await;
    }
    let message = Message { payload, ..opening.message };
    // A caller with little to do gains nothing from waiting for company.
    let unsent = match opening.registered.calls.count() > FEW_CALLS {
        true => opening.registered.bus.bundle(message).err(),
        false => Some(message),
    };
    if let Some(message) = unsent {
        opening.registered.bus.send(message).await?;
    }
    opening.registered.sent = true;
    match poll_fn(|cx| opening.registered.exchange.poll_arrival(cx)).await? {
        Arrival::Reply(message) => answered(opening.registered, message, &request),
        Arrival::Frame(frame) => Box::pin(answered_in_frames(opening.registered, frame, &request)).await,
    }
}

/// Registers the call and prepares its message.
async fn open(bus: Bus, request: &Request) -> Result<Opening> {
    if request.options.wait_for_ready {
        Box::pin(wait_until_ready(&bus)).await?;
    }
    let subject = match &request.options.namespace {
        None => Subject::from_static(request.method.subject),
        Some(namespace) => {
            check_namespace(namespace)?;
            Subject::new(format!("{namespace}.{}", request.method.subject))?
        }
    };
    let timeout = request.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(deadline::exceeded().with_executed(Executed::No));
    }
    // Boxed, because only the first call on a connection has to wait for it.
    let inbox = match bus.opened_inbox() {
        Some(inbox) => inbox,
        None => Box::pin(bus.inbox()).await?,
    };
    let exchange = inbox.register(subject.clone(), request.method.kind != Kind::Unary);
    let reply = inbox.reply_to(exchange.call, timeout);
    let calls = inbox.calls().clone();
    let mut headers = Headers::new();
    status::push_metadata(&mut headers, &request.metadata, "");
    let message = Message::new(subject, bytes::Bytes::new()).with_reply(reply.clone()).with_headers(headers);
    let registered = Registered { bus, calls, exchange, deadline: request.deadline, reply, sent: false };
    Ok(Opening { registered, message })
}

async fn wait_until_ready(bus: &Bus) -> Result<()> {
    // The deadline of the call is around all of this.
    match bus.link().wait_for(|link| link.up || link.closed.is_some()).await {
        Ok(link) => link.closed.clone().map_or(Ok(()), Err),
        Err(_) => Err(Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the bus is closed")),
    }
}

/// Ends a call whose only response is one message.
fn answered(registered: Registered, message: Message, request: &Request) -> Result<RpcResponse> {
    registered.finish();
    if let Some(status) = status::decode(&message) {
        return Err(status);
    }
    request.response_limit().check(message.payload.len())?;
    let (metadata, trailers) = match message.headers.is_empty() {
        true => Default::default(),
        false => status::metadata(&message.headers),
    };
    Ok(RpcResponse { metadata, trailers, body: Body::Message(message.payload) })
}

/// Ends a call whose only response has begun to arrive in frames.
async fn answered_in_frames(registered: Registered, mut frame: Frame, request: &Request) -> Result<RpcResponse> {
    let metadata = take_metadata(&mut frame);
    registered.exchange.unread(frame);
    let (message, trailers) = incoming(&registered, request).only_message().await?;
    registered.finish();
    Ok(RpcResponse { metadata, trailers, body: Body::Message(message) })
}

fn incoming(registered: &Registered, request: &Request) -> Incoming {
    Incoming::responses(registered.bus.clone(), registered.exchange.clone(), request.response_limit())
}

fn take_metadata(frame: &mut Frame) -> Metadata {
    frame.head.metadata.take().map(|metadata| metadata.to_metadata()).unwrap_or_default()
}

/// A call with a stream at either side, or with a request too large for one message.
async fn streaming(mut opening: Opening, request: Request, body: Body) -> Result<RpcResponse> {
    let kind = request.method.kind;
    let limit = request.request_limit();
    let bus = opening.registered.bus.clone();
    let rest = match body {
        Body::Message(payload) if kind == Kind::ServerStreaming && opening.fits(payload.len()) => {
            opening.message.payload = payload;
            None
        }
        Body::Message(payload) => {
            if kind == Kind::ServerStreaming {
                opening.message.headers.append(status::FRAME, "1");
            }
            Some(Rest { first: None, messages: 0, body: Body::Message(payload) })
        }
        Body::Stream(batches) => first_frame(&bus, &mut opening.message, batches, &limit).await?,
    };
    bus.publish(opening.message).await?;
    opening.registered.sent = true;
    let exchange = opening.registered.exchange.clone();
    let pump = rest.map(|rest| rest.send(bus, exchange.clone(), limit));

    if kind.streams_responses() {
        // The requests go on whether or not the responses are being read, so they have a task; the
        // stream of responses owns it.
        let pump = pump.map(|pump| AbortOnDropHandle::new(tokio::spawn(pump)));
        accepted_in_time(&exchange).await?;
        return match first_arrival(&exchange).await? {
            Arrival::Reply(message) => Err(status::decode(&message).unwrap_or_else(|| wrong_kind("expected a stream"))),
            Arrival::Frame(mut frame) => {
                let metadata = take_metadata(&mut frame);
                if let Some(status) = failed_at_once(&frame) {
                    return Err(status);
                }
                exchange.unread(frame);
                let incoming = incoming(&opening.registered, &request);
                let responses = Responses { incoming, _registered: opening.registered, _requests: pump };
                Ok(RpcResponse { metadata, trailers: Metadata::new(), body: Body::Stream(Box::new(responses)) })
            }
        };
    }
    // One response: it is waited for while the requests go out.
    let respond = async {
        if kind != Kind::Unary {
            accepted_in_time(&exchange).await?;
        }
        first_arrival(&exchange).await
    };
    match alongside(pump, respond).await? {
        Arrival::Reply(message) => answered(opening.registered, message, &request),
        Arrival::Frame(frame) => Box::pin(answered_in_frames(opening.registered, frame, &request)).await,
    }
}

/// Runs `work` to its end, and `other` beside it for as long as that takes.
async fn alongside<T>(other: Option<impl Future<Output = ()>>, work: impl Future<Output = T>) -> T {
    let Some(other) = other else { return work.await };
    let (mut other, mut work) = (std::pin::pin!(other), std::pin::pin!(work));
    tokio::select! {
        biased;
        outcome = &mut work => outcome,
        () = &mut other => work.await,
    }
}

/// Puts what is ready of the requests into the message that opens the call; what remains to be sent.
async fn first_frame(
    bus: &Bus,
    message: &mut Message,
    mut batches: Box<dyn Batches>,
    limit: &MessageLimit,
) -> Result<Option<Rest>> {
    let mut head = Head::default();
    let mut first = outgoing::first_batch(bus, &mut *batches).await;
    if let Some(Ok(Some(batch))) = &mut first {
        limit.cut(batch).map_err(|status| status.with_executed(Executed::No))?;
    }
    match first {
        Some(Err(status)) => return Err(status),
        Some(Ok(Some(batch))) if batch.bytes() + message.headers.wire_len() <= outgoing::part_bytes(bus) => {
            head.seq = 1;
            let (messages, last) = (batch.messages(), batch.last);
            if last {
                head.end = Some(Box::new(frame::End { messages: messages as u64, ..frame::End::default() }));
            }
            let bytes = batch.bytes();
            message.payload = batch.into_frame(&head);
            let first = Sent { messages, bytes };
            return Ok((!last).then(|| Rest { first: Some(first), messages, body: Body::Stream(batches) }));
        }
        Some(Ok(Some(batch))) => {
            message.payload = frame::control(&head);
            let body = Body::Stream(Box::new(Chained { first: Some(batch), rest: batches }));
            return Ok(Some(Rest { first: None, messages: 0, body }));
        }
        Some(Ok(None)) => {
            head.seq = 1;
            head.end = Some(Box::default());
            message.payload = frame::control(&head);
            return Ok(None);
        }
        None => message.payload = frame::control(&head),
    }
    Ok(Some(Rest { first: None, messages: 0, body: Body::Stream(batches) }))
}

/// What the message that opened the call took of the credit.
struct Sent {
    messages: usize,
    bytes: usize,
}

/// The requests that did not fit the message that opens the call.
struct Rest {
    first: Option<Sent>,
    messages: usize,
    body: Body,
}

impl Rest {
    /// Sends them to whoever accepts the call. A failure shows in the response.
    async fn send(self, bus: Bus, exchange: Arc<Exchange>, limit: MessageLimit) {
        let sent = async {
            let to = exchange.accepted().await?;
            let mut outgoing = Outgoing::new(bus, exchange.clone(), to, limit);
            if let Some(first) = self.first {
                exchange.spend(first.messages, first.bytes);
                outgoing = outgoing.after_first(self.messages);
            }
            outgoing.body(self.body, Metadata::new()).await
        };
        if let Err(status) = sent.await
            && !exchange.is_over()
        {
            exchange.fail(status.may_have_run());
        }
    }
}

/// A batch that was asked for too early, and the stream it came from.
struct Chained {
    first: Option<Batch>,
    rest: Box<dyn Batches>,
}

impl Batches for Chained {
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, room: Room) -> Poll<Option<Result<Batch>>> {
        match self.first.take() {
            Some(batch) => Poll::Ready(Some(Ok(batch))),
            None => self.rest.poll_batch(cx, room),
        }
    }

    fn trailers(&mut self) -> Metadata {
        self.rest.trailers()
    }
}

/// Catches a listener that is no service, a debugging tap say: nobody else hears that no service is there.
async fn accepted_in_time(exchange: &Exchange) -> Result<()> {
    let accepted = poll_fn(|cx| exchange.poll_begun(cx));
    tokio::time::timeout(limits::ACCEPT, accepted).await.map_err(|_| {
        let message =
            format!("no service accepted the call within {} ms, though somebody listens", limits::ACCEPT.as_millis());
        Status::made_here(Code::Unavailable, reason::PEER_LOST, message)
    })
}

async fn first_arrival(exchange: &Exchange) -> Result<Arrival> {
    poll_fn(|cx| exchange.poll_arrival(cx)).await
}

/// A call that fails before its first message fails as a call, not as a stream.
fn failed_at_once(frame: &Frame) -> Option<Status> {
    let end = frame.head.end.as_deref().filter(|_| frame.messages == 0 && frame.head.part.is_none())?;
    let trailers = end.trailers.as_ref().map(|trailers| trailers.to_metadata()).unwrap_or_default();
    end.status.clone().map(|status| Status::from_proto(status).with_metadata(trailers))
}

/// The stream of responses, with all that lives as long as it.
struct Responses {
    incoming: Incoming,
    /// Declared behind, dropped behind: a cancel goes out last.
    _requests: Option<AbortOnDropHandle<()>>,
    _registered: Registered,
}

impl Batches for Responses {
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, room: Room) -> Poll<Option<Result<Batch>>> {
        self.incoming.poll_batch(cx, room)
    }

    fn trailers(&mut self) -> Metadata {
        self.incoming.trailers()
    }
}

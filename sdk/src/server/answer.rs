//! How a server answers: one call from its request to the last of its answer.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    endpoint::Endpoint,
    serving::{Job, Serving},
};
use crate::{
    __codegen::caught,
    Code, Kind, Metadata, Peer, Result, Status,
    bus::Message,
    layer::deadline,
    message::{Body, RpcRequest, RpcResponse, SharedOptions},
    rpc::{exchange::Exchange, incoming::Incoming, outgoing::Outgoing},
    status::reason,
    wire::{call_id::CallId, frame::Frame, header::Headers, reply::ReplyTo, status, subject::Subject},
};

/// A unary call that takes longer than this is told which instance has it, so that its caller
/// notices within seconds when that one dies.
const LONG_CALL: Duration = Duration::from_secs(1);

impl Serving {
    pub(super) async fn answer(self: Arc<Self>, job: Job) {
        let Job { endpoint, message, reply, arrived, _slot } = job;
        let caller = ReplyTo::parse(reply.as_str());
        if caller.as_ref().is_some_and(|caller| self.is_cancelled(caller.call)) {
            return;
        }
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
            // They mean nothing on this side.
            options: SharedOptions::default(),
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

    async fn answer_unary(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        request: RpcRequest,
        reply: &Subject,
        call: Option<CallId>,
    ) {
        let deadline = request.deadline;
        // A layer that panics fails the call and nothing else; handlers are caught further in.
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
        let Some(open) = self.open(call.unwrap_or_else(CallId::random), endpoint, false) else {
            return Err(crate::rpc::exchange::cancelled_by_peer());
        };
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
                    return self.bus.send(Message::new(reply.clone(), payload).with_headers(headers)).await;
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
        self.bus.send(Message::new(reply.clone(), body).with_headers(headers)).await
    }

    /// Sends a response too large for one message.
    async fn respond_in_frames(
        &self,
        endpoint: &Endpoint,
        response: RpcResponse,
        reply: &Subject,
        call: CallId,
    ) -> Result<()> {
        let Some(open) = self.open(call, endpoint, true) else { return Ok(()) };
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
        let Some(open) = self.open(call.unwrap_or_else(CallId::random), endpoint, true) else { return };
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
}

/// Frames of a unary method say that they are frames.
fn marks(kind: Kind) -> Headers {
    let mut headers = Headers::new();
    if kind == Kind::Unary {
        headers.append(status::FRAME, "1");
    }
    headers
}

fn is_peer_cancel(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.error_info().is_some_and(|info| info.reason == reason::CANCELLED)
}

fn too_large(size: usize, limit: usize) -> Status {
    let message = format!("the response is {size} bytes and the limit is {limit}");
    Status::made_here(Code::ResourceExhausted, reason::TOO_LARGE_RESPONSE, message)
}

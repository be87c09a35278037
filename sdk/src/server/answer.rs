//! How a server answers: one call from its request to the last of its answer.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::Either;

use tokio::time::Instant;

use super::{
    endpoint::Endpoint,
    in_flight::Slot,
    serving::{Job, Serving},
};
use crate::{
    __codegen::{caught, panicked},
    BoxFuture, Code, Kind, Metadata, Peer, Result, Status,
    bus::Message,
    layer::deadline::Within,
    limits,
    message::{Body, RpcRequest, RpcResponse, SharedOptions},
    rpc::{
        exchange::Exchange,
        incoming::Incoming,
        message_limit::{MessageLimit, Side},
        outgoing::Outgoing,
    },
    status::reason,
    wire::{call_id::CallId, frame::Frame, header::Headers, reply::ReplyTo, status, subject::Subject},
};

/// A unary call that takes longer than this is told which instance has it, so that its caller
/// notices within seconds when that one dies.
const LONG_CALL: Duration = Duration::from_secs(1);

/// A unary call that is being answered.
struct Asked {
    endpoint: Arc<Endpoint>,
    reply: Subject,
    /// A caller that knows nothing of this protocol names none.
    call: Option<CallId>,
    deadline: Option<Instant>,
    _slot: Slot,
}

impl Serving {
    /// Answers a call as far as that goes at once. What is returned goes on with it.
    ///
    /// Most unary calls end here, and then nothing is allocated for their answer but the handler's own
    /// future.
    pub(super) fn answer(self: &Arc<Self>, job: Job, now: Instant, cx: &mut TaskContext<'_>) -> Option<BoxFuture<()>> {
        let Job { endpoint, message, reply, arrived, slot } = job;
        let caller = ReplyTo::parse(reply.as_str());
        if caller.as_ref().is_some_and(|caller| self.is_cancelled(caller.call)) {
            return None;
        }
        let kind = endpoint.method.kind;
        let framed = kind.streams_requests() || message.headers.get(status::FRAME).is_some();
        let admitted = || {
            let deadline = self.deadline(&endpoint, &message, caller.as_ref(), arrived, now)?;
            // Of a frame it is what is in it that counts.
            if !framed {
                self.request_limit(kind).check(message.payload.len())?;
            }
            Ok((deadline, status::request_metadata(&message.headers)?))
        };
        let (deadline, metadata) = match admitted() {
            Ok(admitted) => admitted,
            Err(status) => {
                self.refuse(&reply, &status);
                return None;
            }
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
        let call = caller.map(|caller| caller.call);
        if kind != Kind::Unary || framed {
            let serving = self.clone();
            let mut answer: BoxFuture<()> = Box::pin(async move {
                serving.answer_streaming(&endpoint, request, reply, call, framed).await;
                drop(slot);
            });
            return answer.as_mut().poll(cx).is_pending().then_some(answer);
        }
        let asked = Asked { endpoint, reply, call, deadline, _slot: slot };
        // A layer that panics fails the call and nothing else; handlers are caught further in.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let mut response = asked.endpoint.channel.send(request);
            match response.as_mut().poll(cx) {
                Poll::Ready(outcome) => Either::Left(outcome),
                Poll::Pending => Either::Right(response),
            }
        }));
        match begun {
            Ok(Either::Left(outcome)) => self.respond(asked, outcome),
            Ok(Either::Right(response)) => {
                let serving = self.clone();
                Some(Box::pin(async move {
                    // Nobody waits for the answer to a call that was cancelled.
                    if let Some(outcome) = serving.wait(&asked, caught(response)).await
                        && let Some(rest) = serving.respond(asked, outcome)
                    {
                        rest.await;
                    }
                }))
            }
            Err(panic) => self.respond(asked, Err(panicked(&*panic))),
        }
    }

    /// Waits for a handler that did not answer at once, for as long as its caller does.
    async fn wait(
        self: &Arc<Self>,
        asked: &Asked,
        response: impl Future<Output = Result<RpcResponse>> + Send,
    ) -> Option<Result<RpcResponse>> {
        let response = pin!(response);
        let mut response = Within::new(asked.deadline, response);
        // A caller that knows nothing of this protocol cannot cancel, so nobody will ask for it.
        let open = self.open(asked.call.unwrap_or_else(CallId::random), &asked.endpoint, false)?;
        let mut failed = pin!(open.exchange.failed());
        if asked.call.is_none() {
            return Some(self.race(&mut response, &mut failed).await);
        }
        if let Ok(outcome) = tokio::time::timeout(LONG_CALL, self.race(&mut response, &mut failed)).await {
            return (!open.exchange.is_cancelled()).then_some(outcome);
        }
        let mut outgoing = self.outgoing(&open.exchange, asked.reply.clone(), Kind::Unary);
        outgoing.accept(asked.endpoint.accept(open.exchange.call));
        open.exchange.lease();
        if let Err(status) = outgoing.flush().await {
            tracing::debug!(%status, "a long call could not be accepted");
        }
        let outcome = self.race(&mut response, &mut failed).await;
        (!open.exchange.is_cancelled()).then_some(outcome)
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

    /// Sends the outcome of a unary call. What is returned goes on with it.
    fn respond(self: &Arc<Self>, asked: Asked, outcome: Result<RpcResponse>) -> Option<BoxFuture<()>> {
        let failure = match outcome {
            Ok(RpcResponse { metadata, trailers, body: Body::Message(payload) }) => {
                let headers = match metadata.is_empty() && trailers.is_empty() {
                    true => Headers::new(),
                    false => status::response_headers(&metadata, &trailers),
                };
                let size = payload.len() + headers.wire_len();
                let limit = self.bus.max_payload();
                match (self.response_limit().check(payload.len()), asked.call) {
                    (Err(status), _) => status,
                    (Ok(()), _) if size <= limit => return self.reply(asked, headers, payload),
                    (Ok(()), Some(call)) => {
                        let response = RpcResponse { metadata, trailers, body: Body::Message(payload) };
                        let serving = self.clone();
                        return Some(Box::pin(async move {
                            unsent(&asked, serving.respond_in_frames(&asked, response, call).await);
                        }));
                    }
                    (Ok(()), None) => {
                        let message = format!(
                            "the response is {size} bytes, the broker takes {limit}, and this caller takes no frames"
                        );
                        Status::made_here(Code::ResourceExhausted, reason::TOO_LARGE_RESPONSE, message)
                    }
                }
            }
            Ok(_) => crate::call::wrong_kind("the handler of a unary call answered with a stream"),
            Err(status) => status,
        };
        let (headers, body) = self.fitting(&failure);
        self.reply(asked, headers, body)
    }

    fn reply(self: &Arc<Self>, asked: Asked, headers: Headers, payload: Bytes) -> Option<BoxFuture<()>> {
        let message = Message::new(asked.reply.clone(), payload).with_headers(headers);
        match self.bus.send_now(message) {
            Ok(sent) => {
                unsent(&asked, sent);
                None
            }
            Err(message) => {
                let serving = self.clone();
                Some(Box::pin(async move { unsent(&asked, serving.bus.publish(message).await) }))
            }
        }
    }

    /// Sends a response too large for one message.
    async fn respond_in_frames(&self, asked: &Asked, response: RpcResponse, call: CallId) -> Result<()> {
        let Some(open) = self.open(call, &asked.endpoint, true) else { return Ok(()) };
        let mut outgoing = self.outgoing(&open.exchange, asked.reply.clone(), Kind::Unary);
        outgoing.accept(asked.endpoint.accept(call));
        outgoing.start(&response.metadata);
        open.exchange.lease();
        let sent = tokio::select! {
            sent = outgoing.body(response.body, response.trailers) => sent,
            status = open.exchange.failed() => Err(status),
        };
        match sent {
            Err(_) if open.exchange.is_cancelled() => Ok(()),
            Err(status) => outgoing.end(Err(status), Metadata::new()).await,
            Ok(()) => Ok(()),
        }
    }

    /// A status as a message; what does not fit stays behind.
    pub(super) fn fitting(&self, failure: &Status) -> (Headers, Bytes) {
        let (headers, body) = status::encode(failure);
        let most = self.bus.max_payload();
        if body.len() + headers.wire_len() <= most {
            return (headers, body);
        }
        status::encode(&failure.shortened(most.saturating_sub(limits::FRAME_RESERVE_BYTES)))
    }

    async fn answer_streaming(
        &self,
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
            let Body::Message(payload) = std::mem::replace(&mut request.body, Body::Message(Bytes::new())) else {
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
        let outcome = {
            // Pinned where it is made: moved there, it would take its room twice.
            let work = pin!(async {
                if framed {
                    let incoming =
                        Incoming::requests(self.bus.clone(), exchange.clone(), reply, self.request_limit(kind))
                            .marked(marks(kind));
                    request.body = match kind.streams_requests() {
                        true => Body::Stream(Box::new(incoming)),
                        false => {
                            outgoing.flush().await?;
                            Body::Message(incoming.only_message().await?.0)
                        }
                    };
                }
                // In the future, so that a layer that panics where it is called is caught as well.
                let mut response = pin!(caught(async { endpoint.channel.send(request).await }));
                let outcome = match poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => {
                        outgoing.flush().await?;
                        response.await
                    }
                };
                let RpcResponse { metadata, trailers, body } = outcome?;
                outgoing.start(&metadata);
                outgoing.body(body, trailers).await
            });
            tokio::select! {
                biased;
                outcome = Within::new(deadline, work) => outcome,
                status = exchange.failed() => Err(status),
            }
        };
        if let Err(status) = outcome
            && !exchange.is_cancelled()
            && let Err(unsent) = outgoing.end(Err(status), Metadata::new()).await
        {
            tracing::debug!(status = %unsent, method = endpoint.method.path, "the end of a stream could not be sent");
        }
    }

    fn outgoing(&self, exchange: &Arc<Exchange>, reply: Subject, kind: Kind) -> Outgoing {
        Outgoing::new(self.bus.clone(), exchange.clone(), reply, self.response_limit()).marked(marks(kind))
    }

    fn request_limit(&self, kind: Kind) -> MessageLimit {
        MessageLimit::requests(Side::Server, kind, self.options.max_message_bytes)
    }

    fn response_limit(&self) -> MessageLimit {
        MessageLimit::responses(Side::Server, self.options.max_message_bytes)
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

fn unsent(asked: &Asked, sent: Result<()>) {
    if let Err(status) = sent {
        tracing::debug!(%status, method = asked.endpoint.method.path, "a reply could not be sent");
    }
}

//! Called by generated code only; not covered by SemVer.

use std::{
    any::Any,
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
};
pub use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::ready};
use pin_project_lite::pin_project;
pub use prost;
use prost::{DecodeError, Message};
pub use prost_types;
pub use tower::Service;

pub use crate::{
    AckPolicy, BoxFuture, Call, Channel, ConsumerSpec, Context, Deliver, Discard, Event, EventFields, EventInfo,
    Filter, Idempotency, Kind, Method, NamedService, Piece, ReplayPolicy, Republish, Result, Retention, RpcRequest,
    RpcResponse, ServiceInfo, Specs, Status, Storage, StreamSpec, Streaming,
};
use crate::{
    Code, Metadata,
    call::{polled_again, wrong_kind},
    context::{OverGuard, ReplyMetadata},
    message::{Body, decode, decode_entries},
    status::reason,
    streaming::{Decoder, Encoder},
};

/// Answers a unary call.
pub fn unary<Q, R, F, Fut>(request: RpcRequest, handler: F) -> BoxFuture<Result<RpcResponse>>
where
    Q: Message + Default,
    R: Message + 'static,
    F: FnOnce(Context, Q) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    let (call, body) = open(request);
    match one(body) {
        Ok(request) => finish(handler(call.context(), request), move |response| message(call, &response)),
        Err(status) => refuse(status),
    }
}

/// Answers a call with one request and a stream of responses.
pub fn server_streaming<Q, R, F, Fut>(request: RpcRequest, handler: F) -> BoxFuture<Result<RpcResponse>>
where
    Q: Message + Default,
    R: Message + 'static,
    F: FnOnce(Context, Q) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Streaming<R>>> + Send + 'static,
{
    let (call, body) = open(request);
    match one(body) {
        Ok(request) => finish(handler(call.context(), request), move |responses| stream(call, responses)),
        Err(status) => refuse(status),
    }
}

/// Answers a call with a stream of requests and one response.
pub fn client_streaming<Q, R, F, Fut>(request: RpcRequest, handler: F) -> BoxFuture<Result<RpcResponse>>
where
    Q: Message + Default + 'static,
    R: Message + 'static,
    F: FnOnce(Context, Streaming<Q>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    let (call, body) = open(request);
    match many(&call, body) {
        Ok(requests) => finish(handler(call.context(), requests), move |response| message(call, &response)),
        Err(status) => refuse(status),
    }
}

/// Answers a call with a stream each way.
pub fn bidi_streaming<Q, R, F, Fut>(request: RpcRequest, handler: F) -> BoxFuture<Result<RpcResponse>>
where
    Q: Message + Default + 'static,
    R: Message + 'static,
    F: FnOnce(Context, Streaming<Q>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Streaming<R>>> + Send + 'static,
{
    let (call, body) = open(request);
    match many(&call, body) {
        Ok(requests) => finish(handler(call.context(), requests), move |responses| stream(call, responses)),
        Err(status) => refuse(status),
    }
}

/// Answers a call of a method the service does not have.
pub fn unimplemented(request: RpcRequest) -> BoxFuture<Result<RpcResponse>> {
    let message = format!("this service has no method `{}`", request.method.path);
    refuse(Status::made_here(Code::Unimplemented, reason::UNKNOWN_METHOD, message))
}

/// Runs a handler to its end.
fn finish<T, H, F>(handler: H, respond: F) -> BoxFuture<Result<RpcResponse>>
where
    H: Future<Output = Result<T>> + Send + 'static,
    F: FnOnce(T) -> RpcResponse + Send + 'static,
{
    Box::pin(Answer { handler, respond: Some(respond) })
}

pin_project! {
    /// A handler on its way to its answer. One that panics fails its own call and no other.
    struct Answer<H, F> {
        #[pin]
        handler: H,
        respond: Option<F>,
    }
}

impl<T, H, F> Future for Answer<H, F>
where
    H: Future<Output = Result<T>>,
    F: FnOnce(T) -> RpcResponse,
{
    type Output = Result<RpcResponse>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (handler, respond) = (this.handler, this.respond);
        // What the handler returns is used up in there: it may be large, and moving it is most of the work.
        let answer = || match handler.poll(cx) {
            Poll::Ready(Ok(answer)) => {
                Poll::Ready(respond.take().map(|respond| respond(answer)).ok_or_else(polled_again))
            }
            Poll::Ready(Err(status)) => Poll::Ready(Err(status.may_have_run())),
            Poll::Pending => Poll::Pending,
        };
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
    }
}

fn refuse(status: Status) -> BoxFuture<Result<RpcResponse>> {
    Box::pin(ready(Err(status)))
}

fn open(request: RpcRequest) -> (OverGuard, Body) {
    let cx = Context::new(request.method, request.metadata, request.deadline, request.peer);
    (cx.guarded(), request.body)
}

fn one<Q: Message + Default>(body: Body) -> Result<Q> {
    match body {
        Body::Message(bytes) => decode_request(bytes),
        Body::Stream(_) => Err(wrong_kind("expected one request and got a stream")),
    }
}

fn many<Q: Message + Default + 'static>(call: &OverGuard, body: Body) -> Result<Streaming<Q>> {
    match body {
        Body::Stream(batches) => {
            Ok(Streaming::remote(Decoder::new(batches, next_requests, Metadata::new(), call.deadline())))
        }
        Body::Message(_) => Err(wrong_kind("expected a stream of requests and got one")),
    }
}

fn message(mut call: OverGuard, response: &impl Message) -> RpcResponse {
    let ReplyMetadata { metadata, trailers } = call.take_reply();
    RpcResponse { metadata, trailers, body: Body::Message(response.encode_to_vec().into()) }
}

fn stream<R: Message + 'static>(call: OverGuard, responses: Streaming<R>) -> RpcResponse {
    let metadata = call.take_metadata();
    let body = Body::Stream(Box::new(Encoder::response(responses, call)));
    RpcResponse { metadata, trailers: Metadata::new(), body }
}

fn decode_request<Q: Message + Default>(bytes: Bytes) -> Result<Q> {
    decode(bytes, malformed)
}

fn next_requests<Q: Message + Default>(entries: &mut Bytes, decoded: &mut VecDeque<Result<Q>>) {
    decode_entries(entries, decoded, malformed)
}

#[cold]
fn malformed(error: DecodeError) -> Status {
    let message = format!("the request cannot be decoded: {error}");
    Status::made_here(Code::InvalidArgument, reason::MALFORMED_REQUEST, message).with_source(error)
}

/// A handler that panics fails its own call and no other.
pub(crate) fn caught<T>(handler: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
    AssertUnwindSafe(handler).catch_unwind().map(|outcome| outcome.unwrap_or_else(|panic| Err(panicked(&*panic))))
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Status {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    // The text of a panic may hold secrets: it is logged here and not sent.
    Status::made_here(Code::Internal, reason::HANDLER_PANIC, "the handler panicked; its log says why")
}

//! [`Call`]: a call that has been described and not yet sent.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::{
    BoxFuture, Channel, Code, Context, Metadata, Method, Peer, Result, Status, Streaming,
    layer::deadline::{self, Within},
    message::{Body, RpcRequest, RpcResponse, decode, decode_entries},
    status::reason,
    streaming::{Decoder, Encoder},
};

/// A call that has been described and not yet sent; `.await` sends it.
///
/// Dropping the future cancels the call: the handler is dropped at its next await. Every unary
/// call has a deadline: the timeout set here, else the channel's, else the schema's, else 10 s;
/// within another call, at most what that one has left. A streaming call has one only when it is
/// asked for, and it covers the whole stream.
#[must_use = "a call does nothing until it is awaited"]
pub struct Call<'a, Q, R> {
    channel: &'a Channel,
    method: &'static Method,
    request: Q,
    timeout: Option<Duration>,
    parent: Option<Context>,
    /// The first thing wrong with the metadata is the outcome of the call.
    metadata: Result<Metadata>,
    response: PhantomData<fn() -> R>,
}

impl<'a, Q, R> Call<'a, Q, R> {
    /// A call of `method` through `channel`: what generated clients return.
    pub fn new(channel: &'a Channel, method: &'static Method, request: Q) -> Self {
        Self {
            channel,
            method,
            request,
            timeout: None,
            parent: None,
            metadata: Ok(Metadata::new()),
            response: PhantomData,
        }
    }

    /// Gives the call this long, whatever channel and schema say.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes this call part of the one being handled: at most what is left of its deadline, and its
    /// trace (`traceparent`, `tracestate`, `baggage`).
    pub fn within(mut self, cx: &Context) -> Self {
        self.parent = Some(cx.clone());
        self
    }

    /// Sends text beside the message. A name or value that is not legal fails the call.
    pub fn metadata(self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.with_metadata(|metadata| metadata.append(name, value))
    }

    /// Sends bytes beside the message; `name` must end in `-bin`.
    pub fn metadata_bin(self, name: impl AsRef<str>, value: impl Into<Bytes>) -> Self {
        self.with_metadata(|metadata| metadata.append_bin(name, value))
    }

    fn with_metadata(mut self, change: impl FnOnce(&mut Metadata) -> Result<()>) -> Self {
        self.metadata = self.metadata.and_then(|mut metadata| change(&mut metadata).map(|()| metadata));
        self
    }
}

impl<Q: IntoBody, R: FromResponse> Call<'_, Q, R> {
    /// Sends the call and returns the response with its metadata and trailers.
    pub fn response(self) -> ResponseFuture<Response<R>> {
        self.send(|response, deadline| {
            let RpcResponse { metadata, trailers, body } = response;
            let message = R::from_response(body, metadata.clone(), deadline)?;
            Ok(Response { message, metadata, trailers })
        })
    }

    fn send<T>(self, finish: Finish<T>) -> ResponseFuture<T> {
        let request = self.metadata.and_then(|mut metadata| {
            if let Some(parent) = &self.parent {
                inherit_trace(&mut metadata, parent.metadata())?;
            }
            let defaults = self.channel.defaults();
            let timeout = self.timeout.or(defaults.timeout).or_else(|| self.method.default_timeout());
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(Status::made_here(
                    Code::DeadlineExceeded,
                    reason::EXPIRED,
                    "the timeout of the call is zero: give it time or none at all",
                ));
            }
            let own = timeout.and_then(deadline::after);
            let inherited = self.parent.as_ref().and_then(deadline::of_child);
            Ok(RpcRequest {
                method: self.method,
                metadata,
                deadline: own.into_iter().chain(inherited).min(),
                peer: Peer::InProcess,
                body: self.request.into_body(),
                options: defaults.transport.clone(),
            })
        });
        let sent = request.map(|request| Within::new(request.deadline, self.channel.send(request)));
        ResponseFuture { sent: sent.map_err(Some), finish }
    }
}

type Deadline = Option<tokio::time::Instant>;

/// Only the trace goes on: other metadata is addressed to the service that got it.
fn inherit_trace(metadata: &mut Metadata, parent: &Metadata) -> Result<()> {
    for name in ["traceparent", "tracestate", "baggage"] {
        if let (Some(value), None) = (parent.get(name), metadata.get(name)) {
            metadata.append(name, value)?;
        }
    }
    Ok(())
}

impl<Q: IntoBody, R: FromResponse> IntoFuture for Call<'_, Q, R> {
    type Output = Result<R>;
    type IntoFuture = ResponseFuture<R>;

    fn into_future(self) -> Self::IntoFuture {
        self.send(|response, deadline| R::from_response(response.body, response.metadata, deadline))
    }
}

/// A call that has been sent. Dropping it cancels the call.
#[must_use = "a call that is not awaited is cancelled"]
pub struct ResponseFuture<T> {
    /// What was wrong before it was sent is told once.
    sent: std::result::Result<Within<BoxFuture<Result<RpcResponse>>>, Option<Status>>,
    finish: Finish<T>,
}

/// What is made of a response.
type Finish<T> = fn(RpcResponse, Deadline) -> Result<T>;

impl<T> Future for ResponseFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<T>> {
        let finish = self.finish;
        let (response, deadline) = match &mut self.sent {
            Ok(sent) => (ready!(Pin::new(&mut *sent).poll(cx)), sent.deadline()),
            Err(status) => (Err(status.take().unwrap_or_else(polled_again)), None),
        };
        Poll::Ready(response.and_then(|response| finish(response, deadline)))
    }
}

impl<T> fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<Q, R> fmt::Debug for Call<'_, Q, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method.path)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A response with what came beside it. A stream brings its own: see [`Streaming::trailers`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Response<R> {
    /// The message, or the stream of them.
    pub message: R,
    /// What the service sent before it.
    pub metadata: Metadata,
    /// What the service sent after it; of a unary response.
    pub trailers: Metadata,
}

/// What can be sent: a message, or a stream of them.
pub trait IntoBody: Send {
    #[doc(hidden)]
    fn into_body(self) -> Body;
}

impl<M: Message> IntoBody for M {
    fn into_body(self) -> Body {
        Body::Message(self.encode_to_vec().into())
    }
}

impl<M: Message + 'static> IntoBody for Streaming<M> {
    fn into_body(self) -> Body {
        Body::Stream(Box::new(Encoder::request(self)))
    }
}

/// What can be received: a message, or a stream of them.
pub trait FromResponse: Sized + Send + 'static {
    #[doc(hidden)]
    fn from_response(body: Body, metadata: Metadata, deadline: Deadline) -> Result<Self>;
}

impl<M: Message + Default + 'static> FromResponse for M {
    fn from_response(body: Body, _: Metadata, _: Deadline) -> Result<Self> {
        match body {
            Body::Message(bytes) => decode_response(bytes),
            Body::Stream(_) => Err(wrong_kind("expected one message and got a stream")),
        }
    }
}

impl<M: Message + Default + 'static> FromResponse for Streaming<M> {
    fn from_response(body: Body, metadata: Metadata, deadline: Deadline) -> Result<Self> {
        match body {
            Body::Stream(batches) => Ok(Self::remote(Decoder::new(batches, next_responses, metadata, deadline))),
            Body::Message(_) => Err(wrong_kind("expected a stream and got one message")),
        }
    }
}

fn decode_response<M: Message + Default>(bytes: Bytes) -> Result<M> {
    decode(bytes, malformed::<M>)
}

fn next_responses<M: Message + Default>(entries: &mut Bytes, decoded: &mut VecDeque<Result<M>>) {
    decode_entries(entries, decoded, malformed::<M>)
}

#[cold]
fn malformed<M>(error: DecodeError) -> Status {
    let message = format!("the response is not a `{}`: {error}", std::any::type_name::<M>());
    Status::made_here(Code::Internal, reason::MALFORMED_RESPONSE, message).with_source(error)
}

pub(crate) fn polled_again() -> Status {
    Status::internal("the future of a call was polled after its end")
}

pub(crate) fn wrong_kind(message: &str) -> Status {
    let message = format!("{message}: are client and service of the same schema?");
    Status::made_here(Code::Internal, reason::WRONG_KIND, message)
}

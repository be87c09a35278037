//! [`Channel`]: anything that can carry a call.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use tower::{Layer, Service};

use crate::{
    BoxFuture, NamedService, Result, Status,
    layer::deadline::{self, Within},
    message::{RpcRequest, RpcResponse, SharedOptions, TransportOptions},
};

/// Anything that can carry a call: a bus, or a server in this very process.
///
/// A clone is two atomic increments and shares everything. It is itself a
/// [`tower::Service`], so layers wrap it.
#[derive(Clone)]
pub struct Channel {
    transport: Arc<dyn Transport>,
    defaults: Arc<Defaults>,
}

/// What a call gets when it does not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) timeout: Option<Duration>,
    pub(crate) transport: SharedOptions,
}

/// Carries one call. Written for a bus, for a generated server and for any tower service.
pub(crate) trait Transport: Send + Sync {
    fn send(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>>;
}

impl Channel {
    /// A channel over any tower service of the right signature.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<RpcRequest, Response = RpcResponse> + Clone + Send + Sync + 'static,
        S::Error: Into<Status>,
        S::Future: Send + 'static,
    {
        Self::from_transport(Foreign(service))
    }

    /// A channel straight into a generated server.
    #[doc(hidden)]
    pub fn from_server(server: impl NamedService) -> Self {
        Self::from_transport(Local(server))
    }

    pub(crate) fn from_transport(transport: impl Transport + 'static) -> Self {
        Self { transport: Arc::new(transport), defaults: Arc::default() }
    }

    /// A channel with defaults of its own, over a bus, a server or another channel.
    pub fn builder(over: impl Into<Self>) -> ChannelBuilder {
        let channel = over.into();
        let defaults = Defaults::clone(&channel.defaults);
        ChannelBuilder { transport: TransportOptions::clone(&defaults.transport), timeout: defaults.timeout, channel }
    }

    pub(crate) fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    pub(crate) fn send(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>> {
        self.transport.send(request)
    }
}

impl Service<RpcRequest> for Channel {
    type Response = RpcResponse;
    type Error = Status;
    type Future = BoxFuture<Result<RpcResponse>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// What is passed on goes as this channel was built to send, not as the channel it came by.
    fn call(&mut self, mut request: RpcRequest) -> Self::Future {
        if self.defaults.transport.is_set() {
            request.options = self.defaults.transport.clone();
        }
        let Some(end) = self.defaults.timeout.and_then(deadline::after) else { return self.send(request) };
        let end = request.deadline.map_or(end, |deadline| deadline.min(end));
        request.deadline = Some(end);
        Box::pin(Within::new(Some(end), self.send(request)))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}

/// A generated server in this process.
struct Local<S>(S);

impl<S: NamedService> Transport for Local<S> {
    fn send(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>> {
        self.0.answer(request)
    }
}

/// A tower service that may not be ready and may fail in its own way.
struct Foreign<S>(S);

impl<S> Transport for Foreign<S>
where
    S: Service<RpcRequest, Response = RpcResponse> + Clone + Send + Sync + 'static,
    S::Error: Into<Status>,
    S::Future: Send + 'static,
{
    fn send(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>> {
        let mut service = self.0.clone();
        // Almost always ready: asking costs less than a second state of the future.
        if let Poll::Ready(Ok(())) = service.poll_ready(&mut TaskContext::from_waker(Waker::noop())) {
            let response = service.call(request);
            return Box::pin(async move { response.await.map_err(Into::into) });
        }
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        })
    }
}

/// Makes a [`Channel`] with defaults of its own.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ChannelBuilder {
    channel: Channel,
    timeout: Option<Duration>,
    transport: TransportOptions,
}

impl ChannelBuilder {
    /// Gives every call this long, whatever its schema says; a call may still say otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Puts `namespace` in front of every subject, so that environments can share a broker. The
    /// server needs the same one.
    ///
    /// Tokens of `[A-Za-z0-9_-]`, with dots between them. A call through a channel whose namespace
    /// is not legal fails with `INVALID_ARGUMENT`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.transport.namespace = Some(namespace.into());
        self
    }

    /// Makes calls wait for a connection, until their deadline, rather than fail at once with
    /// `UNAVAILABLE` while there is none. Default: fail.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.transport.wait_for_ready = wait;
        self
    }

    /// The largest message to send or accept, in bytes, one of a stream as well. Beyond it the call fails with
    /// `RESOURCE_EXHAUSTED`, and of a stream of responses what came before arrives. Default: 64 MiB. A server in this
    /// process is called without a limit.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.transport.max_message_bytes = bytes;
        self
    }

    /// Wraps what has been built so far. The layer added last sees a call first.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Channel>,
        L::Service: Service<RpcRequest, Response = RpcResponse> + Clone + Send + Sync + 'static,
        <L::Service as Service<RpcRequest>>::Error: Into<Status>,
        <L::Service as Service<RpcRequest>>::Future: Send + 'static,
    {
        // Without the defaults it began with: what is built here decides.
        let bare = Channel { transport: self.channel.transport, defaults: Arc::default() };
        self.channel = Channel::new(layer.layer(bare));
        self
    }

    /// The channel.
    pub fn build(self) -> Channel {
        let defaults = Defaults { timeout: self.timeout, transport: self.transport.into() };
        Channel { transport: self.channel.transport, defaults: Arc::new(defaults) }
    }
}

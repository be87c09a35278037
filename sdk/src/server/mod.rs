//! [`Server`]: services on a bus.

mod answer;
mod early_cancels;
mod endpoint;
mod freshness;
mod in_flight;
mod queue;
mod serving;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tower::{Layer, Service};

use self::{endpoint::Endpoint, serving::Serving};
use crate::{
    Channel, Code, NamedService, Result, RpcRequest, RpcResponse, ServiceInfo, Status,
    bus::Bus,
    limits,
    status::reason,
    wire::{call_id::CallId, subject::check_namespace},
};

/// The queue group of every service: one instance gets each request. The name is ADR-32's, so that
/// the stock tools count instances right.
const QUEUE_GROUP: &str = "q";

/// Services on a bus.
///
/// ```no_run
/// # use subwire::{Bus, Server};
/// # async fn run(greeter: impl subwire::NamedService) -> subwire::Result<()> {
/// let bus = Bus::memory();
/// Server::builder(&bus).max_in_flight(256).add(greeter).serve(async { /* until told to stop */ }).await
/// # }
/// ```
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server on this bus, with nothing to serve yet.
    pub fn builder(bus: impl Into<Bus>) -> ServerBuilder {
        ServerBuilder {
            bus: bus.into(),
            services: Vec::new(),
            layers: Vec::new(),
            options: Options {
                namespace: None,
                max_in_flight: limits::IN_FLIGHT,
                max_message_bytes: limits::MESSAGE_BYTES,
                grace: limits::GRACE,
            },
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) namespace: Option<String>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) grace: Duration,
}

type Wrap = Box<dyn Fn(Channel) -> Channel + Send>;

/// Puts a server together.
#[must_use = "a builder does nothing until it serves"]
pub struct ServerBuilder {
    bus: Bus,
    services: Vec<(&'static ServiceInfo, Channel)>,
    layers: Vec<Wrap>,
    options: Options,
}

impl ServerBuilder {
    /// Adds a service.
    #[expect(clippy::should_implement_trait, reason = "nobody takes a server for a number")]
    pub fn add<S: NamedService>(mut self, server: S) -> Self {
        self.services.push((S::SERVICE, Channel::from_server(server)));
        self
    }

    /// Puts a layer around every service. The first layer added sees a request first.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Channel> + Send + 'static,
        L::Service: Service<RpcRequest, Response = RpcResponse> + Clone + Send + Sync + 'static,
        <L::Service as Service<RpcRequest>>::Error: Into<Status>,
        <L::Service as Service<RpcRequest>>::Future: Send + 'static,
    {
        self.layers.push(Box::new(move |channel| Channel::new(layer.layer(channel))));
        self
    }

    /// Puts `namespace` in front of every subject; channels need the same one.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.options.namespace = Some(namespace.into());
        self
    }

    /// Calls handled at one time, streams included; beyond it a call gets `RESOURCE_EXHAUSTED` and
    /// no place in a queue. Default: 1,024.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.options.max_in_flight = calls;
        self
    }

    /// The largest message to accept or send, in bytes, one of a stream as well. Beyond it the call fails with
    /// `RESOURCE_EXHAUSTED`. Default: 64 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.options.max_message_bytes = bytes;
        self
    }

    /// How long a stopping server waits for the calls it has before it cancels them. Default: 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// Serves until `shutdown` resolves, then stops taking work, finishes what it has, and returns.
    ///
    /// # Errors
    /// As [`start`](Self::start), and `UNAVAILABLE` or `UNAUTHENTICATED` when the bus is gone for good.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let bus = self.bus.describe();
        let services: Vec<_> = self.services.iter().map(|(info, _)| info.name).collect();
        let mut running = self.start().await?;
        tracing::info!(?services, bus, instance = running.instance(), "serving");
        tokio::select! {
            () = shutdown => running.stop().await,
            status = running.bus_closed() => Err(status),
        }
    }

    /// Begins to serve. When it returns, the broker knows of every subject.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a namespace that is not legal or a service added twice; `UNAVAILABLE`
    /// when the broker cannot be reached.
    pub async fn start(self) -> Result<Running> {
        if let Some(namespace) = &self.options.namespace {
            check_namespace(namespace)?;
        }
        let instance = CallId::random().to_string();
        let serving = Arc::new(Serving::new(self.bus.clone(), self.options.clone()));
        let mut tasks = JoinSet::new();
        let mut readers = JoinSet::new();
        let mut seen: Vec<&str> = Vec::new();
        for (info, mut channel) in self.services {
            if seen.contains(&info.subject) {
                let message = format!("two services answer on `{}`: add each once", info.subject);
                return Err(Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message));
            }
            seen.push(info.subject);
            // The layer added first is the outermost, so it goes on last.
            for wrap in self.layers.iter().rev() {
                channel = wrap(channel);
            }
            let endpoints = Endpoint::of_service(info, channel, self.options.namespace.as_deref(), &instance)?;
            endpoints.listen(&self.bus, &serving, &mut readers, &mut tasks).await?;
        }
        serving.run(&mut tasks);
        self.bus.fence().await?;
        Ok(Running { instance, serving, readers, _tasks: tasks })
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|(info, _)| info.name).collect();
        f.debug_struct("ServerBuilder").field("services", &services).field("options", &self.options).finish()
    }
}

/// A server that serves. Dropping it stops it at once; [`stop`](Self::stop) lets it finish.
pub struct Running {
    instance: String,
    serving: Arc<Serving>,
    /// Those that take new calls.
    readers: JoinSet<()>,
    /// Everything else it runs.
    _tasks: JoinSet<()>,
}

impl Running {
    /// What this instance is called on the bus.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// How many calls it is handling.
    pub fn in_flight(&self) -> usize {
        self.serving.in_flight()
    }

    /// Stops taking calls, waits for those it has up to the grace time, cancels the rest with
    /// `UNAVAILABLE`, and returns when the last reply is on its way.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the connection broke, so that replies may be lost.
    pub async fn stop(mut self) -> Result<()> {
        self.serving.drain_readers(&mut self.readers).await;
        self.serving.drain().await;
        self.serving.bus().fence().await
    }

    /// Resolves when there will never be a connection again.
    async fn bus_closed(&mut self) -> Status {
        let mut link = self.serving.bus().link();
        let closed = link.wait_for(|link| link.closed.is_some()).await.ok().and_then(|link| link.closed.clone());
        closed.unwrap_or_else(|| Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the bus is closed"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("instance", &self.instance)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

//! [`Bus`]: what carries messages. One seam, two implementations, any number of faults.

mod bundle;
mod faults;
mod memory;
pub(crate) mod message;
mod nats;

use std::{
    fmt,
    sync::{Arc, Weak},
    task::{Context as TaskContext, Poll},
};

use futures_util::{
    FutureExt,
    future::{self, Either, Ready, ready},
};
use tokio::sync::{OnceCell, broadcast, watch};

use self::bundle::Bundle;
pub use self::{
    faults::{FaultCounts, Faults, FaultsControl},
    message::{BusEvent, IntoMessage, Link, Message},
    nats::NatsOptions,
};
pub(crate) use self::{memory::Router, nats::read_headers};
pub use crate::wire::{header::Headers, subject::Subject};
use crate::{
    Channel, Result,
    jetstream::{engine::Engine, remote::Requests},
    limits,
    rpc::inbox::Inbox,
    wire::reply,
};

/// A connection to a broker: NATS, or one in this process.
///
/// A clone is one atomic increment and shares the connection. The connection closes when the last
/// clone is gone.
#[derive(Clone)]
pub struct Bus(Arc<Shared>);

struct Shared {
    backend: Backend,
    /// Where the replies of this connection's calls arrive; made by the first call.
    inbox: OnceCell<Inbox>,
    /// Where JetStream's answers arrive; made by the first use of a stream of a server.
    requests: OnceCell<Requests>,
    /// Requests that are about to be sent. Whatever else is sent goes after them.
    bundle: Arc<Bundle>,
}

enum Backend {
    Memory(memory::Memory),
    Nats(nats::Nats),
    Faulty(faults::Faulty),
}

impl Bus {
    /// A broker in this process, with the semantics of NATS. Each call makes another one.
    pub fn memory() -> Self {
        Self::over(Backend::Memory(memory::Memory::new()))
    }

    /// The bus that the environment asks for: `MESSAGE_BUS=memory|nats`; unset, NATS if `NATS_URL` or
    /// `NATS_CONTEXT` is set, else memory. The log says which, and why.
    ///
    /// For NATS see [`NatsOptions::from_env`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a setting that is misspelt or contradicts another, naming the
    /// variable; else as [`Bus::nats`].
    pub async fn from_env() -> Result<Self> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for (name, nearest) in nats::unknown_variables(names, &["SUBWIRE_ARCHIVE_URL"]) {
            tracing::warn!(name, nearest, "nothing reads this variable");
        }
        match nats::choose(&|name| std::env::var(name).ok())? {
            nats::BusChoice::Memory => Ok(Self::memory()),
            nats::BusChoice::Nats(options) => Self::nats(*options).await,
        }
    }

    /// Connects to NATS.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no server answers, `UNAUTHENTICATED` when it refuses the credentials,
    /// `INVALID_ARGUMENT` for options that make no sense.
    pub async fn nats(options: impl Into<NatsOptions>) -> Result<Self> {
        Ok(Self::over(Backend::Nats(nats::Nats::connect(options.into()).await?)))
    }

    /// Uses a NATS client that was made elsewhere.
    ///
    /// It cannot be rebuilt when it dies, and refusals for want of permission show as timeouts:
    /// both need the options it was made with. Neither does it say how many messages its subscriptions
    /// buffer: with fewer than 2,000, workers lose some. Prefer [`Bus::nats`].
    pub fn from_client(client: async_nats::Client) -> Self {
        Self::over(Backend::Nats(nats::Nats::from_client(client)))
    }

    fn over(backend: Backend) -> Self {
        Self(Arc::new(Shared { backend, inbox: OnceCell::new(), requests: OnceCell::new(), bundle: Arc::default() }))
    }

    /// Sends an event, or a message: `bus.publish(&event)`. `Ok` means that it is on its way, not that
    /// anybody got it; for that see [`Events`](crate::Events).
    ///
    /// # Errors
    /// `UNAVAILABLE` while there is no connection, `RESOURCE_EXHAUSTED` if it is larger than
    /// [`max_payload`](Self::max_payload), `INVALID_ARGUMENT` for headers that are not legal, and for
    /// a field of the event that its subject cannot hold.
    pub async fn publish(&self, message: impl IntoMessage) -> Result<()> {
        let Backend::Nats(nats) = &self.0.backend else { return self.send(message.into_message()?).await };
        self.send_bundle();
        // Without a look first whether it has to wait, which costs more than the way to the client.
        nats.publish(message).await
    }

    /// Sends where it is called if nothing has to wait. So its future is small, and it is part of every
    /// call's.
    pub(crate) fn send(&self, message: Message) -> Sending<'_> {
        match self.send_now(message) {
            Ok(sent) => Either::Left(ready(sent)),
            Err(message) => Either::Right(match &self.0.backend {
                Backend::Memory(memory) => ready(memory.publish(message)).boxed(),
                Backend::Nats(nats) => nats.publish(message).boxed(),
                Backend::Faulty(faulty) => faulty.publish(message).boxed(),
            }),
        }
    }

    /// Sends, or hands the message back where that would have to wait.
    #[expect(clippy::result_large_err, reason = "the message goes back to whoever it came from")]
    pub(crate) fn send_now(&self, message: Message) -> std::result::Result<Result<()>, Message> {
        self.send_bundle();
        match &self.0.backend {
            Backend::Memory(memory) => Ok(memory.publish(message)),
            Backend::Nats(nats) => nats.publish_now(message),
            Backend::Faulty(_) => Err(message),
        }
    }

    /// Sends a request together with others, when the tasks that are ready have run; or hands it
    /// back, because it might be refused or have to wait. Needs an open inbox, which sends them.
    #[expect(clippy::result_large_err, reason = "the message goes back to whoever it came from, who sends it alone")]
    pub(crate) fn bundle(&self, message: Message) -> std::result::Result<(), Message> {
        let ready = match &self.0.backend {
            Backend::Memory(memory) => memory.is_open(),
            Backend::Nats(nats) => nats.is_ready(),
            // What goes wrong there goes wrong message by message.
            Backend::Faulty(_) => false,
        };
        if !ready || !message.headers.is_empty() || message.payload.len() > self.max_payload() {
            return Err(message);
        }
        self.0.bundle.add(message, |message| self.post_now(message));
        Ok(())
    }

    /// Sends the requests that wait for others.
    fn send_bundle(&self) {
        self.0.bundle.send(|message| self.post_now(message));
    }

    /// Sends each bundle that is begun, for as long as there is a bus.
    pub(crate) fn run_bundle(&self) -> impl Future<Output = ()> + Send + 'static {
        let (bundle, bus) = (self.0.bundle.clone(), self.downgrade());
        async move { bundle.run(bus).await }
    }

    /// Sends a message from where nothing can wait: `Drop`, `poll`. A failure is logged.
    pub(crate) fn post(&self, message: Message) {
        self.send_bundle();
        self.post_now(message);
    }

    fn post_now(&self, message: Message) {
        match &self.0.backend {
            Backend::Memory(memory) => {
                if let Err(status) = memory.publish(message) {
                    tracing::debug!(%status, "a message could not be sent");
                }
            }
            Backend::Nats(nats) => nats.post(message),
            Backend::Faulty(faulty) => faulty.post(message),
        }
    }

    /// Receives the bare messages sent to `subject`, which may have wildcards. In a queue group each
    /// goes to one member. Dropping the subscription ends it. For events see
    /// [`subscribe`](Self::subscribe).
    ///
    /// Messages sent after [`fence`](Self::fence) returned are certain to arrive.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the bus is closed.
    pub async fn listen(&self, subject: Subject, queue: Option<&str>) -> Result<Subscription> {
        Ok(Subscription(match &self.0.backend {
            Backend::Memory(memory) => Source::Memory(memory.subscribe(subject, queue, limits::SUBSCRIPTION_MESSAGES)),
            Backend::Nats(nats) => Source::Nats(nats.subscribe(subject, queue).await?),
            Backend::Faulty(faulty) => Source::Faulty(Box::pin(faulty.subscribe(subject, queue)).await?),
        }))
    }

    /// Waits until the broker has seen everything sent and subscribed so far on this connection.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the connection breaks first.
    pub async fn fence(&self) -> Result<()> {
        self.send_bundle();
        match &self.0.backend {
            Backend::Memory(_) => Ok(()),
            Backend::Nats(nats) => nats.fence().await,
            Backend::Faulty(faulty) => Box::pin(faulty.fence()).await,
        }
    }

    /// The state of the connection, to look at and to wait on.
    pub fn link(&self) -> watch::Receiver<Link> {
        match &self.0.backend {
            Backend::Memory(memory) => memory.link(),
            Backend::Nats(nats) => nats.link(),
            Backend::Faulty(faulty) => faulty.link(),
        }
    }

    /// What the broker says of its own accord. A reader that is slow misses some.
    pub fn events(&self) -> broadcast::Receiver<BusEvent> {
        match &self.0.backend {
            Backend::Memory(memory) => memory.events(),
            Backend::Nats(nats) => nats.events(),
            Backend::Faulty(faulty) => faulty.events(),
        }
    }

    /// The largest payload with headers, in bytes, that the broker takes now. It may change with a
    /// reconnect.
    pub fn max_payload(&self) -> usize {
        match &self.0.backend {
            Backend::Memory(memory) => memory.max_payload(),
            Backend::Nats(nats) => nats.max_payload(),
            Backend::Faulty(faulty) => faulty.inner.max_payload(),
        }
    }

    /// Messages that a subscription buffers before it drops some.
    pub(crate) fn subscription_capacity(&self) -> usize {
        match &self.0.backend {
            Backend::Memory(_) => limits::SUBSCRIPTION_MESSAGES,
            Backend::Nats(nats) => nats.subscription_capacity(),
            Backend::Faulty(faulty) => faulty.inner.subscription_capacity(),
        }
    }

    /// Whether what is sent leaves on a connection, which takes many messages for little more than one.
    pub(crate) fn has_connection(&self) -> bool {
        match &self.0.backend {
            Backend::Memory(_) => false,
            Backend::Nats(_) => true,
            Backend::Faulty(faulty) => faulty.inner.has_connection(),
        }
    }

    /// `NATS` or `the in-memory bus`: for people.
    pub fn describe(&self) -> &'static str {
        match &self.0.backend {
            Backend::Memory(_) => "the in-memory bus",
            Backend::Nats(_) => "NATS",
            Backend::Faulty(faulty) => faulty.inner.describe(),
        }
    }

    /// Sends what waits to be sent and closes the connection.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the connection broke first, so that some of it may be lost.
    pub async fn close(&self) -> Result<()> {
        self.send_bundle();
        match &self.0.backend {
            Backend::Memory(memory) => memory.close(),
            Backend::Nats(nats) => return nats.close().await,
            Backend::Faulty(faulty) => return Box::pin(faulty.close()).await,
        }
        Ok(())
    }

    /// What the inboxes of this connection begin with: `_INBOX` unless the options say otherwise.
    pub(crate) fn inbox_prefix(&self) -> &str {
        match &self.0.backend {
            Backend::Memory(_) => reply::INBOX,
            Backend::Nats(nats) => nats.inbox_prefix(),
            Backend::Faulty(faulty) => faulty.inner.inbox_prefix(),
        }
    }

    /// The streams, where they are kept in this process.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.0.backend {
            Backend::Memory(memory) => Some(memory.engine()),
            Backend::Nats(_) => None,
            Backend::Faulty(faulty) => faulty.inner.engine(),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.0))
    }

    /// The inbox, if a call has opened it.
    pub(crate) fn opened_inbox(&self) -> Option<&Inbox> {
        self.0.inbox.get()
    }

    /// Where the replies of this connection's calls arrive.
    pub(crate) async fn inbox(&self) -> Result<&Inbox> {
        self.0.inbox.get_or_try_init(|| Inbox::open(self)).await
    }

    /// The requests to JetStream, if there was one.
    pub(crate) fn opened_requests(&self) -> Option<&Requests> {
        self.0.requests.get()
    }

    /// Where JetStream's answers to this connection arrive.
    pub(crate) async fn requests(&self) -> Result<&Requests> {
        self.0.requests.get_or_try_init(|| Requests::open(self)).await
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("broker", &self.describe()).field("link", &*self.link().borrow()).finish()
    }
}

/// A message that has been sent, or waits to be.
pub(crate) type Sending<'a> = Either<Ready<Result<()>>, future::BoxFuture<'a, Result<()>>>;

/// A bus that does not keep its connection open.
#[derive(Clone)]
pub(crate) struct WeakBus(Weak<Shared>);

impl WeakBus {
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        self.0.upgrade().map(Bus)
    }
}

impl From<&Bus> for Bus {
    fn from(bus: &Bus) -> Self {
        bus.clone()
    }
}

impl From<Bus> for Channel {
    fn from(bus: Bus) -> Self {
        Self::from_transport(crate::rpc::client::Client::new(bus))
    }
}

impl From<&Bus> for Channel {
    fn from(bus: &Bus) -> Self {
        bus.clone().into()
    }
}

/// Messages that arrive for one subject. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription(Source);

#[derive(Debug)]
enum Source {
    Memory(memory::MemorySubscription),
    Nats(nats::NatsSubscription),
    Faulty(faults::FaultySubscription),
}

impl Subscription {
    /// The next message; `None` when the bus is closed. A lost connection is waited out.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next message, if one is here already.
    pub(crate) fn try_next(&mut self) -> Option<Message> {
        match self.poll_next(&mut TaskContext::from_waker(std::task::Waker::noop())) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    /// The next message.
    pub fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        match &mut self.0 {
            Source::Memory(memory) => memory.poll_next(cx),
            Source::Nats(nats) => nats.poll_next(cx),
            Source::Faulty(faulty) => faulty.poll_next(cx),
        }
    }

    /// Stops the flow: what has been sent so far still comes, then the end.
    ///
    /// On NATS, a request that is under way in the very moment may be lost when there is little traffic.
    pub fn drain(&mut self) {
        match &mut self.0 {
            Source::Memory(memory) => memory.drain(),
            Source::Nats(nats) => nats.drain(),
            Source::Faulty(faulty) => faulty.drain(),
        }
    }

    /// How many messages did not fit the buffer so far. On NATS at least so many: the client reports a burst of
    /// them in part.
    pub fn dropped(&self) -> u64 {
        match &self.0 {
            Source::Memory(memory) => memory.dropped(),
            Source::Nats(nats) => nats.dropped(),
            Source::Faulty(faulty) => faulty.dropped(),
        }
    }
}

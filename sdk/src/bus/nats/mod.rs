//! [`Nats`]: the bus over NATS, the only place that names types of async-nats.
//!
//! What async-nats does well it does here: the protocol, and a quick reconnect that keeps the
//! subscriptions. The [`Supervisor`] does what it does not: it says at once that a connection is
//! lost and which one is new, replaces a client that gave up or died, and knows when to stop.
//!
//! A message from a peer can make the task of a client panic (a lone CR in a header, async-nats
//! 0.51). The panic stays in that task, unless the program is built with `panic = "abort"`.

mod address;
mod connection;
mod context;
mod credentials;
mod drain;
mod env;
mod live;
mod message;
mod options;
mod outbox;
mod registry;
mod shared;
mod subscription;
mod supervisor;
mod version;
mod violation;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use async_nats::Client;
use futures_util::StreamExt;
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
    task::JoinSet,
    time::timeout,
};

pub use self::options::NatsOptions;
pub(super) use self::subscription::NatsSubscription;
use self::{
    connection::Connection, live::Live, message::GivenAway, outbox::Outbox, registry::Registry, shared::Shared,
    supervisor::Supervisor,
};
pub(crate) use self::{
    env::{BusChoice, choose, unknown_variables},
    message::read_headers,
};
use super::message::{BusEvent, IntoMessage, Link, Message};
use crate::{Code, Executed, Result, Status, limits, status::reason, wire::subject::Subject};

/// How long the server may take to answer a fence.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// The bus over NATS. Dropping it ends its subscriptions and its tasks.
pub(crate) struct Nats {
    shared: Arc<Shared>,
    outbox: Outbox,
    /// One that was made elsewhere has other users, so it is not closed here.
    owns_client: bool,
    /// Messages that a subscription buffers.
    subscription_capacity: usize,
    /// The supervisor and the postman: they end with the bus.
    tasks: JoinSet<()>,
}

impl Nats {
    pub(crate) async fn connect(options: NatsOptions) -> Result<Self> {
        let shared = Shared::new(options.inbox_prefix.clone());
        let subscription_capacity = options.subscription_capacity;
        let first = match options.retry_initial_connect {
            true => {
                // What can be known to be wrong now should not be found out in a log.
                options.client_options(&options.addresses()?)?;
                None
            }
            false => Some(Live::connect(&options, 0, &[]).await?),
        };
        let supervisor = Supervisor::new(shared.clone(), Some(options));
        if let Some(live) = &first {
            shared.set_connection(live.connection.clone());
            supervisor.adopt(&live.connection).await;
        }
        let mut nats = Self::idle(shared, true, subscription_capacity);
        nats.tasks.spawn(supervisor.run(first));
        Ok(nats)
    }

    /// Uses a client that was made elsewhere. Needs a runtime, as the client does.
    pub(crate) fn from_client(client: Client) -> Self {
        let inbox = client.new_inbox();
        let prefix = inbox.rsplit_once('.').map_or("_INBOX", |(prefix, _)| prefix);
        let shared = Shared::new(prefix.to_owned());
        // The client does not say; this is its default as well.
        let subscription_capacity = limits::SUBSCRIPTION_MESSAGES;
        if Handle::try_current().is_err() {
            let message = "a bus over a client must be made inside a tokio runtime";
            shared.shut(Status::failed_precondition(message));
            let (outbox, tasks) = (Outbox::new().0, JoinSet::new());
            return Self { shared, outbox, owns_client: false, subscription_capacity, tasks };
        }
        let live = Live::foreign(client);
        let supervisor = Supervisor::new(shared.clone(), None);
        // Nothing is subscribed yet, so it can be used before the supervisor has run.
        shared.set_connection(live.connection.clone());
        shared.announce(&live.connection);
        let mut nats = Self::idle(shared, false, subscription_capacity);
        nats.tasks.spawn(supervisor.run(Some(live)));
        nats
    }

    fn idle(shared: Arc<Shared>, owns_client: bool, subscription_capacity: usize) -> Self {
        let (outbox, postman) = Outbox::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(postman.run(shared.clone()));
        Self { shared, outbox, owns_client, subscription_capacity, tasks }
    }

    /// Hands a message to the client; waits while its queue is full, but not for a connection.
    ///
    /// Takes what becomes a message, and not one: most of what it would cost to publish an event that is
    /// handed on is moving it from one future to the next.
    #[inline]
    pub(crate) async fn publish(&self, message: impl IntoMessage) -> Result<()> {
        let Message { subject, reply, headers, payload, status } = message.into_message()?;
        if !self.outbox.is_idle() || reply.is_some() || !headers.is_empty() {
            let message = Message { subject, reply, headers, payload, status };
            return Box::pin(self.publish_any(message)).await;
        }
        let other;
        let connection = match self.shared.first() {
            Some(first) => first,
            None => {
                other = self.shared.connected()?;
                &*other
            }
        };
        let size = payload.len();
        let mut sending = pin!(connection.client.publish(GivenAway::new(subject), payload));
        let refused = |error| message::refused(&error, size, &connection.client);
        match poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).map_err(refused))).await {
            Poll::Ready(sent) => sent,
            Poll::Pending => Box::pin(self.shared.unless_lost(connection, sending)).await?.map_err(refused),
        }
    }

    /// The same for a message of any kind, at any time.
    async fn publish_any(&self, message: Message) -> Result<()> {
        match self.outbox.is_idle() {
            true => self.shared.publish(message).await,
            // Behind what was posted before, or it would overtake.
            false => self.outbox.send(message).await,
        }
    }

    /// Hands a message to the client, or back when that would have to wait.
    #[expect(clippy::result_large_err, reason = "the message goes back to whoever it came from, and on to the outbox")]
    pub(crate) fn publish_now(&self, message: Message) -> std::result::Result<Result<()>, Message> {
        if !self.outbox.is_idle() {
            return Err(message);
        }
        match self.shared.connected() {
            Ok(connection) => connection.send(message),
            Err(status) => Ok(Err(status)),
        }
    }

    /// Whether a message would be taken, and at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.outbox.is_idle() && self.shared.connected().is_ok()
    }

    /// Hands a message to the client, or to the outbox when that would have to wait.
    pub(crate) fn post(&self, message: Message) {
        let subject = message.subject.clone();
        match self.publish_now(message) {
            Ok(Ok(())) => {}
            Ok(Err(status)) => tracing::debug!(%status, %subject, "a posted message could not be sent"),
            Err(message) => self.outbox.post(message),
        }
    }

    pub(crate) async fn subscribe(&self, subject: Subject, queue: Option<&str>) -> Result<NatsSubscription> {
        if let Some(queue) = queue.filter(|queue| queue.is_empty() || queue.contains(char::is_whitespace)) {
            let message = format!("queue group {queue:?} is not legal: it is empty or has white space");
            return Err(Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message));
        }
        if let Some(status) = &self.shared.link.borrow().closed {
            return Err(status.clone());
        }
        let subscription = NatsSubscription::new(self.shared.registry.clone(), subject, queue);
        // Without a connection the supervisor does it, when there is one.
        if let Ok(connection) = self.shared.connected()
            && let Err(status) = subscription.slot().establish(&connection).await
        {
            tracing::debug!(%status, "a subscription waits for the next connection");
        }
        Ok(subscription)
    }

    /// Waits until the server has seen everything sent and subscribed so far.
    ///
    /// `Client::flush` proves less: it returns when the bytes are in the socket.
    pub(crate) async fn fence(&self) -> Result<()> {
        let connection = self.shared.connected()?;
        let number = connection.number();
        let answered = timeout(FENCE_TIMEOUT, self.echo(&connection)).await;
        match answered {
            // An echo over a newer connection says nothing of what was sent before.
            Ok(Ok(())) if connection.is_up() && connection.number() == number => Ok(()),
            Ok(Err(status)) => Err(status.with_executed(Executed::Maybe)),
            Ok(Ok(())) => Err(disconnected().with_executed(Executed::Maybe)),
            Err(_) => {
                let message = format!("NATS did not answer within {FENCE_TIMEOUT:?}");
                Err(Status::made_here(Code::Unavailable, reason::CONNECTION_LOST, message))
            }
        }
    }

    /// Sends a message to ourselves and waits for it.
    async fn echo(&self, connection: &Connection) -> Result<()> {
        let inbox = Subject::trusted(format!("{}.{:032x}", self.shared.inbox_prefix, rand::random::<u128>()));
        let mut events = self.shared.events.subscribe();
        let subject = message::outgoing(inbox.clone());
        let mut echo = connection.client.subscribe(subject).await.map_err(|error| disconnected().with_source(error))?;
        // With itself as reply: a client made without echo gets a 503, which proves the same.
        self.publish(Message::new(inbox.clone(), bytes::Bytes::new()).with_reply(inbox.clone())).await?;
        loop {
            tokio::select! {
                answer = echo.next() => return answer.map(drop).ok_or_else(disconnected),
                // Who may not send to its own inbox gets that as an answer, in the same order.
                event = events.recv() => match event {
                    Ok(BusEvent::PublishDenied(denied) | BusEvent::SubscribeDenied(denied)) if denied == inbox.as_str() => return Ok(()),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(disconnected()),
                },
                () = self.shared.lost(connection) => return Err(disconnected()),
            }
        }
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<BusEvent> {
        self.shared.events.subscribe()
    }

    /// What the subjects of this connection's replies start with.
    pub(crate) fn inbox_prefix(&self) -> &str {
        &self.shared.inbox_prefix
    }

    /// Messages that a subscription buffers before it drops some.
    pub(crate) fn subscription_capacity(&self) -> usize {
        self.subscription_capacity
    }

    /// What the server takes that we are connected to, or were last.
    pub(crate) fn max_payload(&self) -> usize {
        self.shared.max_payload()
    }

    /// Sends what is queued, then closes. Fails when the connection breaks first; it is closed then too.
    pub(crate) async fn close(&self) -> Result<()> {
        if self.shared.link.borrow().closed.is_some() {
            return Ok(());
        }
        let flushed = self.fence().await;
        self.shared.shut(Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the bus is closed"));
        let connection = self.shared.take_connection();
        if let Some(connection) = connection.filter(|_| self.owns_client) {
            // Last, because it throws away what is queued. A client that is not connected takes no
            // commands; it ends by itself when it has failed to reconnect.
            let _ = timeout(Duration::from_secs(1), connection.client.drain()).await;
        }
        flushed
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.shared.shut(Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the bus is closed"));
    }
}

/// The error of what was not sent, because there is no connection.
fn disconnected() -> Status {
    Status::made_here(Code::Unavailable, reason::DISCONNECTED, "there is no connection to NATS")
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::NatsServer;

    fn numbered(number: usize) -> Message {
        Message::new(Subject::from_static("s"), number.to_string())
    }

    /// One thread, so that the client cannot send before the test waits.
    #[tokio::test]
    async fn what_is_posted_beyond_the_queue_keeps_its_order() {
        const POSTED: usize = 10_000;
        let server = NatsServer::start().await.expect("a server");
        let nats = Nats::connect(server.url().into()).await.expect("connected");
        let mut subscription = nats.subscribe(Subject::from_static("s"), None).await.expect("subscribed");
        for number in 0..POSTED {
            nats.post(numbered(number));
        }
        assert!(!nats.outbox.is_idle());
        let illegal = vec![0; nats.max_payload() + 1];
        let illegal = Message::new(Subject::from_static("s"), illegal);
        nats.publish(illegal).await.expect_err("too large, whichever way it takes");
        nats.publish(numbered(POSTED)).await.expect("sent");
        nats.fence().await.expect("a fence");
        assert!(nats.outbox.is_idle());
        nats.post(numbered(POSTED + 1));
        for number in 0..POSTED + 2 {
            let next = std::future::poll_fn(|cx| subscription.poll_next(cx));
            let message = timeout(FENCE_TIMEOUT, next).await.expect("in time").expect("open");
            assert_eq!(message.payload, number.to_string());
        }
    }

    /// What a peer says is a subject is not checked when it comes, so it is when it goes out again.
    #[tokio::test]
    async fn a_subject_that_would_end_its_line_is_refused() {
        let server = NatsServer::start().await.expect("a server");
        let nats = Nats::connect(server.url().into()).await.expect("connected");
        let mut evil = nats.subscribe(Subject::from_static("evil"), None).await.expect("subscribed");
        for text in ["a b", "x 0\r\n\r\nPUB evil 3\r\nyes\r\nPUB y"] {
            let message = || Message::new(Subject::trusted(text.to_owned()), "");
            let with_header = message().with_header("k", "v");
            for message in [message(), with_header] {
                let status = nats.publish(message).await.expect_err(text);
                assert_eq!(status.code(), Code::InvalidArgument);
            }
        }
        nats.publish(Message::new(Subject::from_static("evil"), "mine")).await.expect("sent");
        let next = std::future::poll_fn(|cx| evil.poll_next(cx));
        assert_eq!(timeout(FENCE_TIMEOUT, next).await.expect("in time").expect("open").payload, "mine");
    }

    #[tokio::test]
    async fn what_is_posted_without_a_connection_is_not_kept() {
        let mut server = NatsServer::start().await.expect("a server");
        let nats = Nats::connect(server.url().into()).await.expect("connected");
        server.kill();
        let mut link = nats.link();
        timeout(FENCE_TIMEOUT, link.wait_for(|link| !link.up)).await.expect("in time").expect("alive");
        nats.post(numbered(0));
        assert!(nats.outbox.is_idle());
    }
}

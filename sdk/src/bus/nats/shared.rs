//! [`Shared`]: what the tasks of a bus see of it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use async_nats::client::traits::Publisher as _;
use tokio::sync::{broadcast, watch};

use super::{Connection, Registry, disconnected, message};
use crate::{
    Executed, Result, Status,
    bus::message::{BusEvent, Link, Message},
};

/// Events that a slow reader may miss.
const EVENTS: usize = 256;

/// What nats-server takes if nobody configured it, until one has said what it takes.
const DEFAULT_PAYLOAD_BYTES: usize = 1024 * 1024;

/// What the tasks of a bus see of it.
pub(super) struct Shared {
    /// The first client: nearly always the only one, and here it is found without a lock.
    first: OnceLock<Arc<Connection>>,
    /// The newest client, if there was one; it may be reconnecting, or dead and about to be replaced.
    connection: RwLock<Option<Arc<Connection>>>,
    pub(super) registry: Arc<Registry>,
    pub(super) link: watch::Sender<Link>,
    pub(super) events: broadcast::Sender<BusEvent>,
    pub(super) inbox_prefix: String,
}

impl Shared {
    pub(super) fn new(inbox_prefix: String) -> Arc<Self> {
        Arc::new(Self {
            first: OnceLock::new(),
            connection: RwLock::new(None),
            registry: Arc::default(),
            link: watch::Sender::new(Link { epoch: 0, up: false, closed: None }),
            events: broadcast::Sender::new(EVENTS),
            inbox_prefix,
        })
    }

    /// Puts a message into the client's queue; waits while that is full. Dropped while it waits, the
    /// message is lost.
    pub(super) async fn publish(&self, message: Message) -> Result<()> {
        let connection = self.connected()?;
        let size = message.payload.len() + message.headers.wire_len();
        let sending = connection.client.publish_message(message::outbound(message)?);
        let sent = self.unless_lost(&connection, sending).await?;
        sent.map_err(|error| message::refused(&error, size, &connection.client))
    }

    /// Waits until the client has taken a message, but not until it has another connection: what waits
    /// in a full queue must not go out on that one, long after the caller has given up.
    pub(super) async fn unless_lost<T>(&self, connection: &Connection, sending: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            sent = sending => Ok(sent),
            () = self.lost(connection) => Err(disconnected()),
        }
    }

    /// The first client, if it seems to be connected, and to the server that the link speaks of.
    #[inline]
    pub(super) fn first(&self) -> Option<&Connection> {
        self.first.get().map(|first| &**first).filter(|first| first.seems_up())
    }

    /// The client, if it is connected, and to the server that the link speaks of.
    pub(super) fn connected(&self) -> Result<Arc<Connection>> {
        match self.connection() {
            Some(connection) if connection.is_up() => Ok(connection),
            _ => Err(self
                .link
                .borrow()
                .closed
                .clone()
                .map_or_else(disconnected, |status| status.with_executed(Executed::No))),
        }
    }

    /// Waits until this connection is not the one in use.
    pub(super) async fn lost(&self, connection: &Connection) {
        let epoch = connection.epoch();
        let mut link = self.link.subscribe();
        // An error means that the bus is gone, and the connection with it.
        let _ = link.wait_for(|link| !link.up || link.epoch != epoch).await;
    }

    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_connection(&self, connection: Arc<Connection>) {
        self.first.get_or_init(|| connection.clone());
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    pub(super) fn take_connection(&self) -> Option<Arc<Connection>> {
        self.connection.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the server takes that we are connected to, or were last.
    pub(super) fn max_payload(&self) -> usize {
        self.connection().map_or(DEFAULT_PAYLOAD_BYTES, |connection| connection.client.max_payload())
    }

    /// Says that there is a connection. Nothing is sent on one before that.
    pub(super) fn announce(&self, connection: &Connection) {
        self.link.send_modify(|link| {
            if link.closed.is_some() {
                return;
            }
            connection.open();
            link.epoch = connection.epoch();
            link.up = connection.is_up();
        });
    }

    /// Says that there is none.
    pub(super) fn down(&self) {
        if let Some(connection) = self.connection() {
            connection.shut();
        }
        self.link.send_if_modified(|link| std::mem::replace(&mut link.up, false));
    }

    /// Says that there will never be one again, and ends the subscriptions.
    pub(super) fn shut(&self, why: Status) {
        self.link.send_modify(|link| {
            link.up = false;
            link.closed.get_or_insert(why);
        });
        self.down();
        self.registry.close();
    }
}

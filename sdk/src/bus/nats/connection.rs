//! [`Connection`]: a client of async-nats, and which of its connections is in use.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_nats::{Client, Statistics, connection::State};

/// A client of async-nats, and which of its connections is in use.
///
/// The client reconnects of its own accord, and what is queued goes out on whatever connection
/// there is. So each is used only after [`open`](Self::open) was called for it.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Connections of the clients before this one. Tells clients apart, as each has connected.
    pub(super) generation: u64,
    statistics: Arc<Statistics>,
    /// The number of the connection that may be used; 0: none.
    open: AtomicU64,
}

impl Connection {
    pub(super) fn new(client: Client, generation: u64) -> Self {
        let statistics = client.statistics();
        Self { client, generation, statistics, open: AtomicU64::new(0) }
    }

    /// Counts the connections of this client.
    pub(super) fn number(&self) -> u64 {
        self.statistics.connects.load(Ordering::Acquire)
    }

    /// Counts the connections of the bus.
    pub(super) fn epoch(&self) -> u64 {
        self.generation + self.number()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether there is a connection and it may be used: two loads and the client's own state.
    pub(super) fn is_up(&self) -> bool {
        self.open.load(Ordering::Acquire) == self.number() && self.is_connected()
    }

    /// Allows the use of the connection there is.
    pub(super) fn open(&self) {
        self.open.store(self.number(), Ordering::Release);
    }

    /// Allows the use of none.
    pub(super) fn shut(&self) {
        self.open.store(0, Ordering::Release);
    }
}

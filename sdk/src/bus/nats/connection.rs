//! [`Connection`]: a client of async-nats, and which of its connections is in use.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Client, Statistics, connection::State};
use futures_util::{FutureExt, Sink};
use tokio::task::unconstrained;

use super::{disconnected, message};
use crate::{Result, bus::Message};

/// A client of async-nats, and which of its connections is in use.
///
/// The client reconnects of its own accord, and what is queued goes out on whatever connection
/// there is. So each is used only after [`open`](Self::open) was called for it.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The same client as a sink, which says whether there is room before it takes a message.
    sink: Mutex<Client>,
    /// Connections of the clients before this one. Tells clients apart, as each has connected.
    pub(super) generation: u64,
    /// Whether the client reports a loss at once. One that was made elsewhere has to be asked.
    reports: bool,
    statistics: Arc<Statistics>,
    /// The number of the connection that may be used; 0: none.
    open: AtomicU64,
}

impl Connection {
    pub(super) fn new(client: Client, generation: u64, reports: bool) -> Self {
        let statistics = client.statistics();
        let sink = Mutex::new(client.clone());
        Self { client, sink, generation, reports, statistics, open: AtomicU64::new(0) }
    }

    /// Hands a message to the client, or back when that would have to wait.
    #[expect(clippy::result_large_err, reason = "the message goes back to whoever it came from")]
    pub(super) fn send(&self, message: Message) -> std::result::Result<Result<()>, Message> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sink = Pin::new(&mut *sink);
        // Not under tokio's budget: it would say "wait" to a queue that has room.
        match unconstrained(poll_fn(|cx| sink.as_mut().poll_ready(cx))).now_or_never() {
            None => Err(message),
            Some(Err(_)) => Ok(Err(disconnected())),
            Some(Ok(())) => {
                let size = message.payload.len() + message.headers.wire_len();
                Ok(message::outbound(message).and_then(|message| {
                    sink.as_mut().start_send(message).map_err(|error| message::refused(&error, size, &self.client))
                }))
            }
        }
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

    /// Whether there is a connection and it may be used.
    pub(super) fn is_up(&self) -> bool {
        self.is_open() && self.is_connected()
    }

    /// The same, as far as it has been reported: two loads, where the client's own state is behind a lock.
    /// What is sent in the moment between waits in the client, and goes out on its next connection or is lost.
    pub(super) fn seems_up(&self) -> bool {
        self.is_open() && (self.reports || self.is_connected())
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) == self.number()
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

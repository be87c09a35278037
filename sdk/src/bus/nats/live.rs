//! [`Live`]: a client that works, and how we hear of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectError, ConnectErrorKind, Event, ServerAddr, Subscriber};
use futures_util::StreamExt;
use tokio::{sync::mpsc, time::timeout};

use super::{Connection, NatsOptions, options::invalid_config};
use crate::{Code, Result, Status, backoff::Backoff, status::reason};

/// Events of async-nats that may wait for us.
const EVENTS: usize = 128;

/// Waits between attempts to connect.
pub(super) const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(8));

/// Times that the client itself tries every server. Then it gives up and is replaced, and whatever
/// was queued in it is gone, rather than sent late.
const CLIENT_ROUNDS: usize = 3;

/// A client that works, and how we hear of it.
pub(super) struct Live {
    pub(super) connection: Arc<Connection>,
    signs: Signs,
}

enum Signs {
    /// The sender lives in a task of the client, so this ends when that does.
    Events(mpsc::Receiver<Event>),
    /// A subscription that nobody sends to; it ends when the client does.
    Canary(Option<Subscriber>),
}

impl Live {
    /// Connects once, to any of the servers.
    pub(super) async fn connect(options: &NatsOptions, generation: u64, discovered: &[ServerAddr]) -> Result<Self> {
        let addresses = options.addresses()?;
        let (sender, events) = mpsc::channel(EVENTS);
        let fresh = AtomicBool::new(true);
        let names = addresses.names();
        let mut servers = addresses.servers.clone();
        servers.extend(discovered.iter().filter(|server| !addresses.servers.contains(server)).cloned());
        let known = servers.len();
        let client_options = options
            .client_options(&addresses)?
            .max_reconnects(known * CLIENT_ROUNDS)
            .reconnect_delay_callback(move |attempt| match fresh.swap(false, Ordering::Relaxed) {
                true => Duration::ZERO,
                false => RECONNECT.delay(attempt.div_ceil(known)),
            })
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    // Fails when nobody supervises any more.
                    let _ = sender.send(event).await;
                }
            });
        choose_tls_provider();
        let client = match timeout(options.connect_timeout, client_options.connect(servers)).await {
            Ok(connected) => connected.map_err(|error| refusal(&names, error))?,
            Err(_) => {
                let message = format!("no answer from NATS at {names} within {:?}", options.connect_timeout);
                return Err(Status::made_here(Code::Unavailable, reason::DISCONNECTED, message));
            }
        };
        Ok(Self { connection: Arc::new(Connection::new(client, generation, true)), signs: Signs::Events(events) })
    }

    /// A client that was made elsewhere.
    pub(super) fn foreign(client: Client) -> Self {
        Self { connection: Arc::new(Connection::new(client, 0, false)), signs: Signs::Canary(None) }
    }

    /// The next event; `None` when the client is dead. Cancel-safe.
    pub(super) async fn next_event(&mut self) -> Option<Event> {
        match &mut self.signs {
            Signs::Events(events) => events.recv().await,
            Signs::Canary(canary) => {
                let canary = match canary {
                    Some(canary) => canary,
                    None => {
                        let client = &self.connection.client;
                        canary.insert(client.subscribe(client.new_inbox()).await.ok()?)
                    }
                };
                while canary.next().await.is_some() {}
                None
            }
        }
    }
}

fn refusal(names: &str, error: ConnectError) -> Status {
    let kind = error.kind();
    let text = error.to_string();
    let refused = matches!(kind, ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication)
        || ["authentication expired", "authentication revoked"].iter().any(|why| text.to_lowercase().contains(why));
    let status = match (refused, kind) {
        (true, _) => {
            let message = format!("NATS at {names} refuses the credentials");
            Status::made_here(Code::Unauthenticated, reason::UNAUTHENTICATED, message)
        }
        (false, ConnectErrorKind::ServerParse) => invalid_config(text),
        _ => {
            let message = format!("cannot connect to NATS at {names}: {text}");
            Status::made_here(Code::Unavailable, reason::DISCONNECTED, message)
        }
    };
    status.with_source(error)
}

/// async-nats takes the TLS provider of the process, and panics when none was chosen and several
/// are compiled in, by whatever dependency.
fn choose_tls_provider() {
    use async_nats::rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // Fails when another thread was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

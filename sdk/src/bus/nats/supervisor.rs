//! [`Supervisor`]: keeps a bus connected.

use std::{future::pending, sync::Arc, time::Duration};

use async_nats::{Event, ServerAddr, ServerError};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::{Connection, Live, NatsOptions, Shared, live::RECONNECT, version::warn_if_old, violation};
use crate::{Code, Result, Status, bus::BusEvent, status::reason};

/// How often the state of the connection is looked at: events of async-nats can be lost.
const TICK: Duration = Duration::from_millis(250);

/// Refusals of the credentials, after those that the client saw, before we believe them: a server
/// that has just started may not know its accounts yet. Both together take less than 5 s.
const AUTH_ATTEMPTS: usize = 4;

/// A client that lived for less was probably killed by a peer, which may do it again.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// A bus leaves a server in lame duck mode within this time, so that not all leave at once.
const LAME_DUCK_GRACE: Duration = Duration::from_secs(2);

/// Keeps a bus connected: looks after its client, and replaces it when it gave up or died.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// How to make another client; `None` for one that was made elsewhere.
    options: Option<NatsOptions>,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>, options: Option<NatsOptions>) -> Self {
        Self { shared, options }
    }

    /// Runs until the bus is dropped or closed, or will never be connected again.
    pub(super) async fn run(self, first: Option<Live>) {
        let mut link = self.shared.link.subscribe();
        tokio::select! {
            // First: the client of a bus that is closed has ended for no other reason.
            biased;
            _ = link.wait_for(|link| link.closed.is_some()) => {}
            why = self.supervise(first) => {
                tracing::error!(status = %why, "the connection to NATS is lost for good");
                self.shared.shut(why);
            }
        }
    }

    async fn supervise(&self, first: Option<Live>) -> Status {
        let mut live = match first {
            Some(live) => live,
            None => match self.connect(Duration::ZERO).await {
                Ok(live) => live,
                Err(why) => return why,
            },
        };
        loop {
            let born = Instant::now();
            self.look_after(&mut live).await;
            self.shared.down();
            let pause = if born.elapsed() < LIFE_MIN { RECONNECT.delay(3) } else { Duration::ZERO };
            tracing::warn!(?pause, "the NATS client has ended and is replaced");
            live = match self.connect(pause).await {
                Ok(live) => live,
                Err(why) => return why,
            };
        }
    }

    /// Makes a client. Fails only when there is no point in trying again.
    async fn connect(&self, mut pause: Duration) -> Result<Live> {
        let Some(options) = &self.options else {
            let message = "the NATS client has ended, and one that was made elsewhere cannot be replaced";
            return Err(Status::made_here(Code::Unavailable, reason::DISCONNECTED, message));
        };
        let mut refused = 0;
        for attempt in 1.. {
            sleep(pause).await;
            let before = self.shared.connection();
            let generation = before.as_ref().map_or(0, |connection| connection.epoch());
            match Live::connect(options, generation, &discovered(before.as_deref())).await {
                Ok(live) => return Ok(live),
                Err(status) if status.code() == Code::Unauthenticated => {
                    refused += 1;
                    if refused == AUTH_ATTEMPTS {
                        return Err(status);
                    }
                    tracing::warn!(attempt, %status, "cannot connect to NATS");
                }
                Err(status) => {
                    refused = 0;
                    tracing::warn!(attempt, %status, "cannot connect to NATS");
                }
            }
            pause = RECONNECT.delay(attempt + 2);
        }
        Err(super::disconnected())
    }

    /// Returns when the client is dead.
    async fn look_after(&self, live: &mut Live) {
        let mut ticks = interval(TICK);
        let mut leave: Option<Instant> = None;
        self.shared.set_connection(live.connection.clone());
        loop {
            self.adopt(&live.connection).await;
            let left = async {
                match leave {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                event = live.next_event() => match event {
                    Some(event) => leave = self.hear(&live.connection, event).or(leave),
                    None => return,
                },
                _ = ticks.tick() => {}
                () = left => {
                    leave = None;
                    // Waits only while the client's queue is full.
                    let _ = timeout(TICK, live.connection.client.force_reconnect()).await;
                }
            }
        }
    }

    /// Brings the link in line with the client. Says that it is up only when every subscription
    /// is made, so that no answer to what is sent then can be missed.
    pub(super) async fn adopt(&self, connection: &Arc<Connection>) {
        let link = self.shared.link.borrow().clone();
        if link.closed.is_some() || (connection.is_up() && link.up) {
            return;
        }
        self.shared.down();
        if !connection.is_connected() {
            return;
        }
        // A second time for those that were made in between, and saw that the link was not up.
        self.subscribe_missing(connection).await;
        self.shared.announce(connection);
        self.subscribe_missing(connection).await;
        let server = connection.client.server_info();
        tracing::info!(server = %server.server_name, version = %server.version, epoch = connection.epoch(), "connected to NATS");
        warn_if_old(&server.version);
    }

    async fn subscribe_missing(&self, connection: &Arc<Connection>) {
        for slot in self.shared.registry.missing(connection.generation) {
            if let Err(status) = slot.establish(connection).await {
                tracing::debug!(%status, "a subscription waits for the next connection");
            }
        }
    }

    /// Returns when to leave the server, if it asks us to.
    fn hear(&self, connection: &Connection, event: Event) -> Option<Instant> {
        match event {
            Event::SlowConsumer(sid) => {
                self.shared.registry.count_dropped(connection.generation, sid);
                self.tell(BusEvent::SlowConsumer);
            }
            Event::ServerError(ServerError::Other(text)) => match violation::parse(&text) {
                Some(event) => self.tell(event),
                None => tracing::warn!(error = %text, "NATS reports an error"),
            },
            Event::LameDuckMode => {
                self.tell(BusEvent::LameDuck);
                return self
                    .knows_another_server(connection)
                    .then(|| Instant::now() + LAME_DUCK_GRACE.mul_f64(rand::random()));
            }
            // Connected and disconnected: `adopt` looks for itself, as those events may be late or lost.
            _ => {}
        }
        None
    }

    fn tell(&self, event: BusEvent) {
        // Fails when nobody listens.
        let _ = self.shared.events.send(event);
    }

    fn knows_another_server(&self, connection: &Connection) -> bool {
        let seeds =
            self.options.as_ref().and_then(|options| options.addresses().ok()).map_or(0, |known| known.servers.len());
        seeds.max(connection.client.server_info().connect_urls.len()) > 1
    }
}

/// The servers of the cluster that the last connection told us of.
fn discovered(connection: Option<&Connection>) -> Vec<ServerAddr> {
    let urls = connection.map(|connection| connection.client.server_info().connect_urls).unwrap_or_default();
    urls.iter().filter_map(|url| url.parse().ok()).collect()
}

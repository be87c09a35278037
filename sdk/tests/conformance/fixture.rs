//! What a case runs on: a client, and the service behind it.

use std::sync::Arc;

use schemas::testing::echo::v1::{EchoClient, EchoServer};
use subwire::{Bus, Channel, Running, Server, testing::NatsServer};

use crate::echo::{Echo, Watch};

/// A client and its service.
pub(crate) struct Fixture {
    pub(crate) echo: EchoClient,
    pub(crate) channel: Channel,
    /// What the handlers have seen.
    pub(crate) watch: Arc<Watch>,
    /// The bus between, if there is one: where the client sends, and where more servers can listen.
    pub(crate) bus: Option<Bus>,
    _server: Option<Running>,
    _nats: Option<NatsServer>,
}

/// The service in this process, called directly.
pub(crate) fn in_process() -> Fixture {
    let service = Echo::default();
    let watch = service.watch.clone();
    let channel = Channel::from(EchoServer::new(service));
    Fixture { echo: EchoClient::new(channel.clone()), channel, watch, bus: None, _server: None, _nats: None }
}

/// The service on the in-memory bus.
pub(crate) async fn memory() -> Fixture {
    let bus = Bus::memory();
    on_bus(bus.clone(), bus, None).await
}

/// The service on a nats-server of its own, with a connection for either side.
pub(crate) async fn nats() -> Fixture {
    let server = NatsServer::start().await.expect("a nats-server");
    let service = Bus::nats(server.url()).await.expect("a connection for the service");
    let client = Bus::nats(server.url()).await.expect("a connection for the client");
    on_bus(service, client, Some(server)).await
}

async fn on_bus(service_bus: Bus, client_bus: Bus, nats: Option<NatsServer>) -> Fixture {
    let service = Echo::default();
    let watch = service.watch.clone();
    let running = Server::builder(service_bus).add(EchoServer::new(service)).start().await.expect("a server");
    let channel = Channel::from(&client_bus);
    let echo = EchoClient::new(channel.clone());
    Fixture { echo, channel, watch, bus: Some(client_bus), _server: Some(running), _nats: nats }
}

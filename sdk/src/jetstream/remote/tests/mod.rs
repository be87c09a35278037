//! What only a real nats-server can show. What both brokers share is in the suite.

mod acks;
mod batch;
mod cluster;
mod consumers;
mod deliveries;
mod publish;
mod streams;
mod survival;

use std::{future::Future, time::Duration};

use tokio::time::timeout;

use crate::{
    Bus,
    bus::{Message, Subject},
    jetstream::{Ack, Action, ConsumerSpec, Delivered, Deliveries, JetStream, Pull, StreamSpec},
    testing::NatsServer,
};

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect(what)
}

async fn server() -> NatsServer {
    NatsServer::builder().jetstream().start().await.expect("a server")
}

async fn connect(server: &NatsServer) -> JetStream {
    JetStream::new(&soon("a connection", Bus::nats(server.url())).await.expect("connected"))
}

/// A server with the stream `orders` on `order.>`, and what speaks to it.
async fn orders() -> (NatsServer, JetStream) {
    let server = server().await;
    let streams = connect(&server).await;
    streams.create_stream(&orders_spec()).await.expect("created");
    (server, streams)
}

fn orders_spec() -> StreamSpec {
    StreamSpec::new("orders", ["order.>"])
}

fn message(subject: &str, payload: impl Into<String>) -> Message {
    Message::new(Subject::new(subject).expect("a subject"), payload.into())
}

async fn publish(streams: &JetStream, subject: &str, payload: impl Into<String>) -> u64 {
    let acknowledgement = streams.publish(message(subject, payload)).await.expect("sent");
    soon("an acknowledgement", acknowledgement).await.expect("stored").sequence
}

async fn put_consumer(streams: &JetStream, spec: ConsumerSpec) {
    streams.put_consumer(&spec, Action::Create).await.expect("created");
}

fn billing() -> ConsumerSpec {
    ConsumerSpec::new("orders", "billing")
}

const PULL: Pull = Pull { messages: 100, bytes: 1 << 20 };

async fn pull(streams: &JetStream) -> Deliveries {
    streams.pull("orders", "billing", PULL).await.expect("a consumer")
}

async fn next(deliveries: &mut Deliveries) -> Delivered {
    soon("a delivery", deliveries.next()).await.expect("more").expect("a delivery")
}

async fn next_done(streams: &JetStream, deliveries: &mut Deliveries) -> String {
    let delivered = next(deliveries).await;
    streams.ack(&delivered, Ack::Done).await.expect("sent");
    String::from_utf8_lossy(&delivered.message.payload).into_owned()
}

/// Requests of this connection that still wait for an answer.
fn waiting(streams: &JetStream) -> usize {
    streams.bus().opened_requests().map_or(0, super::Requests::count)
}

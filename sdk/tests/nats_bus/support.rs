//! What the cases share.

use std::{future::Future, time::Duration};

use subwire::{
    bus::{Bus, BusEvent, Message, Subject, Subscription},
    testing::NatsServer,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// No wait of these tests is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect(what)
}

/// Waits until the bus has a connection that is newer than `epoch`.
pub(crate) async fn connected_after(bus: &Bus, epoch: u64) -> u64 {
    let mut link = bus.link();
    soon("a new connection", link.wait_for(|link| link.up && link.epoch > epoch)).await.expect("the bus lives").epoch
}

pub(crate) async fn disconnected(bus: &Bus) {
    let mut link = bus.link();
    drop(soon("a lost connection", link.wait_for(|link| !link.up)).await.expect("the bus lives"));
}

pub(crate) fn subject(text: &str) -> Subject {
    Subject::pattern(text).expect("a legal subject")
}

pub(crate) fn message(subject: &str, payload: &str) -> Message {
    Message::new(self::subject(subject), payload.to_owned())
}

pub(crate) async fn bus(server: &NatsServer) -> Bus {
    soon("a connection", Bus::nats(server.url())).await.expect("connected")
}

pub(crate) async fn subscribe(bus: &Bus, subject: &str) -> Subscription {
    let subscription = bus.listen(self::subject(subject), None).await.expect("subscribed");
    soon("a fence", bus.fence()).await.expect("the server knows");
    subscription
}

pub(crate) async fn next(subscription: &mut Subscription) -> Message {
    soon("a message", subscription.next()).await.expect("the bus is open")
}

pub(crate) async fn next_text(subscription: &mut Subscription) -> String {
    String::from_utf8_lossy(&next(subscription).await.payload).into_owned()
}

pub(crate) async fn next_event(events: &mut tokio::sync::broadcast::Receiver<BusEvent>) -> BusEvent {
    soon("an event", events.recv()).await.expect("an event")
}

/// A raw connection, as a peer has that does not play by the rules.
pub(crate) async fn raw(server: &NatsServer) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(TcpStream::connect(server.address()).await.expect("connected"));
    let mut info = String::new();
    stream.read_line(&mut info).await.expect("INFO");
    stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n").await.expect("sent");
    stream
}

pub(crate) async fn raw_publish(peer: &mut BufReader<TcpStream>, subject: &str, headers: &str) {
    let head = format!("NATS/1.0\r\n{headers}\r\n\r\n");
    let line = format!("HPUB {subject} {} {}\r\n{head}\r\nPING\r\n", head.len(), head.len());
    peer.write_all(line.as_bytes()).await.expect("sent");
    let mut answer = String::from("PING\r\n");
    // The server may have a PING of its own on the way.
    while answer == "PING\r\n" {
        answer.clear();
        soon("a PONG", peer.read_line(&mut answer)).await.expect("an answer");
    }
    assert_eq!(answer, "PONG\r\n", "the server takes such a header");
}

pub(crate) const PERMISSIONS: &str = r#"
    authorization: { users: [
        { user: ann, password: s3cret, permissions: {
            publish: ["may.send", "_INBOX.>"], subscribe: ["may.read", "_INBOX.>"] } }
        { user: tom, password: s3cret, permissions: { publish: ["may.send"], subscribe: ["_INBOX.>"] } }
    ] }
"#;

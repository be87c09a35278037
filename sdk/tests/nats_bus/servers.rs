//! Finding a server, and leaving one.

use std::time::Duration;

use subwire::{
    Code,
    bus::{Bus, BusEvent, NatsOptions},
    testing::NatsServer,
};

/// No wait of these tests is longer.
use crate::support::*;

#[tokio::test]
async fn an_unreachable_server_is_named_without_secrets() {
    let mut server = NatsServer::start().await.expect("a server");
    server.kill();
    let url = server.client_url("ann", "s3cret");
    let status = soon("a refusal", Bus::nats(url.clone())).await.expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable);
    let shown = format!("{status} {status:?}");
    assert!(shown.contains(&server.address()) && !shown.contains("s3cret"), "{shown}");

    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let options = NatsOptions::new(address.as_str()).connect_timeout(Duration::from_millis(600));
    let status = soon("a refusal", Bus::nats(options)).await.expect_err("silence");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&address), "{status}");
}

#[tokio::test]
async fn the_first_connection_can_be_waited_for() {
    let mut server = NatsServer::start().await.expect("a server");
    server.kill();
    let bus = Bus::nats(NatsOptions::new(server.url()).retry_initial_connect()).await.expect("it waits");
    let mut early = bus.listen(subject("s"), None).await.expect("made later");
    assert_eq!(bus.publish(message("s", "")).await.expect_err("not yet").code(), Code::Unavailable);
    server.restart().await.expect("started");
    connected_after(&bus, 0).await;
    bus.publish(message("s", "x")).await.expect("sent");
    assert_eq!(next_text(&mut early).await, "x");
}

#[tokio::test]
async fn any_of_several_servers_will_do() {
    let mut servers = NatsServer::cluster(3).await.expect("a cluster");
    let urls = servers.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let bus = soon("a connection", Bus::nats(urls)).await.expect("connected");
    let mut subscription = subscribe(&bus, "s").await;
    let mut epoch = 1;
    for _ in 0..2 {
        // Whichever it is connected to.
        let mut at = 0;
        for (index, server) in servers.iter().enumerate() {
            if server.monitor("/connz?subs=1").await.expect("an answer").contains("\"s\"") {
                at = index;
            }
        }
        servers[at].kill();
        epoch = connected_after(&bus, epoch).await;
        bus.publish(message("s", "x")).await.expect("sent");
        assert_eq!(next_text(&mut subscription).await, "x");
        servers[at].restart().await.expect("restarted");
    }
}

#[tokio::test]
async fn a_server_in_lame_duck_mode_is_left() {
    let lines = "lame_duck_duration: \"60s\"\nlame_duck_grace_period: \"30s\"";
    let servers = NatsServer::builder().config(lines).cluster(2).await.expect("a cluster");
    // It knows one server only, and learns of the other.
    let bus = bus(&servers[0]).await;
    let mut events = bus.events();
    let mut subscription = subscribe(&bus, "s").await;
    servers[0].lame_duck().expect("asked");
    assert!(matches!(next_event(&mut events).await, BusEvent::LameDuck));
    connected_after(&bus, 1).await;
    bus.publish(message("s", "x")).await.expect("sent");
    assert_eq!(next_text(&mut subscription).await, "x");
}

#[tokio::test]
async fn a_name_and_an_inbox_prefix_reach_the_server() {
    let server = NatsServer::start().await.expect("a server");
    let options = NatsOptions::new(server.url()).name("billing").inbox_prefix("_INBOX.ann");
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    let mut inboxes = subscribe(&bus, "_INBOX.ann.>").await;
    soon("a fence", bus.fence()).await.expect("it works");
    assert!(next(&mut inboxes).await.subject.as_str().starts_with("_INBOX.ann."));
    assert!(server.monitor("/connz").await.expect("an answer").contains("\"billing\""));
}

#[tokio::test]
async fn a_burst_larger_than_the_queue_keeps_its_order() {
    const MESSAGES: usize = 20_000;
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut subscription = subscribe(&bus, "s").await;
    for number in 0..MESSAGES {
        bus.publish(message("s", &number.to_string())).await.expect("sent");
    }
    for number in 0..MESSAGES {
        assert_eq!(next_text(&mut subscription).await, number.to_string());
    }
}

//! A store that is full.

use subwire::{
    Code, Discard, Events, StreamSpec, Streams,
    bus::{Message, Subject},
    reason,
};

use std::future::IntoFuture;

use crate::*;

/// Publishes pieces of 10 KiB until one is refused; how many were acknowledged, and the refusal.
async fn fill(events: &Events) -> (u64, subwire::Status) {
    let mut acknowledged = 0;
    loop {
        let piece = Message::new(Subject::new("full.piece").expect("legal"), vec![7; 10 * 1024]);
        match within("an answer", events.publish(piece).into_future()).await {
            Ok(_) => acknowledged += 1,
            Err(status) => return (acknowledged, status),
        }
        assert!(acknowledged < 10_000, "it takes all");
    }
}

async fn check(bus: &Bus, spec: StreamSpec) {
    let streams = Streams::new(bus);
    streams.apply(&spec).await.expect("applied");
    let events = Events::new(bus);
    let (acknowledged, status) = fill(&events).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.error_info().expect("a reason").reason, reason::STREAM_FULL, "{status}");
    assert!(acknowledged > 0);
    assert_eq!(streams.info("FULL").await.expect("info").messages, acknowledged, "what is acknowledged is stored");
    // With room again it goes on, without anybody being restarted.
    streams.purge("FULL", None).await.expect("purged");
    let (again, _) = fill(&events).await;
    assert!(again > 0);
}

#[tokio::test]
async fn a_full_stream_acknowledges_nothing_that_it_does_not_store() {
    let spec =
        || StreamSpec { max_bytes: Some(1024 * 1024), discard: Discard::New, ..StreamSpec::new("FULL", ["full.>"]) };
    check(&Bus::memory(), spec()).await;
    let server = NatsServer::builder().jetstream().start().await.expect("a server");
    check(&Bus::nats(server.url()).await.expect("connected"), spec()).await;
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_that_it_does_not_store() {
    let server = NatsServer::builder().jetstream_with_bytes(2 * 1024 * 1024).start().await.expect("a server");
    check(&Bus::nats(server.url()).await.expect("connected"), StreamSpec::new("FULL", ["full.>"])).await;
}

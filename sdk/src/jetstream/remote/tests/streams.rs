use std::time::SystemTime;

use super::*;
use crate::{
    Code, Discard, Republish, Retention, Storage,
    jetstream::{Get, Purge},
};

fn full() -> StreamSpec {
    StreamSpec {
        description: "all orders".into(),
        retention: Retention::Interest,
        storage: Storage::Memory,
        max_messages: Some(1_000),
        max_messages_per_subject: Some(100),
        max_bytes: Some(1 << 20),
        max_age: Some(Duration::from_secs(3_600)),
        max_message_bytes: Some(1 << 10),
        discard: Discard::New,
        discard_new_per_subject: true,
        duplicate_window: Some(Duration::from_secs(60)),
        allow_direct: true,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        deny_delete: true,
        republish: Some(Republish { source: "order.>".into(), destination: "copy.>".into(), headers_only: true }),
        ..StreamSpec::new("full", ["order.>", "refund.>"])
    }
}

#[tokio::test]
async fn a_stream_is_what_its_spec_says() {
    let server = server().await;
    let streams = connect(&server).await;
    let info = streams.create_stream(&full()).await.expect("created");
    assert_eq!(info.spec, full());
    assert_eq!(streams.create_stream(&full()).await.expect("as it is"), info);
    assert_eq!(streams.stream_info("full").await.expect("a stream"), info);
    assert_eq!((info.messages, info.first_sequence, info.last_sequence, info.first_time), (0, 0, 0, None));
    let other = StreamSpec { max_messages: Some(5), ..full() };
    assert_eq!(streams.create_stream(&other).await.expect_err("another").code(), Code::AlreadyExists);
    let overlap = StreamSpec::new("another", ["order.new"]);
    assert_eq!(streams.create_stream(&overlap).await.expect_err("overlaps").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_server_fills_in_what_a_spec_leaves_to_it() {
    let (_server, streams) = orders().await;
    let expected = StreamSpec { duplicate_window: Some(Duration::from_secs(120)), ..orders_spec() };
    assert_eq!(streams.stream_info("orders").await.expect("a stream").spec, expected);
}

#[tokio::test]
async fn an_update_says_what_changes_and_leaves_what_a_spec_does_not_know() {
    let (server, streams) = orders().await;
    let foreign = async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("connected"));
    let mut config = foreign.get_stream("orders").await.expect("a stream").cached_info().config.clone();
    config.max_consumers = 7;
    config.deny_purge = false;
    config.placement = None;
    config.max_messages = 10;
    foreign.update_stream(config).await.expect("updated");
    let spec = StreamSpec { max_bytes: Some(1 << 20), ..orders_spec() };
    let info = streams.update_stream(&spec).await.expect("updated");
    assert_eq!((info.spec.max_bytes, info.spec.max_messages), (Some(1 << 20), None));
    let config = foreign.get_stream("orders").await.expect("a stream").cached_info().config.clone();
    assert_eq!(config.max_consumers, 7);
    let absent = StreamSpec::new("absent", ["absent"]);
    assert_eq!(streams.update_stream(&absent).await.expect_err("absent").code(), Code::NotFound);
}

#[tokio::test]
async fn names_and_subjects_come_in_pages_and_sorted() {
    let server = server().await;
    let streams = connect(&server).await;
    assert!(streams.stream_names().await.expect("names").is_empty());
    // A page has 1,024 names at most, and 128 streams in a list.
    let names: Vec<_> = (0..1_100).map(|number| format!("s{number:04}")).collect();
    for name in &names {
        let spec = StreamSpec { storage: Storage::Memory, ..StreamSpec::new(name.clone(), [name.clone()]) };
        streams.create_stream(&spec).await.expect("created");
    }
    assert_eq!(streams.stream_names().await.expect("names"), names);
}

#[tokio::test]
async fn subjects_are_counted() {
    let (_server, streams) = orders().await;
    for subject in ["order.b", "order.a", "order.b", "order.c.d"] {
        publish(&streams, subject, "x").await;
    }
    let count = |text: &str, count| (text.to_owned(), count);
    let all = [count("order.a", 1), count("order.b", 2), count("order.c.d", 1)];
    assert_eq!(streams.subjects("orders", ">").await.expect("subjects"), all);
    assert_eq!(streams.subjects("orders", "order.*").await.expect("subjects"), all[..2]);
    assert!(streams.subjects("orders", "refund.>").await.expect("subjects").is_empty());
    assert_eq!(streams.subjects("absent", ">").await.expect_err("absent").code(), Code::NotFound);
}

#[tokio::test]
async fn messages_are_purged_and_deleted() {
    let (_server, streams) = orders().await;
    for number in 0..10 {
        publish(&streams, if number % 2 == 0 { "order.even" } else { "order.odd" }, "x").await;
    }
    let purge = |purge: Purge| {
        let streams = streams.clone();
        async move { streams.purge_stream("orders", &purge).await.expect("purged") }
    };
    assert_eq!(purge(Purge { before: Some(3), ..Purge::default() }).await, 2);
    assert_eq!(purge(Purge { subject: Some("order.odd".to_owned()), ..Purge::default() }).await, 4);
    assert_eq!(purge(Purge { keep: Some(1), ..Purge::default() }).await, 3);
    streams.delete_message("orders", 9).await.expect("deleted");
    assert_eq!(streams.delete_message("orders", 9).await.expect_err("gone").code(), Code::NotFound);
    let info = streams.stream_info("orders").await.expect("a stream");
    assert_eq!((info.messages, info.last_sequence), (0, 10));
    streams.delete_stream("orders").await.expect("deleted");
    for code in [
        streams.delete_stream("orders").await.expect_err("gone").code(),
        streams.stream_info("orders").await.expect_err("gone").code(),
        streams.purge_stream("orders", &Purge::default()).await.expect_err("gone").code(),
    ] {
        assert_eq!(code, Code::NotFound);
    }
}

#[tokio::test]
async fn one_message_is_read_in_each_way() {
    let server = server().await;
    let streams = connect(&server).await;
    streams.create_stream(&StreamSpec { allow_direct: true, ..orders_spec() }).await.expect("created");
    let before = SystemTime::now() - Duration::from_secs(5);
    for (subject, payload) in [("order.a", "1"), ("order.b", "2"), ("order.a", "3")] {
        let message = message(subject, payload).with_header("A", payload).with_header("Nats-Msg-Id", payload);
        streams.publish(message).await.expect("sent").await.expect("stored");
    }
    for direct in [false, true] {
        for (get, sequence) in [
            (Get::Sequence(2), Some(2)),
            (Get::Sequence(4), None),
            (Get::Last("order.a".to_owned()), Some(3)),
            (Get::Last("order.c".to_owned()), None),
            (Get::Next { from: 2, subject: "order.a".to_owned() }, Some(3)),
            (Get::Next { from: 1, subject: "order.*".to_owned() }, Some(1)),
            (Get::Next { from: 3, subject: "order.b".to_owned() }, None),
        ] {
            let found = streams.get_message("orders", &get, direct).await.expect("an answer");
            assert_eq!(found.as_ref().map(|found| found.sequence), sequence, "{get:?}, direct: {direct}");
            let Some(found) = found else { continue };
            let payload = sequence.map(|sequence| sequence.to_string()).unwrap_or_default();
            assert_eq!(found.message.payload, payload);
            assert_eq!(found.message.subject.as_str(), if payload == "2" { "order.b" } else { "order.a" });
            let mut headers: Vec<_> = found.message.headers.iter().collect();
            headers.sort_unstable();
            assert_eq!(headers, [("A", &*payload), ("Nats-Msg-Id", &*payload)]);
            assert!(found.time > before && found.time < SystemTime::now() + Duration::from_secs(5));
        }
    }
}

/// The leader answers for a stream that does not allow it, and says when there is none.
#[tokio::test]
async fn a_direct_read_that_nobody_answers_goes_to_the_leader() {
    let (_server, streams) = orders().await;
    publish(&streams, "order.a", "x").await;
    let found = streams.get_message("orders", &Get::Sequence(1), true).await.expect("an answer");
    assert!(found.is_some());
    let status = streams.get_message("absent", &Get::Sequence(1), true).await.expect_err("absent");
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_name_that_is_no_token_is_never_sent() {
    let server = server().await;
    let streams = connect(&server).await;
    for name in ["", "a.b", "*", "a b"] {
        assert_eq!(streams.stream_info(name).await.expect_err("illegal").code(), Code::InvalidArgument, "{name:?}");
        let spec = StreamSpec::new(name.to_owned(), ["a"]);
        assert_eq!(streams.create_stream(&spec).await.expect_err("illegal").code(), Code::InvalidArgument);
    }
}

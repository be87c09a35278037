//! Streams and consumers become what their specs say.

use std::{borrow::Cow, time::Duration};

use subwire::{
    Change, Code, ConsumerSpec, Discard, Events, Retention, Specs, StreamSpec, Streams,
    bus::{Message, Subject},
    reason,
};

use crate::*;

on_both_buses!(
    applying_twice_changes_nothing,
    a_plan_shows_every_difference,
    what_would_lose_data_is_refused_unless_told,
    what_nobody_would_wait_for_is_not_lost_unless_told,
    what_is_refused_is_told_with_its_name,
    everything_of_a_spec_arrives,
    what_is_not_there_is_not_found,
);

async fn applying_twice_changes_nothing(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    let done = streams.apply(specs()).await.expect("applied");
    assert_eq!(done.to_string(), "+ stream TESTING\n+ consumer TESTING/testing\n");
    assert!(streams.plan(specs()).await.expect("planned").is_empty());
    assert!(streams.apply(specs()).await.expect("applied").is_empty());
    assert_eq!(streams.names().await.expect("names"), ["TESTING"]);
    assert_eq!(streams.consumer_names("TESTING").await.expect("names"), ["testing"]);
}

async fn a_plan_shows_every_difference(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    streams.apply(specs()).await.expect("applied");
    let mut wanted = specs();
    let stream = wanted.stream_mut("TESTING").expect("declared");
    stream.max_messages = Some(7);
    stream.discard = Discard::New;
    wanted.consumer_mut("testing").expect("declared").max_ack_pending = 5;
    let plan = streams.plan(&wanted).await.expect("planned");
    assert_eq!(
        plan.to_string(),
        "~ stream TESTING max_messages: Some(1000000) -> Some(7)\n\
         ~ stream TESTING discard: Old -> New\n\
         ~ consumer TESTING/testing max_ack_pending: 1000 -> 5\n"
    );
    let Change::Update(differences) = plan.steps[0].change() else { panic!("it is there already") };
    assert_eq!(differences.len(), 2);
    // A plan changes nothing.
    assert!(streams.plan(specs()).await.expect("planned").is_empty());
    streams.apply(&wanted).await.expect("applied");
    assert!(streams.plan(&wanted).await.expect("planned").is_empty());
}

async fn what_would_lose_data_is_refused_unless_told(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    streams.apply(specs()).await.expect("applied");
    let mut pipeline = Events::new(&broker.bus).pipeline();
    for value in 0..10 {
        pipeline.publish(&reading(value)).await.expect("handed over");
    }
    pipeline.finish().await.expect("stored");
    let mut smaller = specs();
    smaller.stream_mut("TESTING").expect("declared").max_messages = Some(4);
    let status = streams.apply(&smaller).await.expect_err("it would lose six");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.error_info().expect("a reason").reason, reason::WOULD_LOSE_DATA);
    assert_eq!(streams.info("TESTING").await.expect("info").messages, 10);
    streams.apply(&smaller).allow_data_loss().await.expect("told");
    assert_eq!(streams.info("TESTING").await.expect("info").messages, 4);

    let mut others = specs();
    others.stream_mut("TESTING").expect("declared").max_messages = Some(4);
    others.stream_mut("TESTING").expect("declared").retention = Retention::Interest;
    let status = streams.apply(&others).await.expect_err("another retention");
    assert_eq!(status.code(), Code::FailedPrecondition);
}

async fn what_nobody_would_wait_for_is_not_lost_unless_told(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    let stream = StreamSpec { retention: Retention::Interest, ..StreamSpec::new("NEWS", ["news.>"]) };
    streams.apply(stream).await.expect("applied");
    let of = |filters: &[&'static str]| {
        let filters: Vec<Cow<'static, str>> = filters.iter().map(|filter| (*filter).into()).collect();
        ConsumerSpec { filters: filters.into(), ..ConsumerSpec::new("NEWS", "reader") }
    };
    streams.apply(of(&["news.a", "news.b"])).await.expect("applied");
    for _ in 0..5 {
        let message = Message::new(Subject::new("news.a").expect("legal"), "");
        Events::new(&broker.bus).publish(message).await.expect("stored");
    }
    let status = streams.apply(of(&["news.b"])).await.expect_err("it would lose five");
    assert_eq!(status.error_info().expect("a reason").reason, reason::WOULD_LOSE_DATA);
    assert_eq!(streams.info("NEWS").await.expect("info").messages, 5);
    streams.apply(of(&["news.a", "news.b", "news.c"])).await.expect("it waits for more");
    assert_eq!(streams.info("NEWS").await.expect("info").messages, 5);
    streams.apply(of(&["news.b"])).allow_data_loss().await.expect("told");
}

async fn what_is_refused_is_told_with_its_name(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    streams.apply(specs()).await.expect("applied");
    let overlapping = StreamSpec::new("OTHER", ["testing.>"]);
    let status = streams.apply(&overlapping).await.expect_err("it overlaps");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("stream OTHER"), "{status}");
    let orphan = ConsumerSpec::new("NOWHERE", "worker");
    let status = streams.apply(orphan).await.expect_err("no stream");
    assert_eq!(
        (status.code(), &*status.error_info().expect("a reason").reason),
        (Code::NotFound, reason::STREAM_NOT_FOUND)
    );
}

async fn everything_of_a_spec_arrives(broker: Broker) {
    let stream = StreamSpec {
        description: Cow::Borrowed("all of it"),
        retention: Retention::Interest,
        max_messages: Some(1_000),
        max_messages_per_subject: Some(10),
        max_bytes: Some(1_000_000),
        max_age: Some(Duration::from_secs(3_600)),
        max_message_bytes: Some(10_000),
        discard: Discard::New,
        discard_new_per_subject: true,
        duplicate_window: Some(Duration::from_secs(60)),
        allow_direct: true,
        allow_message_ttl: true,
        allow_rollup: true,
        deny_delete: true,
        ..StreamSpec::new("ALL", ["all.a.>", "all.b"])
    };
    let consumer = ConsumerSpec {
        description: Cow::Borrowed("of it"),
        filters: vec![Cow::Borrowed("all.a.*"), Cow::Borrowed("all.b")].into(),
        deliver: subwire::Deliver::New,
        max_deliver: Some(5),
        backoff: vec![Duration::from_secs(1), Duration::from_secs(5)].into(),
        max_ack_pending: 77,
        headers_only: true,
        ..ConsumerSpec::new("ALL", "some")
    };
    let streams = Streams::new(&broker.bus);
    let specs = Specs { streams: vec![stream.clone()], consumers: vec![consumer.clone()] };
    streams.apply(&specs).await.expect("applied");
    assert!(
        streams.plan(&specs).await.expect("planned").is_empty(),
        "{}",
        streams.plan(&specs).await.expect("planned")
    );
    assert_eq!(streams.info("ALL").await.expect("info").spec, stream);
    let found = streams.consumer_info("ALL", "some").await.expect("info").spec;
    assert_eq!(found.max_deliver, Some(5), "the reserve is ours");
    assert_eq!(ConsumerSpec { ack_wait: consumer.ack_wait, ..found }, consumer);
}

async fn what_is_not_there_is_not_found(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    let reason_of = |status: subwire::Status| (status.code(), status.error_info().expect("a reason").reason);
    let not_found = |reason: &str| (Code::NotFound, reason.to_owned());
    assert_eq!(reason_of(streams.info("NO").await.expect_err("no")), not_found(reason::STREAM_NOT_FOUND));
    assert_eq!(reason_of(streams.delete("NO").await.expect_err("no")), not_found(reason::STREAM_NOT_FOUND));
    streams.apply(specs()).await.expect("applied");
    let status = streams.consumer_info("TESTING", "no").await.expect_err("no");
    assert_eq!(reason_of(status), not_found(reason::CONSUMER_NOT_FOUND));
    assert!(streams.message("TESTING", 1).await.expect("read").is_none());
    assert!(streams.last_message("TESTING", "testing.note.ann").await.expect("read").is_none());
    streams.delete_consumer("TESTING", "testing").await.expect("deleted");
    streams.delete("TESTING").await.expect("deleted");
    assert!(streams.names().await.expect("names").is_empty());
}

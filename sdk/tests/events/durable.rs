//! Events that a stream has stored before their publisher goes on.

use subwire::{
    Code, Event, Events, Executed, StreamSpec, Streams,
    bus::{Message, Subject},
    reason,
};

use crate::*;

on_both_buses!(
    an_acknowledgement_says_where,
    an_id_is_stored_once,
    nobody_stores_it,
    another_was_first,
    a_full_stream_says_so,
    a_message_over_the_limit_of_its_stream,
    a_pipeline_keeps_the_order,
    a_pipeline_says_which_one_failed,
    a_pipeline_that_tells_of_a_failure_hands_over_the_one_at_hand,
    a_batch_is_stored_whole_or_not_at_all,
    a_batch_needs_a_stream_that_allows_it,
);

fn subject(text: &str) -> Subject {
    Subject::new(text).expect("legal")
}

async fn prepared(broker: &Broker) -> Events {
    Streams::new(&broker.bus).apply(specs()).await.expect("applied");
    Events::new(&broker.bus)
}

fn reason_of(status: &subwire::Status) -> String {
    status.error_info().map(|info| info.reason).unwrap_or_default()
}

async fn stored(broker: &Broker) -> u64 {
    Streams::new(&broker.bus).info("TESTING").await.expect("info").messages
}

async fn an_acknowledgement_says_where(broker: Broker) {
    let events = prepared(&broker).await;
    for value in 1..=3 {
        let ack = events.publish(&reading(value)).await.expect("stored");
        assert_eq!((&*ack.stream, ack.sequence, ack.duplicate), ("TESTING", value, false));
    }
    let stored = Streams::new(&broker.bus).message("TESTING", 2).await.expect("read").expect("there");
    assert_eq!(stored.sequence, 2);
    assert_eq!(stored.message.subject, reading(2).subject().expect("legal"));
    assert_eq!(<Reading as subwire::Event>::INFO.id, Some("id"));
    assert_eq!(stored.message.headers.get("Nats-Msg-Id"), Some("reading-2"));
}

async fn an_id_is_stored_once(broker: Broker) {
    let events = prepared(&broker).await;
    let first = events.publish(&reading(1)).await.expect("stored");
    let again = events.publish(&reading(1)).await.expect("known");
    assert_eq!((again.sequence, again.duplicate), (first.sequence, true));
    let other = events.publish(&reading(1)).id("another").await.expect("stored");
    assert_eq!((other.sequence, other.duplicate), (2, false));
}

async fn nobody_stores_it(broker: Broker) {
    let events = prepared(&broker).await;
    let status = events.publish(&Ping { number: 1, urgent: false }).await.expect_err("not stored");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::NotFound, reason::NO_STREAM), "{status}");
    assert_eq!(status.executed(), Executed::No);
}

async fn another_was_first(broker: Broker) {
    let events = prepared(&broker).await;
    events.publish(&reading(1)).expect_sequence(0).await.expect("the first");
    let status = events.publish(&reading(2)).expect_sequence(0).await.expect_err("not the first");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::Aborted, reason::WRONG_SEQUENCE), "{status}");
    let note = Note { author: "ann".to_owned(), text: String::new() };
    events.publish(&note).expect_subject_sequence(0).await.expect("the first of its subject");
    let status = events.publish(&note).expect_subject_sequence(0).await.expect_err("not the first");
    assert_eq!(status.code(), Code::Aborted);
    events.publish(&note).expect_subject_sequence(2).await.expect("the second");
    let status = events.publish(&note).expect_stream("OTHER").await.expect_err("another stream");
    assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound), "{status}");
    assert_eq!(stored(&broker).await, 3);
}

async fn a_full_stream_says_so(broker: Broker) {
    let spec =
        StreamSpec { max_messages: Some(2), discard: subwire::Discard::New, ..StreamSpec::new("SMALL", ["small.>"]) };
    Streams::new(&broker.bus).apply(spec).await.expect("applied");
    let events = Events::new(&broker.bus);
    let message = || Message::new(subject("small.a"), "x");
    for _ in 0..2 {
        events.publish(message()).await.expect("stored");
    }
    let status = events.publish(message()).await.expect_err("full");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::ResourceExhausted, reason::STREAM_FULL), "{status}");
    assert_eq!(status.executed(), Executed::No);
}

async fn a_message_over_the_limit_of_its_stream(broker: Broker) {
    let spec = StreamSpec { max_message_bytes: Some(100), ..StreamSpec::new("SMALL", ["small.>"]) };
    Streams::new(&broker.bus).apply(spec).await.expect("applied");
    let large = Message::new(subject("small.a"), vec![0; 101]);
    let status = Events::new(&broker.bus).publish(large).await.expect_err("too large");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE), "{status}");
}

async fn a_pipeline_keeps_the_order(broker: Broker) {
    const EVENTS: u64 = 5_000;
    let mut pipeline = prepared(&broker).await.pipeline().window(100);
    for value in 1..=EVENTS {
        pipeline.publish(&reading(value)).await.expect("handed over");
    }
    // Known by its id.
    pipeline.publish(&reading(1)).await.expect("handed over");
    let published = pipeline.finish().await.expect("stored");
    assert_eq!((published.stored, published.duplicates), (EVENTS, 1));
    for sequence in [1, 2, 999, EVENTS] {
        let stored = Streams::new(&broker.bus).message("TESTING", sequence).await.expect("read").expect("there");
        assert_eq!(stored.message.headers.get("Nats-Msg-Id"), Some(&*format!("reading-{sequence}")));
    }
}

async fn a_pipeline_that_tells_of_a_failure_hands_over_the_one_at_hand(broker: Broker) {
    let spec = StreamSpec { max_message_bytes: Some(100), ..StreamSpec::new("SMALL", ["small.>"]) };
    Streams::new(&broker.bus).apply(spec).await.expect("applied");
    let mut pipeline = Events::new(&broker.bus).pipeline().window(4);
    let mut failed = Vec::new();
    for number in 0..20 {
        let size = if number == 3 { 1_000 } else { 1 };
        if let Err(status) = pipeline.publish(Message::new(subject("small.x"), vec![0; size])).await {
            failed.push(status.error_info().expect("a reason").metadata["event"].clone());
        }
    }
    let published = pipeline.finish().await.expect("all others are stored");
    assert_eq!((failed, published.stored), (vec!["3".to_owned()], 19));
}

async fn a_pipeline_says_which_one_failed(broker: Broker) {
    let mut pipeline = prepared(&broker).await.pipeline();
    pipeline.publish(&reading(1)).await.expect("handed over");
    pipeline.publish(&Ping { number: 1, urgent: true }).await.expect("handed over");
    pipeline.publish(&reading(2)).await.expect("handed over");
    let status = pipeline.finish().await.expect_err("nobody stores a ping");
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.error_info().expect("a reason").metadata["event"], "1");
    // It was on its way already.
    within("stored", async {
        while stored(&broker).await < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn a_batch_is_stored_whole_or_not_at_all(broker: Broker) {
    let events = prepared(&broker).await;
    let batch: Vec<_> = (1..=10).map(|value| Note { author: "ann".to_owned(), text: format!("{value}") }).collect();
    let ack = events.publish_batch(&batch).await.expect("stored");
    assert_eq!((ack.sequence, stored(&broker).await), (10, 10));

    let mut messages: Vec<_> = batch.iter().map(|note| note.to_message().expect("legal")).collect();
    messages[0].headers.append("Nats-Expected-Last-Sequence", "3");
    let status = events.publish_batch(messages).await.expect_err("another was first");
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert_eq!(stored(&broker).await, 10);

    let too_many = vec![batch[0].clone(); 1_001];
    assert_eq!(events.publish_batch(&too_many).await.expect_err("too many").code(), Code::InvalidArgument);
    assert_eq!(events.publish_batch(&too_many[..0]).await.expect_err("none").code(), Code::InvalidArgument);
}

async fn a_batch_needs_a_stream_that_allows_it(broker: Broker) {
    Streams::new(&broker.bus).apply(StreamSpec::new("PLAIN", ["plain.>"])).await.expect("applied");
    let message = || Message::new(subject("plain.a"), "x");
    let status = Events::new(&broker.bus).publish_batch([message(), message()]).await.expect_err("not allowed");
    assert!(matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition), "{status}");
    assert_eq!(Streams::new(&broker.bus).info("PLAIN").await.expect("info").messages, 0);
}

use futures_util::future::join_all;

use super::*;
use crate::{Code, Events, Executed, Status, bus::NatsOptions, reason};

fn reason(status: &Status) -> String {
    status.reason().unwrap_or_default()
}

async fn refused(streams: &JetStream, message: Message) -> Status {
    let acknowledgement = streams.publish(message).await.expect("sent");
    soon("an answer", acknowledgement).await.expect_err("refused")
}

#[tokio::test]
async fn messages_are_stored_in_their_order_and_acknowledged() {
    let (_server, streams) = orders().await;
    let mut acknowledgements = Vec::new();
    for number in 0..1_000 {
        acknowledgements.push(streams.publish(message("order.new", number.to_string())).await.expect("sent"));
    }
    let acks = soon("acknowledgements", join_all(acknowledgements)).await;
    for (ack, sequence) in acks.into_iter().zip(1..) {
        let ack = ack.expect("stored");
        assert_eq!((&*ack.stream, ack.sequence, ack.duplicate), ("orders", sequence, false));
    }
    assert_eq!(waiting(&streams), 0);
}

/// One thread, so that no acknowledgement is read while the client has more of them.
#[tokio::test]
async fn a_pipeline_fits_a_small_subscription() {
    let (server, _streams) = orders().await;
    let options = NatsOptions::new(server.url()).subscription_capacity(16);
    let small = soon("a connection", Bus::nats(options)).await.expect("connected");
    let mut pipeline = Events::new(&small).pipeline();
    for number in 0..1_000 {
        pipeline.publish(message("order.new", number.to_string())).await.expect("stored");
    }
    assert_eq!(pipeline.finish().await.expect("stored").stored, 1_000);
}

#[tokio::test]
async fn the_same_id_is_stored_once() {
    let (_server, streams) = orders().await;
    for duplicate in [false, true] {
        let message = message("order.new", "a").with_header("Nats-Msg-Id", "1");
        let ack = streams.publish(message).await.expect("sent").await.expect("stored");
        assert_eq!((ack.sequence, ack.duplicate), (1, duplicate));
    }
}

#[tokio::test]
async fn an_acknowledgement_that_nobody_awaits_leaves_nothing_behind() {
    let (_server, streams) = orders().await;
    for _ in 0..100 {
        drop(streams.publish(message("order.new", "a")).await.expect("sent"));
    }
    assert_eq!(waiting(&streams), 0);
    assert_eq!(publish(&streams, "order.new", "b").await, 101);
}

#[tokio::test]
async fn a_subject_without_a_stream_is_known_as_that() {
    let (_server, streams) = orders().await;
    let status = refused(&streams, message("refund.new", "a")).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::NotFound, reason::NO_STREAM));
    assert_eq!(status.executed(), Executed::No);
}

/// There is no "no responders" when somebody listens, and a listener's answer is not a stream's.
#[tokio::test]
async fn a_listener_is_no_stream() {
    let (_server, streams) = orders().await;
    let bus = streams.bus();
    let mut listener = bus.listen(Subject::pattern("refund.>").expect("a subject"), None).await.expect("subscribed");
    bus.fence().await.expect("known");
    let acknowledgement = streams.publish(message("refund.new", "a")).await.expect("sent");
    let heard = soon("the message", listener.next()).await.expect("a message");
    bus.publish(Message::new(heard.reply.expect("a reply subject"), "{}")).await.expect("sent");
    let status = soon("an answer", acknowledgement).await.expect_err("refused");
    assert_eq!(&*reason(&status), reason::NO_STREAM);
}

#[tokio::test]
async fn a_broker_without_jetstream_is_known_as_that() {
    let server = NatsServer::start().await.expect("a server");
    let streams = connect(&server).await;
    let status = refused(&streams, message("order.new", "a")).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::FailedPrecondition, reason::NO_JETSTREAM));
    let status = streams.stream_names().await.expect_err("no streams");
    assert_eq!((status.code(), &*reason(&status)), (Code::FailedPrecondition, reason::NO_JETSTREAM));
}

#[tokio::test]
async fn an_account_without_jetstream_is_known_as_that() {
    let accounts = "accounts { A { users: [{user: a, password: a}], jetstream: disabled }
        B { users: [{user: b, password: b}], jetstream: enabled } }";
    let server = NatsServer::builder().jetstream().config(accounts).start().await.expect("a server");
    let bus = Bus::nats(server.client_url("a", "a")).await.expect("connected");
    let status = JetStream::new(&bus).create_stream(&orders_spec()).await.expect_err("no streams");
    assert_eq!((status.code(), &*reason(&status)), (Code::FailedPrecondition, reason::NO_JETSTREAM));
}

#[tokio::test]
async fn what_a_stream_refuses_is_told_truthfully() {
    let server = server().await;
    let streams = connect(&server).await;
    let spec = StreamSpec {
        max_messages: Some(2),
        max_message_bytes: Some(100),
        discard: crate::Discard::New,
        ..orders_spec()
    };
    streams.create_stream(&spec).await.expect("created");
    let status = refused(&streams, message("order.new", "x".repeat(101))).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE));
    let last = message("order.new", "a").with_header("Nats-Expected-Last-Sequence", "7");
    let status = refused(&streams, last).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::Aborted, reason::WRONG_SEQUENCE));
    publish(&streams, "order.new", "a").await;
    publish(&streams, "order.new", "b").await;
    let status = refused(&streams, message("order.new", "c")).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, reason::STREAM_FULL));
    assert_eq!(status.executed(), Executed::No);
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_is_not_sent() {
    let (_server, streams) = orders().await;
    let large = message("order.new", "x".repeat(streams.bus().max_payload() + 1));
    assert_eq!(streams.publish(large).await.expect_err("too large").code(), Code::ResourceExhausted);
    assert_eq!(waiting(&streams), 0);
}

const LIMITED: &str = "
    authorization { users: [
        {user: admin, password: x}
        {user: publisher, password: x, permissions: { publish: [\"order.new\"], subscribe: [\"_INBOX.>\"] }}
    ] }";

#[tokio::test]
async fn a_publisher_needs_its_subject_and_its_inbox() {
    let server = NatsServer::builder().jetstream().config(LIMITED).start().await;
    let server = server.expect("a server");
    let admin = JetStream::new(&Bus::nats(server.client_url("admin", "x")).await.expect("connected"));
    let streams = JetStream::new(&Bus::nats(server.client_url("publisher", "x")).await.expect("connected"));
    // Whether there is a stream cannot be found out, so it may come.
    let status = refused(&streams, message("order.new", "a")).await;
    assert_eq!((status.code(), &*reason(&status)), (Code::Unavailable, reason::STREAM_UNAVAILABLE));
    admin.create_stream(&orders_spec()).await.expect("created");
    assert_eq!(publish(&streams, "order.new", "a").await, 1);
    let status = refused(&streams, message("order.old", "a")).await;
    assert_eq!((status.code(), status.executed()), (Code::PermissionDenied, Executed::No));
    let status = streams.create_stream(&orders_spec()).await.expect_err("denied");
    assert_eq!(status.code(), Code::PermissionDenied);
}

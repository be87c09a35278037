//! What is sent, what arrives, and what is refused; connections that break and come back.

use std::time::Duration;

use subwire::{
    Code, Executed,
    bus::{Headers, Subject},
    testing::NatsServer,
};
use tokio::{net::TcpListener, time::timeout};

use crate::support::*;

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let server = NatsServer::start().await.expect("a server");
    let (sender, receiver) = (bus(&server).await, bus(&server).await);
    let mut subscription = subscribe(&receiver, "a.*.c").await;
    let mut headers = Headers::new();
    headers.append("x-one", "1");
    headers.append("x-two", "a b");
    let sent = message("a.b.c", "payload").with_reply(subject("r.1")).with_headers(headers);
    sender.publish(sent).await.expect("sent");

    let got = next(&mut subscription).await;
    assert_eq!(got.subject.as_str(), "a.b.c");
    assert_eq!(got.reply.as_ref().map(Subject::as_str), Some("r.1"));
    assert_eq!((got.headers.get("x-one"), got.headers.get("x-two")), (Some("1"), Some("a b")));
    assert_eq!((&*got.payload, got.status), (&b"payload"[..], None));
}

#[tokio::test]
async fn wildcards_match_as_nats_says() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut star = subscribe(&bus, "w.*").await;
    let mut rest = subscribe(&bus, "w.>").await;
    for subject in ["w", "w.a.b", "w.a"] {
        bus.publish(message(subject, subject)).await.expect("sent");
    }
    assert_eq!(next_text(&mut star).await, "w.a");
    assert_eq!(next_text(&mut rest).await, "w.a.b");
    assert_eq!(next_text(&mut rest).await, "w.a");
}

#[tokio::test]
async fn one_member_of_a_queue_group_gets_a_message() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut members = [
        bus.listen(subject("q"), Some("g")).await.expect("subscribed"),
        bus.listen(subject("q"), Some("g")).await.expect("subscribed"),
    ];
    let mut everything = subscribe(&bus, "q").await;
    for number in 0..100 {
        bus.publish(message("q", &number.to_string())).await.expect("sent");
    }
    bus.publish(message("q", "last")).await.expect("sent");
    while next_text(&mut everything).await != "last" {}
    soon("a fence", bus.fence()).await.expect("everything has been delivered");
    let mut got = [0, 0];
    for (count, member) in got.iter_mut().zip(&mut members) {
        while timeout(Duration::ZERO, member.next()).await.is_ok() {
            *count += 1;
        }
    }
    assert_eq!(got[0] + got[1], 101);
    assert!(got[0] > 0 && got[1] > 0, "{got:?}");
}

#[tokio::test]
async fn a_request_to_nobody_is_answered_503() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut replies = subscribe(&bus, "r").await;
    bus.publish(message("nobody", "").with_reply(subject("r"))).await.expect("sent");
    assert_eq!(next(&mut replies).await.status, Some(503));
}

#[tokio::test]
async fn what_breaks_the_protocol_is_refused_before_it_is_sent() {
    let server = NatsServer::builder().config("max_payload: 1024").start().await.expect("a server");
    let bus = bus(&server).await;
    for (name, value) in [("a", "x\ry"), ("a", "x\ny"), ("a\r\nPUB evil 0\r\n", "x"), ("a:b", "x")] {
        let mut headers = Headers::new();
        headers.append(name.to_owned(), value);
        let status = bus.publish(message("s", "").with_headers(headers)).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}: {value:?}");
    }
    let status = bus.publish(message("s", &"x".repeat(1025))).await.expect_err("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1025") && status.message().contains("1024"), "{status}");
    let status = bus.listen(subject("s"), Some("a b")).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    soon("a fence", bus.fence()).await.expect("the connection is as good as before");
}

#[tokio::test]
async fn a_fence_proves_that_a_subscription_is_active() {
    let server = NatsServer::start().await.expect("a server");
    let (sender, receiver) = (bus(&server).await, bus(&server).await);
    for round in 0..100 {
        let subject = format!("f.{round}");
        let mut subscription = subscribe(&receiver, &subject).await;
        sender.publish(message(&subject, "x")).await.expect("sent");
        assert_eq!(next_text(&mut subscription).await, "x");
    }
}

#[tokio::test]
async fn nothing_is_sent_after_a_reconnect_that_failed_before() {
    let mut server = NatsServer::start().await.expect("a server");
    let (sender, receiver) = (bus(&server).await, bus(&server).await);
    let mut subscription = subscribe(&receiver, "s").await;
    server.kill();
    disconnected(&sender).await;
    disconnected(&receiver).await;

    let status = soon("a refusal", sender.publish(message("s", "late"))).await.expect_err("there is no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    let status = soon("a refusal", sender.fence()).await.expect_err("there is no connection");
    assert_eq!(status.code(), Code::Unavailable);

    server.restart().await.expect("restarted");
    assert_eq!(connected_after(&sender, 1).await, 2);
    assert_eq!(connected_after(&receiver, 1).await, 2);
    soon("a fence", receiver.fence()).await.expect("subscribed again");
    sender.publish(message("s", "new")).await.expect("sent");
    assert_eq!(next_text(&mut subscription).await, "new");
}

/// A client of async-nats is told to try three times, and is replaced then.
const MORE_THAN_A_CLIENT_TRIES: usize = 5;

/// Stands in for a server that is not there, until it was asked for so many connections.
async fn refuse_connections(server: &NatsServer, attempts: usize) {
    let listener = TcpListener::bind(server.address()).await.expect("the server's port");
    for _ in 0..attempts {
        drop(soon("an attempt", listener.accept()).await.expect("a connection"));
    }
}

#[tokio::test]
async fn a_subscription_survives_a_long_outage() {
    let mut server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut early = subscribe(&bus, "s").await;
    server.kill();
    disconnected(&bus).await;
    let mut late = bus.listen(subject("s"), None).await.expect("it is made when there is a connection");
    refuse_connections(&server, MORE_THAN_A_CLIENT_TRIES).await;
    server.restart().await.expect("restarted");
    connected_after(&bus, 1).await;
    bus.publish(message("s", "back")).await.expect("sent");
    assert_eq!(next_text(&mut early).await, "back");
    assert_eq!(next_text(&mut late).await, "back");
}

/// A name becomes part of a subject, and what ends a line there would be the server's next command.
#[tokio::test]
async fn a_name_cannot_say_something_else_to_the_server() {
    let server = NatsServer::builder().jetstream().start().await.expect("a server");
    let bus = bus(&server).await;
    let mut evil = subscribe(&bus, "evil").await;
    let streams = subwire::Streams::new(&bus);
    for name in ["a b", "a\tb", "x 0\r\n\r\nPUB evil 3\r\nyes\r\nPUB y"] {
        let status = soon("a refusal", streams.delete(name)).await.expect_err("not a name");
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}: {status}");
    }
    bus.publish(message("evil", "mine")).await.expect("sent");
    assert_eq!(next_text(&mut evil).await, "mine");
    assert_eq!(bus.link().borrow().epoch, 1, "the connection lives");
}

/// T1: a lone CR in a header makes the task of the client panic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_by_a_peer_is_replaced() {
    let server = NatsServer::start().await.expect("a server");
    let (victim, other) = (bus(&server).await, bus(&server).await);
    let mut target = subscribe(&victim, "target").await;
    let mut group = victim.listen(subject("work"), Some("q")).await.expect("subscribed");
    let mut attacker = raw(&server).await;
    let mut epoch = victim.link().borrow().epoch;
    for round in 0..3 {
        raw_publish(&mut attacker, "target", "k: a\rb").await;
        epoch = connected_after(&victim, epoch).await;
        soon("a fence", victim.fence()).await.expect("it works again");
        for (subject, subscription) in [("target", &mut target), ("work", &mut group)] {
            let text = format!("{subject} {round}");
            other.publish(message(subject, &text)).await.expect("sent");
            assert_eq!(next_text(subscription).await, text);
        }
    }
    assert_eq!(other.link().borrow().epoch, 1, "nobody else was hurt");
}

#[tokio::test]
async fn headers_that_drop_the_connection_do_no_lasting_harm() {
    let server = NatsServer::start().await.expect("a server");
    let victim = bus(&server).await;
    let mut target = subscribe(&victim, "target").await;
    let mut attacker = raw(&server).await;
    let mut epoch = 1;
    for headers in ["no colon", "a b: c"] {
        raw_publish(&mut attacker, "target", headers).await;
        epoch = connected_after(&victim, epoch).await;
        victim.publish(message("target", headers)).await.expect("sent");
        assert_eq!(next_text(&mut target).await, headers);
    }
}

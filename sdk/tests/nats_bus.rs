//! The bus on a real nats-server: what NATS does, and what must survive it.

use std::{future::Future, sync::Arc, time::Duration};

use subwire::{
    Code, Executed,
    bus::{Bus, BusEvent, Headers, Message, NatsOptions, Subject, Subscription},
    testing::NatsServer,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect(what)
}

/// Waits until the bus has a connection that is newer than `epoch`.
async fn connected_after(bus: &Bus, epoch: u64) -> u64 {
    let mut link = bus.link();
    soon("a new connection", link.wait_for(|link| link.up && link.epoch > epoch)).await.expect("the bus lives").epoch
}

async fn disconnected(bus: &Bus) {
    let mut link = bus.link();
    drop(soon("a lost connection", link.wait_for(|link| !link.up)).await.expect("the bus lives"));
}

fn subject(text: &str) -> Subject {
    Subject::pattern(text).expect("a legal subject")
}

fn message(subject: &str, payload: &str) -> Message {
    Message::new(self::subject(subject), payload.to_owned())
}

async fn bus(server: &NatsServer) -> Bus {
    soon("a connection", Bus::nats(server.url())).await.expect("connected")
}

async fn subscribe(bus: &Bus, subject: &str) -> Subscription {
    let subscription = bus.subscribe(self::subject(subject), None).await.expect("subscribed");
    soon("a fence", bus.fence()).await.expect("the server knows");
    subscription
}

async fn next(subscription: &mut Subscription) -> Message {
    soon("a message", subscription.next()).await.expect("the bus is open")
}

async fn next_text(subscription: &mut Subscription) -> String {
    String::from_utf8_lossy(&next(subscription).await.payload).into_owned()
}

async fn next_event(events: &mut tokio::sync::broadcast::Receiver<BusEvent>) -> BusEvent {
    soon("an event", events.recv()).await.expect("an event")
}

/// A raw connection, as a peer has that does not play by the rules.
async fn raw(server: &NatsServer) -> BufReader<TcpStream> {
    let mut stream = BufReader::new(TcpStream::connect(server.address()).await.expect("connected"));
    let mut info = String::new();
    stream.read_line(&mut info).await.expect("INFO");
    stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n").await.expect("sent");
    stream
}

async fn raw_publish(peer: &mut BufReader<TcpStream>, subject: &str, headers: &str) {
    let head = format!("NATS/1.0\r\n{headers}\r\n\r\n");
    let line = format!("HPUB {subject} {} {}\r\n{head}\r\nPING\r\n", head.len(), head.len());
    peer.write_all(line.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon("a PONG", peer.read_line(&mut answer)).await.expect("an answer");
    assert_eq!(answer, "PONG\r\n", "the server takes such a header");
}

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
        bus.subscribe(subject("q"), Some("g")).await.expect("subscribed"),
        bus.subscribe(subject("q"), Some("g")).await.expect("subscribed"),
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
    let status = bus.subscribe(subject("s"), Some("a b")).await.expect_err("refused");
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

    let before = Instant::now();
    let status = sender.publish(message("s", "late")).await.expect_err("there is no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    let status = sender.fence().await.expect_err("there is no connection");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(before.elapsed() < Duration::from_millis(100), "it fails at once");

    server.restart().await.expect("restarted");
    assert_eq!(connected_after(&sender, 1).await, 2);
    assert_eq!(connected_after(&receiver, 1).await, 2);
    soon("a fence", receiver.fence()).await.expect("subscribed again");
    sender.publish(message("s", "new")).await.expect("sent");
    assert_eq!(next_text(&mut subscription).await, "new");
}

#[tokio::test]
async fn a_subscription_survives_a_long_outage() {
    let mut server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut early = subscribe(&bus, "s").await;
    server.kill();
    disconnected(&bus).await;
    let mut late = bus.subscribe(subject("s"), None).await.expect("it is made when there is a connection");
    // Longer than the client tries by itself, so that it has to be replaced.
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.restart().await.expect("restarted");
    connected_after(&bus, 1).await;
    bus.publish(message("s", "back")).await.expect("sent");
    assert_eq!(next_text(&mut early).await, "back");
    assert_eq!(next_text(&mut late).await, "back");
}

/// T1: a lone CR in a header makes the task of the client panic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_by_a_peer_is_replaced() {
    let server = NatsServer::start().await.expect("a server");
    let (victim, other) = (bus(&server).await, bus(&server).await);
    let mut target = subscribe(&victim, "target").await;
    let mut group = victim.subscribe(subject("work"), Some("q")).await.expect("subscribed");
    let mut attacker = raw(&server).await;
    let mut epoch = victim.link().borrow().epoch;
    for round in 0..3 {
        let before = Instant::now();
        raw_publish(&mut attacker, "target", "k: a\rb").await;
        epoch = connected_after(&victim, epoch).await;
        soon("a fence", victim.fence()).await.expect("it works again");
        for (subject, subscription) in [("target", &mut target), ("work", &mut group)] {
            let text = format!("{subject} {round}");
            other.publish(message(subject, &text)).await.expect("sent");
            assert_eq!(next_text(subscription).await, text);
        }
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
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

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    server.suspend().expect("suspended");
    let silence = async {
        loop {
            if let Err(status) = bus.fence().await {
                return status;
            }
        }
    };
    assert_eq!(soon("a fence that fails", silence).await.code(), Code::Unavailable);
    disconnected(&bus).await;
    server.resume().expect("resumed");
    connected_after(&bus, 1).await;
}

const PERMISSIONS: &str = r#"
    authorization: { users: [
        { user: ann, password: s3cret, permissions: {
            publish: ["may.send", "_INBOX.>"], subscribe: ["may.read", "_INBOX.>"] } }
        { user: tom, password: s3cret, permissions: { publish: ["may.send"], subscribe: ["_INBOX.>"] } }
    ] }
"#;

#[tokio::test]
async fn a_denied_subject_is_told() {
    let server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("ann", "s3cret"))).await.expect("connected");
    let mut events = bus.events();
    bus.publish(message("may.not.send", "")).await.expect("queued");
    assert!(matches!(next_event(&mut events).await, BusEvent::PublishDenied(subject) if subject == "may.not.send"));
    let _plain = bus.subscribe(subject("may.not.*"), None).await.expect("queued");
    assert!(matches!(next_event(&mut events).await, BusEvent::SubscribeDenied(subject) if subject == "may.not.*"));
    let _queue = bus.subscribe(subject("may.not.join"), Some("g")).await.expect("queued");
    assert!(matches!(next_event(&mut events).await, BusEvent::SubscribeDenied(subject) if subject == "may.not.join"));
    soon("a fence", bus.fence()).await.expect("the connection lives");
}

#[tokio::test]
async fn a_fence_works_without_permission_to_send_to_the_own_inbox() {
    let server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("tom", "s3cret"))).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("a refusal is an answer too");
}

#[tokio::test]
async fn a_permission_that_is_taken_away_is_told() {
    let mut server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("ann", "s3cret"))).await.expect("connected");
    let mut events = bus.events();
    server.reload(PERMISSIONS.replace("may.send", "may.something")).expect("reloaded");
    let denied = async {
        loop {
            // The server may close the connection for it, and then this fails.
            let _ = bus.publish(message("may.send", "")).await;
            if let Ok(Ok(BusEvent::PublishDenied(subject))) = timeout(Duration::from_millis(50), events.recv()).await {
                return subject;
            }
        }
    };
    assert_eq!(soon("a denial", denied).await, "may.send");
}

#[tokio::test]
async fn a_smaller_payload_limit_is_followed() {
    let mut server = NatsServer::builder().config("max_payload: 100000").start().await.expect("a server");
    let bus = bus(&server).await;
    assert_eq!(bus.max_payload(), 100_000);
    server.kill();
    disconnected(&bus).await;
    server.reload("max_payload: 2000").expect_err("it does not run, but the file is written");
    server.restart().await.expect("restarted");
    connected_after(&bus, 1).await;
    assert_eq!(bus.max_payload(), 2_000);
}

#[tokio::test]
async fn a_slow_subscription_counts_what_it_drops() {
    let server = NatsServer::start().await.expect("a server");
    let sender = bus(&server).await;
    let options = NatsOptions::new(server.url()).subscription_capacity(4);
    let receiver = soon("a connection", Bus::nats(options)).await.expect("connected");
    let mut events = receiver.events();
    let mut slow = subscribe(&receiver, "slow").await;
    let other = subscribe(&receiver, "other").await;
    for number in 0..10 {
        sender.publish(message("slow", &number.to_string())).await.expect("sent");
    }
    soon("a fence", sender.fence()).await.expect("sent");
    for _ in 0..6 {
        assert!(matches!(next_event(&mut events).await, BusEvent::SlowConsumer));
    }
    assert_eq!((slow.dropped(), other.dropped()), (6, 0));
    for number in 0..4 {
        assert_eq!(next_text(&mut slow).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_nothing() {
    let server = NatsServer::start().await.expect("a server");
    let sender = bus(&server).await;
    let mut workers = JoinSet::new();
    for drain_after in [1_000, usize::MAX] {
        let bus = bus(&server).await;
        let mut work = bus.subscribe(subject("work"), Some("q")).await.expect("subscribed");
        soon("a fence", bus.fence()).await.expect("active");
        workers.spawn(async move {
            let mut count = 0;
            while let Some(message) = soon("work", work.next()).await {
                if &*message.payload == b"end" {
                    break;
                }
                count += 1;
                if count == drain_after {
                    work.drain();
                }
            }
            drop(bus);
            count
        });
    }
    let mut sent = 0;
    let drained = loop {
        for _ in 0..50 {
            sender.publish(message("work", "x")).await.expect("sent");
        }
        sent += 50;
        soon("a fence", sender.fence()).await.expect("sent");
        if let Some(first) = workers.try_join_next() {
            break first.expect("no panic");
        }
    };
    sender.publish(message("work", "end")).await.expect("sent");
    let stayed = soon("the other worker", workers.join_next()).await.expect("one").expect("no panic");
    assert!(drained >= 1_000, "{drained}");
    assert_eq!(drained + stayed, sent);
}

#[tokio::test]
async fn a_drain_without_traffic_ends_soon() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut work = subscribe(&bus, "work").await;
    bus.publish(message("work", "1")).await.expect("sent");
    soon("a fence", bus.fence()).await.expect("delivered");
    work.drain();
    assert_eq!(next_text(&mut work).await, "1");
    let before = Instant::now();
    assert!(soon("the end", work.next()).await.is_none());
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(soon("the end", work.next()).await.is_none());
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_ends_everything() {
    let server = NatsServer::start().await.expect("a server");
    let (sender, receiver) = (bus(&server).await, bus(&server).await);
    let mut subscription = subscribe(&receiver, "s").await;
    for number in 0..10_000 {
        sender.publish(message("s", &number.to_string())).await.expect("sent");
    }
    let mut own = subscribe(&sender, "own").await;
    soon("the end", sender.close()).await.expect("everything was sent");
    for number in 0..10_000 {
        assert_eq!(next_text(&mut subscription).await, number.to_string());
    }
    assert!(soon("the end", own.next()).await.is_none());
    let status = sender.publish(message("s", "")).await.expect_err("closed");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    assert!(sender.subscribe(subject("s"), None).await.is_err());
    assert!(sender.link().borrow().closed.is_some());
    sender.close().await.expect("a second time does nothing");
    connections(&server, 1).await;
}

/// Waits until the server has this many connections.
async fn connections(server: &NatsServer, expected: usize) {
    let reached = async {
        let expected = format!("\"num_connections\": {expected},");
        while !server.monitor("/connz").await.expect("an answer").contains(&expected) {
            tokio::task::yield_now().await;
        }
    };
    soon("the number of connections", reached).await;
}

#[tokio::test]
async fn closing_without_a_connection_says_so() {
    let mut server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let mut subscription = subscribe(&bus, "s").await;
    server.kill();
    disconnected(&bus).await;
    assert_eq!(soon("the end", bus.close()).await.expect_err("not flushed").code(), Code::Unavailable);
    assert!(soon("the end", subscription.next()).await.is_none());
}

#[tokio::test]
async fn dropping_a_subscription_unsubscribes_and_dropping_the_bus_disconnects() {
    let server = NatsServer::start().await.expect("a server");
    let bus = bus(&server).await;
    let subscription = subscribe(&bus, "gone.soon").await;
    assert!(server.monitor("/connz?subs=1").await.expect("an answer").contains("gone.soon"));
    drop(subscription);
    soon("a fence", bus.fence()).await.expect("unsubscribed");
    assert!(!server.monitor("/connz?subs=1").await.expect("an answer").contains("gone.soon"));
    let mut left = subscribe(&bus, "left").await;
    drop(bus);
    assert!(soon("the end", left.next()).await.is_none());
    connections(&server, 0).await;
}

/// T7: `Drop` may run where there is no runtime.
#[test]
fn everything_can_be_dropped_outside_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(NatsServer::start()).expect("a server");
    let make = || {
        runtime.block_on(async {
            let bus = bus(&server).await;
            let subscription = subscribe(&bus, "s").await;
            (bus, subscription)
        })
    };
    let (bus, subscription) = make();
    let elsewhere = std::thread::spawn(move || {
        drop(subscription);
        drop(bus);
    });
    elsewhere.join().expect("no panic while the runtime lives");
    let (bus, subscription) = make();
    drop(runtime);
    drop(subscription);
    drop(bus);
}

#[tokio::test]
async fn an_own_client_can_be_used() {
    let server = NatsServer::start().await.expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let bus = Bus::from_client(client.clone());
    let mut subscription = subscribe(&bus, "s").await;
    bus.publish(message("s", "x")).await.expect("sent");
    assert_eq!(next_text(&mut subscription).await, "x");
    soon("the end", bus.close()).await.expect("closed");
    client.publish("s", "y".into()).await.expect("it is still open for others");
    client.flush().await.expect("it is still open for others");
}

#[tokio::test]
async fn an_own_client_that_dies_is_noticed() {
    let server = NatsServer::start().await.expect("a server");
    let bus = Bus::from_client(async_nats::connect(server.url()).await.expect("connected"));
    let mut subscription = subscribe(&bus, "target").await;
    let mut attacker = raw(&server).await;
    let before = Instant::now();
    raw_publish(&mut attacker, "target", "k: a\rb").await;
    assert!(soon("the end", subscription.next()).await.is_none());
    assert!(bus.link().borrow().closed.is_some());
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn credentials_are_proven_in_every_way() {
    let seed = nkeys::KeyPair::new_user();
    let authorization = format!(
        "authorization: {{ users: [ {{ user: ann, password: \"p@s/s\" }}, {{ nkey: {} }} ] }}",
        seed.public_key()
    );
    let users = NatsServer::builder().config(authorization).start().await.expect("a server");
    let token = NatsServer::builder().config("authorization: { token: \"t=1\" }").start().await.expect("a server");
    let seed = seed.seed().expect("a seed");
    let file = users.folder().join("user.nk");
    std::fs::write(&file, format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"))
        .expect("written");
    for options in [
        NatsOptions::new(users.url()).user_and_password("ann", "p@s/s"),
        NatsOptions::new(users.client_url("ann", "p%40s%2Fs")),
        NatsOptions::new(users.url()).nkey(seed),
        NatsOptions::new(users.url()).nkey_file(file),
        NatsOptions::new(token.url()).token("t=1"),
        NatsOptions::new(token.url().replace("nats://", "nats://t%3D1@")),
    ] {
        let shown = format!("{options:?}");
        let bus = soon("a connection", Bus::nats(options)).await.expect(&shown);
        soon("a fence", bus.fence()).await.expect(&shown);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_without_being_shown() {
    let server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    for options in [
        NatsOptions::new(server.url()),
        NatsOptions::new(server.client_url("ann", "wr0ng")),
        NatsOptions::new(server.url()).token("wr0ng"),
        NatsOptions::new(server.url()).nkey(nkeys::KeyPair::new_user().seed().expect("a seed")),
    ] {
        let status = soon("a refusal", Bus::nats(options)).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        let shown = format!("{status} {status:?}");
        assert!(shown.contains(&server.address()) && !shown.contains("wr0ng"), "{shown}");
    }
}

#[tokio::test]
async fn credentials_that_are_withdrawn_close_the_bus() {
    let mut server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("ann", "s3cret"))).await.expect("connected");
    let mut subscription = subscribe(&bus, "may.read").await;
    let before = Instant::now();
    server.reload(PERMISSIONS.replace("s3cret", "other")).expect("reloaded");
    let mut link = bus.link();
    let closed = soon("the end", link.wait_for(|link| link.closed.is_some())).await.expect("alive").closed.clone();
    assert_eq!(closed.expect("a reason").code(), Code::Unauthenticated);
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    assert_eq!(bus.publish(message("may.send", "")).await.expect_err("closed").code(), Code::Unauthenticated);
    assert!(soon("the end", subscription.next()).await.is_none());
}

#[tokio::test]
async fn a_credentials_file_is_read_again_when_it_was_refused() {
    let (server, account, first) = jwt_server().await;
    let file = server.folder().join("user.creds");
    std::fs::write(&file, &first).expect("written");
    let options = NatsOptions::new(server.url()).credentials_file(&file);
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
    let text = NatsOptions::new(server.url()).credentials(creds(&account));
    soon("a connection", Bus::nats(text)).await.expect("connected");
    std::fs::write(&file, "nonsense").expect("written");
    let status = Bus::nats(NatsOptions::new(server.url()).credentials_file(&file)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

/// A server with an operator and an account in memory, the account, and the credentials of a user.
async fn jwt_server() -> (NatsServer, Arc<nkeys::KeyPair>, String) {
    let (operator, account) = (nkeys::KeyPair::new_operator(), Arc::new(nkeys::KeyPair::new_account()));
    let operator_jwt = jwt(&operator, &operator.public_key(), r#"{"type":"operator","version":2}"#);
    let limits = r#"{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}"#;
    let account_claims = format!(r#"{{"type":"account","version":2,"limits":{limits}}}"#);
    let account_jwt = jwt(&operator, &account.public_key(), &account_claims);
    let config = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt} }}",
        account.public_key()
    );
    let server = NatsServer::builder().config(config).start().await.expect("a server");
    let credentials = creds(&account);
    (server, account, credentials)
}

fn creds(account: &nkeys::KeyPair) -> String {
    let user = nkeys::KeyPair::new_user();
    let claims = r#"{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}"#;
    let (jwt, seed) = (jwt(account, &user.public_key(), claims), user.seed().expect("a seed"));
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// A JWT as NATS has it (ADR-14): signed with ed25519, `nats` holds the claims.
fn jwt(issuer: &nkeys::KeyPair, subject: &str, claims: &str) -> String {
    let encode = |text: &[u8]| data_encoding::BASE64URL_NOPAD.encode(text);
    let body = format!(
        r#"{{"jti":"{subject}","iat":1700000000,"iss":"{}","name":"test","sub":"{subject}","nats":{claims}}}"#,
        issuer.public_key()
    );
    let unsigned = format!("{}.{}", encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#), encode(body.as_bytes()));
    let signature = issuer.sign(unsigned.as_bytes()).expect("signed");
    format!("{unsigned}.{}", encode(&signature))
}

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
    let before = Instant::now();
    let status = soon("a refusal", Bus::nats(options)).await.expect_err("silence");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&address), "{status}");
    assert!(before.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn the_first_connection_can_be_waited_for() {
    let mut server = NatsServer::start().await.expect("a server");
    server.kill();
    let bus = Bus::nats(NatsOptions::new(server.url()).retry_initial_connect()).await.expect("it waits");
    let mut early = bus.subscribe(subject("s"), None).await.expect("made later");
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

/// Certificates in files: an authority, a server and a client.
struct Tls {
    folder: tempfile::TempDir,
}

impl Tls {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = Self { folder };
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        tls.write("ca.pem", &ca.self_signed(&ca_key).expect("signed").pem());
        let issuer = rcgen::Issuer::new(ca, ca_key);
        for name in ["server", "client"] {
            let key = rcgen::KeyPair::generate().expect("a key");
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let params = rcgen::CertificateParams::new(names).expect("parameters");
            tls.write(&format!("{name}.pem"), &params.signed_by(&key, &issuer).expect("signed").pem());
            tls.write(&format!("{name}.key"), &key.serialize_pem());
        }
        tls
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn server(&self, more: &str) -> NatsServer {
        let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.path(name));
        let config = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}");
        NatsServer::builder().config(config).start().await.expect("a server")
    }
}

#[tokio::test]
async fn tls_proves_who_the_server_is() {
    let tls = Tls::new();
    let server = tls.server("").await;
    let tls_url = server.url().replace("nats://", "tls://");
    for url in [server.url(), tls_url.clone()] {
        let bus = soon("a connection", Bus::nats(NatsOptions::new(url).tls_ca(tls.path("ca.pem")))).await;
        soon("a fence", bus.expect("connected").fence()).await.expect("it works");
    }
    // The system does not know the authority.
    let status = soon("a refusal", Bus::nats(tls_url)).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    let plain = NatsServer::start().await.expect("a server");
    for options in
        [NatsOptions::new(plain.url()).tls_required(), NatsOptions::new(plain.url().replace("nats://", "tls://"))]
    {
        let status = soon("a refusal", Bus::nats(options.tls_ca(tls.path("ca.pem")))).await.expect_err("no TLS there");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
}

#[tokio::test]
async fn tls_proves_who_the_client_is() {
    let tls = Tls::new();
    let server = tls.server("verify: true").await;
    let options = NatsOptions::new(server.url()).tls_ca(tls.path("ca.pem"));
    soon("a refusal", Bus::nats(options.clone())).await.expect_err("no certificate");
    let options = options.tls_certificate(tls.path("client.pem"), tls.path("client.key"));
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
}

#[tokio::test]
async fn tls_can_come_first() {
    let tls = Tls::new();
    let server = tls.server("handshake_first: true").await;
    let options = NatsOptions::new(server.url()).tls_ca(tls.path("ca.pem")).tls_first();
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
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

//! What the server does not allow, what is too much for it, and how things end.

use std::time::Duration;

use subwire::{
    Code, Executed,
    bus::{Bus, BusEvent, NatsOptions},
    testing::NatsServer,
};
use tokio::{task::JoinSet, time::timeout};

/// No wait of these tests is longer.
use crate::support::*;

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

#[tokio::test]
async fn a_denied_subject_is_told() {
    let server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("ann", "s3cret"))).await.expect("connected");
    let mut events = bus.events();
    bus.publish(message("may.not.send", "")).await.expect("queued");
    assert!(matches!(next_event(&mut events).await, BusEvent::PublishDenied(subject) if subject == "may.not.send"));
    let _plain = bus.listen(subject("may.not.*"), None).await.expect("queued");
    assert!(matches!(next_event(&mut events).await, BusEvent::SubscribeDenied(subject) if subject == "may.not.*"));
    let _queue = bus.listen(subject("may.not.join"), Some("g")).await.expect("queued");
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

#[tokio::test]
async fn a_subscription_may_be_as_large_as_can_be() {
    let server = NatsServer::start().await.expect("a server");
    let options = NatsOptions::new(server.url()).subscription_capacity(usize::MAX);
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    let mut large = subscribe(&bus, "large").await;
    bus.publish(message("large", "1")).await.expect("sent");
    assert_eq!(next_text(&mut large).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_nothing() {
    let server = NatsServer::start().await.expect("a server");
    let sender = bus(&server).await;
    let mut workers = JoinSet::new();
    for drain_after in [1_000, usize::MAX] {
        let bus = bus(&server).await;
        let mut work = bus.listen(subject("work"), Some("q")).await.expect("subscribed");
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
    assert!(soon("the end", work.next()).await.is_none());
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
    assert!(sender.listen(subject("s"), None).await.is_err());
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

/// Such a client does not report a loss to us: it is asked.
#[tokio::test]
async fn an_own_client_that_is_not_connected_sends_nothing() {
    let mut server = NatsServer::start().await.expect("a server");
    let client = async_nats::connect(server.url()).await.expect("connected");
    let bus = Bus::from_client(client.clone());
    bus.publish(message("s", "x")).await.expect("sent");
    server.kill();
    soon("a loss", async {
        while client.connection_state() == async_nats::connection::State::Connected {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let status = bus.publish(message("s", "late")).await.expect_err("there is no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
}

#[tokio::test]
async fn an_own_client_that_dies_is_noticed() {
    let server = NatsServer::start().await.expect("a server");
    let bus = Bus::from_client(async_nats::connect(server.url()).await.expect("connected"));
    let mut subscription = subscribe(&bus, "target").await;
    let mut attacker = raw(&server).await;
    raw_publish(&mut attacker, "target", "k: a\rb").await;
    assert!(soon("the end", subscription.next()).await.is_none());
    assert!(bus.link().borrow().closed.is_some());
}

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::{Code, Executed, Storage, bus::Faults};

async fn connected_after(streams: &JetStream, epoch: u64) {
    let mut link = streams.bus().link();
    soon("a connection", link.wait_for(|link| link.up && link.epoch > epoch)).await.expect("alive");
}

fn epoch(streams: &JetStream) -> u64 {
    streams.bus().link().borrow().epoch
}

#[tokio::test]
async fn what_waits_when_the_server_is_killed_fails_at_once() {
    let (mut server, streams) = orders().await;
    publish(&streams, "order.new", "a").await;
    server.suspend().expect("suspended");
    let acknowledgement = streams.publish(message("order.new", "b")).await.expect("sent");
    let began = std::time::Instant::now();
    let killed = async {
        server.kill();
    };
    let (status, ()) = tokio::join!(soon("an answer", acknowledgement), killed);
    let status = status.expect_err("lost");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(waiting(&streams), 0);
    let status = streams.publish(message("order.new", "c")).await.expect_err("no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
}

/// Killed at random moments while messages are published and read: nothing that was acknowledged is lost.
#[tokio::test]
async fn a_server_that_is_killed_and_restarted_loses_nothing() {
    const ROUNDS: usize = 4;
    const WINDOW: usize = 32;
    let (mut server, streams) = orders().await;
    let spec = ConsumerSpec { ack_wait: Duration::from_secs(2), ..billing() };
    put_consumer(&streams, spec).await;
    let mut deliveries = pull(&streams).await;
    let mut acknowledged = HashSet::new();
    let mut read = HashSet::new();
    let mut number = 0usize;
    for round in 0..ROUNDS {
        let before = epoch(&streams);
        let until = number + 200 + 100 * round;
        let publishing = async {
            let mut waiting: VecDeque<(String, crate::jetstream::Acknowledgement)> = VecDeque::new();
            while number < until || !waiting.is_empty() {
                if waiting.len() > WINDOW || number == until {
                    let Some((number, acknowledgement)) = waiting.pop_front() else { continue };
                    if soon("an answer", acknowledgement).await.is_ok() {
                        acknowledged.insert(number);
                    }
                } else {
                    number += 1;
                    if let Ok(acknowledgement) = streams.publish(message("order.new", number.to_string())).await {
                        waiting.push_back((number.to_string(), acknowledgement));
                    }
                    if number + 50 == until {
                        server.kill();
                    }
                }
            }
            server.restart().await.expect("restarted");
            connected_after(&streams, before).await;
        };
        let reading = async {
            loop {
                let delivered = next(&mut deliveries).await;
                // Fails without a connection: it comes again.
                let _ = streams.ack(&delivered, Ack::Done).await;
                read.insert(String::from_utf8_lossy(&delivered.message.payload).into_owned());
            }
        };
        tokio::select! {
            () = publishing => {}
            () = reading => {}
        }
    }
    assert!(acknowledged.len() > 100 * ROUNDS, "{}", acknowledged.len());
    soon("all that was acknowledged", async {
        while !acknowledged.is_subset(&read) {
            let delivered = next(&mut deliveries).await;
            streams.ack(&delivered, Ack::Done).await.expect("sent");
            read.insert(String::from_utf8_lossy(&delivered.message.payload).into_owned());
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_waits_goes_on_when_its_server_is_back() {
    let (mut server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    publish(&streams, "order.new", "a").await;
    assert_eq!(next_done(&streams, &mut deliveries).await, "a");
    for name in ["b", "c"] {
        let before = epoch(&streams);
        let restarted = async {
            server.restart().await.expect("restarted");
            connected_after(&streams, before).await;
            publish(&streams, "order.new", name).await
        };
        // The server may have forgotten what was acknowledged just before it was killed.
        let reading = async { while next_done(&streams, &mut deliveries).await != name {} };
        tokio::join!(soon("what was published later", reading), restarted);
    }
}

/// A stream in memory dies with its server.
#[tokio::test]
async fn a_reader_whose_stream_is_gone_after_a_restart_ends() {
    let mut server = server().await;
    let streams = connect(&server).await;
    streams.create_stream(&StreamSpec { storage: Storage::Memory, ..orders_spec() }).await.expect("created");
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    let (end, restarted) = tokio::join!(soon("the end", deliveries.next()), server.restart());
    restarted.expect("restarted");
    assert_eq!(end.expect("an error").expect_err("an error").code(), Code::NotFound);
}

/// The consumer has as many pulls as it takes, and the server ignores ours without a word: only the
/// heartbeats that do not come tell.
#[tokio::test]
async fn a_pull_that_the_server_ignores_is_sent_again() {
    use async_nats::jetstream::{self, consumer::pull::Config};
    let (server, streams) = orders().await;
    let foreign = jetstream::new(async_nats::connect(server.url()).await.expect("connected"));
    let stream = foreign.get_stream("orders").await.expect("a stream");
    let narrow = Config { durable_name: Some("billing".to_owned()), max_waiting: 1, ..Config::default() };
    stream.create_consumer(narrow).await.expect("created");
    let mut first = pull(&streams).await;
    assert!(futures_util::FutureExt::now_or_never(first.next()).is_none());
    streams.bus().fence().await.expect("seen");
    let mut second = pull(&streams).await;
    assert!(futures_util::FutureExt::now_or_never(second.next()).is_none());
    streams.bus().fence().await.expect("seen");
    drop(first);
    publish(&streams, "order.new", "a").await;
    assert_eq!(next_done(&streams, &mut second).await, "a");
}

#[tokio::test]
async fn a_reader_can_be_stopped_without_a_connection() {
    let (mut server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    publish(&streams, "order.new", "a").await;
    next_done(&streams, &mut deliveries).await;
    server.kill();
    let mut link = streams.bus().link();
    soon("a lost connection", link.wait_for(|link| !link.up)).await.expect("alive");
    deliveries.stop();
    assert!(soon("the end", deliveries.next()).await.is_none());
}

#[tokio::test]
async fn a_reader_goes_on_when_its_link_is_mended() {
    let (_server, direct) = orders().await;
    put_consumer(&direct, billing()).await;
    let (bus, link) = Faults::seeded(7).wrap(direct.bus());
    let streams = JetStream::new(&bus);
    let mut deliveries = pull(&streams).await;
    for number in 0..3 {
        publish(&direct, "order.new", number.to_string()).await;
        assert_eq!(next_done(&streams, &mut deliveries).await, number.to_string());
        link.disconnect();
        assert!(futures_util::FutureExt::now_or_never(deliveries.next()).is_none());
        link.reconnect();
    }
}

/// What is sent again under the same id is stored once, whichever way was lost: the message's, or its
/// acknowledgement's.
#[tokio::test]
async fn what_is_lost_on_the_way_is_known_and_sent_again() {
    const MESSAGES: u64 = 100;
    let (_server, direct) = orders().await;
    let (bus, link) = Faults::seeded(7).drop(0.1).wrap(direct.bus());
    let streams = JetStream::new(&bus);
    let sure = |number: u64| {
        let streams = streams.clone();
        async move {
            loop {
                let message = message("order.new", "x").with_header("Nats-Msg-Id", number.to_string());
                match streams.publish(message).await.expect("sent").await {
                    Ok(_) => return,
                    Err(status) => assert_eq!(status.executed(), Executed::Maybe, "{status}"),
                }
            }
        }
    };
    soon("all are stored", futures_util::future::join_all((0..MESSAGES).map(sure))).await;
    assert!(link.counts().lost > 0);
    assert_eq!(direct.stream_info("orders").await.expect("a stream").messages, MESSAGES);
    assert_eq!(waiting(&streams), 0);
}

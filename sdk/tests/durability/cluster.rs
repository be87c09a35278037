//! A cluster of three whose leaders are killed.

use serde_json::Value;
use subwire::{Delivery, Result, Streams, Worker};
use tokio_util::sync::CancellationToken;

use crate::*;

const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_during_publish_and_consume_loses_nothing() {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut servers = NatsServer::cluster(3).await.expect("a cluster");
    let urls = servers.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let publisher = Bus::nats(urls.as_str()).await.expect("connected");
    let consumer = Bus::nats(urls.as_str()).await.expect("connected");
    let mut wanted = specs();
    wanted.stream_mut("TESTING").expect("declared").replicas = 3;
    Streams::new(&publisher).apply(&wanted).await.expect("applied");
    let (ledger, stop) = (Ledger::default(), CancellationToken::new());
    let book = ledger.clone();
    let worker = Worker::builder(&consumer)
        .handle(&wanted.consumers[0], move |_: Delivery, event: Reading| {
            book.handle(event.value);
            std::future::ready(Result::Ok(()))
        })
        .concurrency(8)
        .run(stop.clone().cancelled_owned());
    let worker = tokio::spawn(worker);
    let publishers = ledger.publish(&publisher);
    for _ in 0..ROUNDS {
        ledger.progress(random.random_range(1..300)).await;
        let leader = within("a leader", leader(&servers)).await;
        servers[leader].kill();
        // The two that are left choose another.
        ledger.progress(50).await;
        servers[leader].restart().await.expect("started");
    }
    ledger.progress(100).await;
    ledger.stop();
    within("publishers end", publishers.join_all()).await;
    let twice = ledger.settled().await;
    println!("{} events acknowledged over {ROUNDS} leaders, {twice} handled more than once", ledger.acknowledged());
    stop.cancel();
    within("the worker ends", worker).await.expect("no panic").expect("stopped");
}

/// Which server leads the stream: that which says so of itself.
async fn leader(servers: &[NatsServer]) -> usize {
    loop {
        for (index, server) in servers.iter().enumerate() {
            let Ok(page) = server.monitor("/jsz?streams=1").await else { continue };
            let page: Value = serde_json::from_str(&page).expect("JSON");
            let Ok(own) = server.monitor("/varz").await else { continue };
            let own: Value = serde_json::from_str(&own).expect("JSON");
            let details = page["account_details"].as_array().into_iter().flatten();
            let mut streams = details.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
            if streams.any(|stream| stream["name"] == "TESTING" && stream["cluster"]["leader"] == own["server_name"]) {
                return index;
            }
        }
        tokio::task::yield_now().await;
    }
}

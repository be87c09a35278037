//! A server that is killed, again and again.

use subwire::{Delivery, EffectKey, MemoryEffects, Result, Streams, Worker, WorkerBuilder};

use crate::*;

const ROUNDS: usize = 20;

/// Kills the server again and again; how many events were handled more than once.
async fn survive(worker_of: impl FnOnce(&Bus, Ledger) -> WorkerBuilder) -> usize {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut server = NatsServer::builder().jetstream().start().await.expect("a server");
    let publisher = Bus::nats(server.url()).await.expect("connected");
    let consumer = Bus::nats(server.url()).await.expect("connected");
    Streams::new(&publisher).apply(specs()).await.expect("applied");
    let ledger = Ledger::default();
    // It has begun before the first kill: what cannot begin is an error.
    let worker = within("the worker starts", worker_of(&consumer, ledger.clone()).start()).await.expect("started");
    let publishers = ledger.publish(&publisher);
    for _ in 0..ROUNDS {
        ledger.progress(random.random_range(1..300)).await;
        server.kill();
        server.restart().await.expect("started");
    }
    ledger.progress(100).await;
    ledger.stop();
    within("publishers end", publishers.join_all()).await;
    let twice = ledger.settled().await;
    println!("{} events acknowledged over {ROUNDS} kills, {twice} handled more than once", ledger.acknowledged());
    within("the worker ends", worker.stop()).await.expect("stopped");
    twice
}

fn worker(bus: &Bus, ledger: Ledger) -> WorkerBuilder {
    let handler = move |_: Delivery, event: Reading| {
        ledger.handle(event.value);
        std::future::ready(Result::Ok(()))
    };
    Worker::builder(bus).handle(&consumer::TESTING, handler).concurrency(8)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_during_publish_and_consume_loses_nothing() {
    survive(worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_store_of_effects_nothing_is_done_twice() {
    let twice = survive(|bus, ledger| worker(bus, ledger).effects_once(MemoryEffects::new(), EffectKey::MessageId));
    assert_eq!(twice.await, 0);
}

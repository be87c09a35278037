//! A worker that is slow.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use subwire::{Delivery, Events, Result, Streams, Worker};
use tokio::sync::{Notify, Semaphore};

use crate::*;

const EVENTS: usize = 5_000;

async fn check(bus: Bus) {
    let mut wanted = specs();
    let mut consumer = wanted.consumers.remove(0);
    consumer.max_ack_pending = 100;
    wanted.consumers.push(consumer.clone());
    let streams = Streams::new(&bus);
    streams.apply(&wanted).await.expect("applied");
    let gate = Arc::new(Semaphore::new(0));
    let (begun, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (open, started, finished) = (gate.clone(), begun.clone(), done.clone());
    let handled = Arc::new(AtomicUsize::new(0));
    let worker = Worker::builder(&bus)
        .handle(&consumer, move |_: Delivery, _: Reading| {
            let (gate, begun, done, handled) = (gate.clone(), begun.clone(), done.clone(), handled.clone());
            async move {
                begun.notify_one();
                let passed = gate.acquire().await;
                drop(passed);
                if handled.fetch_add(1, Ordering::Relaxed) + 1 == EVENTS {
                    done.notify_one();
                }
                Result::Ok(())
            }
        })
        .concurrency(4);
    let worker = tokio::spawn(worker.run(async move { finished.notified().await }));
    let mut pipeline = Events::new(&bus).pipeline();
    for value in 0..EVENTS {
        pipeline.publish(&reading(value as u64)).await.expect("handed over");
    }
    pipeline.finish().await.expect("stored");
    within("it has begun", started.notified()).await;
    let info = streams.consumer_info("TESTING", "testing").await.expect("info");
    assert!(info.ack_pending <= 100, "it holds {}", info.ack_pending);
    assert!(info.pending >= (EVENTS - 100) as u64, "the rest waits in the stream: {}", info.pending);
    open.add_permits(4);
    within("the worker ends", worker).await.expect("no panic").expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_worker_leaves_what_it_cannot_do_in_the_stream() {
    check(Bus::memory()).await;
    let server = NatsServer::builder().jetstream().start().await.expect("a server");
    check(Bus::nats(server.url()).await.expect("connected")).await;
}

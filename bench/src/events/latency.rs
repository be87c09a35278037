//! From publish to handler, at a given rate.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use subwire::{Bus, Delivery, Events, Result, Streams, Worker};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{broker, ours, reading};
use crate::report::verdict;

/// What takes longer counts as this.
const LONGEST_NS: u64 = 60_000_000_000;

pub(super) async fn run(seconds: f64) -> anyhow::Result<()> {
    println!("from publish to handler over NATS, {seconds} s each");
    for per_second in [1_000, 10_000, 100_000] {
        let times = measure(per_second, seconds).await?;
        let us = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "  {per_second:>7}/s asked, {:>7.0}/s done   p50 {:>8.0} us   p95 {:>8.0} us   p99 {:>8.0} us",
            times.len() as f64 / seconds,
            us(0.5),
            us(0.95),
            us(0.99)
        );
        if per_second == 1_000 {
            verdict("p95 at 1,000 a second", us(0.95), " us", "below 1,000 us", us(0.95) < 1_000.0);
        }
    }
    Ok(())
}

async fn measure(per_second: u32, seconds: f64) -> anyhow::Result<Histogram<u64>> {
    let nats = broker().await?;
    let (publisher, worker) = (Bus::nats(nats.url()).await?, Bus::nats(nats.url()).await?);
    Streams::new(&publisher).apply(ours::specs()).await?;
    let began = Instant::now();
    let times = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3)?));
    let (recorded, stop) = (times.clone(), CancellationToken::new());
    let worker = Worker::builder(&worker)
        .handle(&ours::consumer::BENCH, move |_: Delivery, event: ours::Reading| {
            let took = began.elapsed().as_nanos() as u64 - event.published_ns;
            recorded.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
            std::future::ready(Result::Ok(()))
        })
        .concurrency(64)
        .run(stop.clone().cancelled_owned());
    let worker = tokio::spawn(worker);

    // Open loop: who is late publishes what is due, and the lateness counts.
    let mut pipeline = Events::new(&publisher).pipeline();
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = per_second / 1_000;
    for _ in 0..(seconds * 1e3) as u32 {
        ticks.tick().await;
        let published_ns = began.elapsed().as_nanos() as u64;
        for _ in 0..each {
            pipeline.publish(&ours::Reading { published_ns, ..reading() }).await?;
        }
    }
    pipeline.finish().await?;
    stop.cancel();
    worker.await??;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(times)
}

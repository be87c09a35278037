//! Working off a stream: a worker with an empty handler, and a pull consumer by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use async_nats::jetstream;
use futures_util::StreamExt;
use prost::Message;
use subwire::{Bus, Delivery, Events, Result, Streams, Worker};
use tokio::sync::Notify;

use super::{WINDOW, broker, ours, reading};
use crate::report::{median, verdict};

const EVENTS: usize = 300_000;

pub(super) async fn run(rounds: usize) -> anyhow::Result<()> {
    println!("working off {EVENTS} events over NATS, {rounds} rounds");
    let nats = broker().await?;
    let client = async_nats::connect(nats.url()).await?;
    let bus = Bus::nats(nats.url()).await?;
    let streams = Streams::new(&bus);
    streams.apply(ours::specs()).await?;
    fill(&bus, EVENTS).await?;
    let (mut ratios, mut hand_rates, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (hand, own) = match round % 2 {
            0 => {
                let hand = by_hand(&client, &streams).await?;
                (hand, subwire(&bus, &streams, EVENTS).await?)
            }
            _ => {
                let own = subwire(&bus, &streams, EVENTS).await?;
                (by_hand(&client, &streams).await?, own)
            }
        };
        ratios.push(own / hand);
        hand_rates.push(hand);
        rates.push(own);
    }
    println!("  by hand {:.0} k/s, subwire {:.0} k/s", median(hand_rates) / 1e3, median(rates) / 1e3);
    let ratio = median(ratios);
    verdict("worker, consume and acknowledge, against by hand", ratio, "x", "0.95x", ratio >= 0.95);
    Ok(())
}

pub(super) async fn fill(bus: &Bus, events: usize) -> anyhow::Result<()> {
    let mut pipeline = Events::new(bus).pipeline().window(WINDOW);
    for _ in 0..events {
        pipeline.publish(&reading()).await?;
    }
    pipeline.finish().await?;
    Ok(())
}

/// Decodes and acknowledges, as a careful user would write it.
async fn by_hand(client: &async_nats::Client, streams: &Streams) -> anyhow::Result<f64> {
    again(streams).await?;
    let jetstream = jetstream::new(client.clone());
    let consumer: jetstream::consumer::PullConsumer = jetstream.get_consumer_from_stream("bench", "BENCH").await?;
    let started = Instant::now();
    let mut messages = consumer.stream().max_messages_per_batch(500).messages().await?;
    for _ in 0..EVENTS {
        let Some(message) = messages.next().await else { anyhow::bail!("the consumer has ended") };
        let message = message?;
        ours::Reading::decode(message.payload.clone())?;
        message.ack().await.map_err(|error| anyhow::anyhow!(error))?;
    }
    Ok(EVENTS as f64 / started.elapsed().as_secs_f64())
}

/// How many events a second a worker with an empty handler works off.
pub(super) async fn subwire(bus: &Bus, streams: &Streams, events: usize) -> anyhow::Result<f64> {
    again(streams).await?;
    let done = Arc::new((AtomicUsize::new(0), Notify::new()));
    let finished = done.clone();
    let worker = Worker::builder(bus).handle(&ours::consumer::BENCH, move |_: Delivery, _: ours::Reading| {
        if done.0.fetch_add(1, Ordering::Relaxed) + 1 == events {
            done.1.notify_one();
        }
        std::future::ready(Result::Ok(()))
    });
    let started = Instant::now();
    worker.concurrency(64).run(async move { finished.1.notified().await }).await?;
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

/// From the start.
async fn again(streams: &Streams) -> anyhow::Result<()> {
    streams.delete_consumer("BENCH", "bench").await?;
    streams.apply(ours::specs()).await?;
    Ok(())
}

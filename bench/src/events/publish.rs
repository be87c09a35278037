//! Publishing: to a stream with acknowledgement, and to whoever listens.

use std::{collections::VecDeque, time::Instant};

use async_nats::jetstream;
use prost::Message;
use subwire::{Bus, Events, Streams};

use super::{WINDOW, broker, ours, reading};
use crate::report::{median, verdict};

const DURABLE: usize = 200_000;
const CORE: usize = 1_000_000;

/// As one writes it by hand: the sensor is not known before.
fn subject(reading: &ours::Reading) -> String {
    format!("bench.reading.{}", reading.sensor)
}

pub(super) async fn run(rounds: usize) -> anyhow::Result<()> {
    println!("publishing over NATS, {rounds} rounds, {} bytes an event", reading().encoded_len());
    let nats = broker().await?;
    let client = async_nats::connect(nats.url()).await?;
    let bus = Bus::nats(nats.url()).await?;
    let streams = Streams::new(&bus);
    streams.apply(ours::specs()).await?;
    let (mut durable, mut core) = (Vec::new(), Vec::new());
    let (mut durable_rates, mut core_rates) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for round in 0..rounds {
        // Whoever comes second finds another broker than whoever comes first.
        let first = round % 2 == 0;
        let (hand, own) = match first {
            true => (by_hand(&client, &streams).await?, subwire(&bus, &streams).await?),
            false => swap(subwire(&bus, &streams).await?, by_hand(&client, &streams).await?),
        };
        durable.push(own / hand);
        durable_rates.0.push(hand);
        durable_rates.1.push(own);
        // No stream shall store these.
        streams.delete("BENCH").await?;
        let (hand, own) = match first {
            true => (core_by_hand(&client).await?, core_subwire(&bus).await?),
            false => swap(core_subwire(&bus).await?, core_by_hand(&client).await?),
        };
        streams.apply(ours::specs()).await?;
        core.push(own / hand);
        core_rates.0.push(hand);
        core_rates.1.push(own);
    }
    println!(
        "  durable: by hand {:.0} k/s, subwire {:.0} k/s",
        median(durable_rates.0) / 1e3,
        median(durable_rates.1) / 1e3
    );
    let ratio = median(durable);
    verdict("pipelined durable publish against by hand", ratio, "x", "0.95x", ratio >= 0.95);
    println!("  core: by hand {:.0} k/s, subwire {:.0} k/s", median(core_rates.0) / 1e3, median(core_rates.1) / 1e3);
    let ratio = median(core);
    verdict("core publish against by hand", ratio, "x", "0.9x", ratio >= 0.9);
    Ok(())
}

/// What was measured in the other order.
fn swap(own: f64, hand: f64) -> (f64, f64) {
    (hand, own)
}

async fn by_hand(client: &async_nats::Client, streams: &Streams) -> anyhow::Result<f64> {
    streams.purge("BENCH", None).await?;
    let jetstream = jetstream::new(client.clone());
    let started = Instant::now();
    let mut waiting = VecDeque::with_capacity(WINDOW);
    for _ in 0..DURABLE {
        if waiting.len() == WINDOW
            && let Some(oldest) = waiting.pop_front()
        {
            let oldest: jetstream::context::PublishAckFuture = oldest;
            oldest.await?;
        }
        let reading = reading();
        waiting.push_back(jetstream.publish(subject(&reading), reading.encode_to_vec().into()).await?);
    }
    for oldest in waiting {
        oldest.await?;
    }
    Ok(DURABLE as f64 / started.elapsed().as_secs_f64())
}

async fn subwire(bus: &Bus, streams: &Streams) -> anyhow::Result<f64> {
    streams.purge("BENCH", None).await?;
    let started = Instant::now();
    let mut pipeline = Events::new(bus).pipeline().window(WINDOW);
    for _ in 0..DURABLE {
        pipeline.publish(&reading()).await?;
    }
    let published = pipeline.finish().await?;
    anyhow::ensure!(published.stored == DURABLE as u64, "stored {published:?}");
    Ok(DURABLE as f64 / started.elapsed().as_secs_f64())
}

async fn core_by_hand(client: &async_nats::Client) -> anyhow::Result<f64> {
    let started = Instant::now();
    for _ in 0..CORE {
        let reading = reading();
        client.publish(subject(&reading), reading.encode_to_vec().into()).await?;
    }
    // An answer from the broker: everything before it has arrived.
    let _ = client.request("nobody.listens", "".into()).await;
    Ok(CORE as f64 / started.elapsed().as_secs_f64())
}

async fn core_subwire(bus: &Bus) -> anyhow::Result<f64> {
    let started = Instant::now();
    for _ in 0..CORE {
        bus.publish(&reading()).await?;
    }
    bus.fence().await?;
    Ok(CORE as f64 / started.elapsed().as_secs_f64())
}

//! Events that never leave the process.

use std::time::Instant;

use prost::Message;
use subwire::{Bus, Event, Streams};

use super::{ours, reading, work};
use crate::report::{median, resident, verdict};

const EVENTS: usize = 1_000_000;

pub(super) async fn run(rounds: usize) -> anyhow::Result<()> {
    println!("events on the in-memory bus, {rounds} rounds of {EVENTS}");
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let bus = Bus::memory();
        let streams = Streams::new(&bus);
        streams.apply(ours::specs()).await?;
        let started = Instant::now();
        let (filled, worked) = tokio::join!(
            {
                let bus = bus.clone();
                async move { tokio::spawn(async move { work::fill(&bus, EVENTS).await }).await? }
            },
            work::subwire(&bus, &streams, EVENTS),
        );
        filled?;
        worked?;
        rates.push(EVENTS as f64 / started.elapsed().as_secs_f64());
    }
    let rate = median(rates);
    verdict("publish, store, work off, acknowledge", rate / 1e3, " k/s", "1,000 k/s", rate >= 1e6);

    let bus = Bus::memory();
    Streams::new(&bus).apply(ours::specs()).await?;
    let before = resident(None)?;
    work::fill(&bus, EVENTS).await?;
    let grown = (resident(None)? - before) as f64;
    let event = reading();
    let bytes = (event.encoded_len() + event.subject()?.as_str().len()) * EVENTS;
    let ratio = grown / bytes as f64;
    verdict("memory of a million stored events against their bytes", ratio, "x", "at most 2x", ratio <= 2.0);
    Ok(())
}

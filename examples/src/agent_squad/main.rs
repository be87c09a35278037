//! A squad of agents on one bus: an architect gives tasks to two developers, a tester looks at what they
//! did and reports back. Everything said is in a stream; a worker counts it in the background, and
//! afterwards it is read once more from there. With `SUBWIRE_ARCHIVE_URL` it is in PostgreSQL as well.
//!
//! The schema is `proto/agents/squad/v1/squad.proto`; the settings are in `settings.rs`.

mod archive;
mod member;
mod settings;
mod squad;
mod statistics;

use std::time::Duration;

use anyhow::{Context, Result};
use archive::SquadArchive;
use examples::{beside, run_id};
use member::Member;
use schemas::agents::squad::v1::{AgentMessage, AgentMessageFilter, consumer};
use settings::Settings;
use squad::Squad;
use statistics::Statistics;
use subwire::{Bus, ConsumerSpec, Replay, Specs, Streams, Worker, WorkerGroup};
use tokio::time::timeout;

/// Who is to do it, and what.
const TASKS: [((&str, &str), &str); 3] = [
    (("backend", "backend-1"), "the login"),
    (("backend", "backend-2"), "the export"),
    (("backend", "backend-1"), "the search"),
];

/// How long the squad, or those who look after it, may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages that each worker handles at one time.
const CONCURRENCY: usize = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::from_env()?;
    let bus = Bus::from_env().await?;
    let archive = SquadArchive::from_env().await?;
    println!("Connected to {}", bus.describe());

    let mut specs = settings.specs();
    if archive.is_none() {
        // Nobody would read it.
        specs.consumers.retain(|consumer| consumer.name != consumer::AGENT_ARCHIVE.name);
    }
    let streams = Streams::new(&bus);
    streams.apply(&specs).await?;
    let stream = specs.streams.first().context("the schema has a stream")?;
    println!("Stream {}, consumer {}", stream.name, processor(&specs)?.name);
    let begin = streams.info(&stream.name).await?.last_sequence + 1;

    let squad = Squad::new(&bus, &run_id());
    let statistics = Statistics::new(squad.id());
    let members = [("ada", "architect"), ("backend-1", "backend"), ("backend-2", "backend"), ("tess", "tester")]
        .map(|(id, role)| Member::new(&squad, id, role));

    let processor = Worker::builder(&bus).handle(processor(&specs)?, statistics.handler()).concurrency(CONCURRENCY);
    let mut workers = WorkerGroup::new().add("statistics", processor);
    let mut inboxes = Vec::new();
    for member in &members {
        let inbox = member.inbox(&stream.name)?;
        streams.apply(inbox.clone()).await?;
        workers = workers.add(inbox.name.to_string(), member.worker(&bus, &inbox));
        inboxes.push(inbox);
    }
    if let Some(archive) = &archive {
        workers = workers.add("archive", archive.worker(&bus, &specs)?);
    }

    let story = async {
        work(&members).await?;
        count(&squad, &statistics).await?;
        replay(&bus, &squad, &stream.name, begin).await?;
        if let Some(archive) = &archive {
            archive.print(&squad, &members).await?;
        }
        anyhow::Ok(())
    };
    beside(|stop| workers.run(stop), story).await?;
    for inbox in inboxes {
        streams.delete_consumer(&inbox.stream, &inbox.name).await?;
    }
    bus.close().await?;
    Ok(())
}

/// The consumer that counts, whatever it is called.
fn processor(specs: &Specs) -> Result<&ConsumerSpec> {
    let not_archive = |spec: &&ConsumerSpec| spec.name != consumer::AGENT_ARCHIVE.name;
    specs.consumers.iter().find(not_archive).context("the schema has a consumer")
}

/// The squad does its tasks.
async fn work(members: &[Member]) -> Result<()> {
    for member in members {
        member.join().await?;
    }
    let architect = members.first().context("a squad has an architect")?;
    architect.announce("the sprint begins").await?;
    for (number, (who, what)) in (1..).zip(TASKS) {
        architect.assign(number, who, what).await?;
    }
    let reports = timeout(PATIENCE, architect.reports(TASKS.len())).await.context("not all tasks were reported")?;
    println!("Reports to {}:", architect.id);
    reports.values().for_each(|report| println!("  {report}"));
    for member in members {
        member.leave().await?;
    }
    Ok(())
}

/// Prints what the worker in the background has counted.
async fn count(squad: &Squad, statistics: &Statistics) -> Result<()> {
    let counts = timeout(PATIENCE, statistics.of(squad.said())).await.context(
        "not all events were counted: does another program read the same consumer? NATS_CONSUMER_NAME gives it another name",
    )?;
    println!("Statistics of {} events:", squad.said());
    counts.iter().for_each(|(what, count)| println!("  {what} {count}"));
    Ok(())
}

/// Prints what was said to the developers, from the stream.
async fn replay(bus: &Bus, squad: &Squad, stream: &str, begin: u64) -> Result<()> {
    let filter = AgentMessageFilter::new().recipient_role("backend");
    let replay = Replay::of(bus, filter).stream(stream).from_sequence(begin);
    let mut past = replay.until_caught_up().open().await?;
    println!("Replay of what was said to the role backend:");
    while let Some(replayed) = past.next().await.transpose()? {
        let AgentMessage { squad_id, sender_id, recipient_id, text, .. } = replayed.event;
        if squad_id == squad.id() {
            println!("  {sender_id} to {recipient_id}: {text}");
        }
    }
    Ok(())
}

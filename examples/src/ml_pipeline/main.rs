//! A pipeline around a model: texts are prepared, queued for inference, and what the model finds is
//! summed up. Three workers, which meet in streams only; models are announced by events and kept in an
//! object store, settings in a key-value bucket.
//!
//! The schema is `proto/ml/pipeline/v1/pipeline.proto`.

mod aggregation;
mod inference;
mod preprocessing;
mod registry;

use std::time::Duration;

use aggregation::{Aggregation, Report};
use anyhow::{Context, Result};
use examples::{beside, run_id};
use inference::{Inference, SETTINGS};
use preprocessing::Preprocessing;
use registry::Registry;
use schemas::ml::pipeline::v1::{
    InferenceSettings, Model, ModelRegistered, ModelRegisteredFilter, TextReceived, specs,
};
use subwire::{Bus, Events, Kv, KvSpec, Streams, WorkerGroup};
use tokio::time::timeout;

/// What the model is called.
const MODEL: &str = "sentiment";

/// Its versions: how much each word says. The second has learnt something.
const VERSIONS: [&[(&str, i32)]; 2] = [
    &[("good", 2), ("great", 3), ("bad", -2), ("boring", -3)],
    &[("good", 2), ("great", 3), ("love", 4), ("bad", -2), ("boring", -3), ("slow", -3), ("not", -4)],
];

const TEXTS: [&str; 8] = [
    "A great film!",
    "I love the music.",
    "It is slow, and the plot is bad",
    "Not good.",
    "Boring in the end, but good actors",
    "Great, great, GREAT",
    "This was a film.",
    "The second half is slow",
];

/// From which score on a text is positive.
const THRESHOLD: i32 = 2;

/// Texts that each stage works on at one time.
const CONCURRENCY: usize = 4;

/// How long all texts together may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let bus = Bus::from_env().await?;
    println!("Connected to {}", bus.describe());
    Streams::new(&bus).apply(specs()).await?;

    let registry = Registry::open(&bus).await?;
    register(&bus, &registry).await?;

    let settings = Kv::open(&bus, KvSpec::new("ml-settings")).await?;
    let inference = Inference::join(&bus, &registry, &settings).await?;
    let known = inference.known().values().map(describe).collect::<Vec<_>>();
    println!("Who comes late knows of: {}", known.join(", "));

    // First as it was in the beginning, then with the newest version: nothing is started anew for that.
    let first = InferenceSettings { model: MODEL.to_owned(), version: 1, threshold: THRESHOLD };
    let revision = settings.put(SETTINGS, &first).await?;
    println!("{}", run(&bus, &inference).await?);
    // Not if somebody else has changed them in the meantime.
    settings.update(SETTINGS, &InferenceSettings { version: 0, ..first }, revision).await?;
    println!("{}", run(&bus, &inference).await?);

    bus.close().await?;
    Ok(())
}

/// Registers all versions of the model, in the hearing of somebody who is there already.
async fn register(bus: &Bus, registry: &Registry) -> Result<()> {
    let mut listener = bus.subscribe(ModelRegisteredFilter::new().name(MODEL)).await?;
    let mut heard = Vec::new();
    for (version, weights) in (1..).zip(VERSIONS) {
        let weights = weights.iter().map(|(word, weight)| ((*word).to_owned(), *weight)).collect();
        registry.register(MODEL, version, &Model { weights }).await?;
        let received = timeout(PATIENCE, listener.next()).await.context("nobody was told of the model")?;
        heard.push(describe(&received.context("the bus is closed")??.event));
    }
    println!("Who was there heard of: {}", heard.join(", "));
    Ok(())
}

fn describe(ModelRegistered { name, version, bytes, .. }: &ModelRegistered) -> String {
    format!("{name} {version} ({bytes} bytes)")
}

/// Sends all texts through the pipeline.
async fn run(bus: &Bus, inference: &Inference) -> Result<Report> {
    let run_id = run_id();
    let aggregation = Aggregation::new(&run_id);
    let workers = WorkerGroup::new()
        .add("preprocessing", Preprocessing::new(bus).worker(bus).concurrency(CONCURRENCY))
        .add("inference", inference.worker(bus).concurrency(CONCURRENCY))
        .add("aggregation", aggregation.worker(bus).concurrency(CONCURRENCY));
    let story = async {
        let mut texts = Events::new(bus).pipeline();
        for (number, text) in (1..).zip(TEXTS) {
            let text_id = format!("{run_id}-{number}");
            texts.publish(&TextReceived { text_id, run_id: run_id.clone(), text: text.to_owned() }).await?;
        }
        texts.finish().await?;
        timeout(PATIENCE, aggregation.report(TEXTS.len()))
            .await
            .context("not all texts came through the pipeline: does another run take some of them?")
    };
    beside(|stop| workers.run(stop), story).await
}

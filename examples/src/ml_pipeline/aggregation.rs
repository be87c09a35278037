//! [`Aggregation`]: what many predictions come to.

use std::{collections::BTreeMap, fmt, sync::Arc};

use schemas::ml::pipeline::v1::{Feeling, Prediction, consumer};
use subwire::{Bus, Delivery, Outcome, Worker, WorkerBuilder};
use tokio::sync::watch;

/// What the predictions of a run come to. A clone adds to the same.
#[derive(Debug, Clone)]
pub(crate) struct Aggregation {
    run_id: Arc<str>,
    /// By text: one that comes twice counts once.
    predictions: Arc<watch::Sender<BTreeMap<String, Prediction>>>,
}

impl Aggregation {
    pub(crate) fn new(run_id: &str) -> Self {
        Self { run_id: run_id.into(), predictions: Arc::new(watch::Sender::default()) }
    }

    /// What reads the predictions.
    pub(crate) fn worker(&self, bus: &Bus) -> WorkerBuilder {
        let sum = self.clone();
        let add = async move |_: Delivery, prediction: Prediction| sum.add(prediction);
        Worker::builder(bus).handle(&consumer::ML_AGGREGATION, add)
    }

    /// Handles a prediction. Those of earlier runs have had their report.
    fn add(&self, prediction: Prediction) -> Outcome {
        if *prediction.run_id == *self.run_id {
            self.predictions.send_modify(|all| drop(all.insert(prediction.text_id.clone(), prediction)));
        }
        Outcome::Done
    }

    /// The report, when there are so many predictions.
    pub(crate) async fn report(&self, texts: usize) -> Report {
        let mut predictions = self.predictions.subscribe();
        let all = predictions.wait_for(|predictions| predictions.len() >= texts).await;
        // An error would mean that the sender is gone, and it is ours.
        all.map(|predictions| Report::of(predictions.values())).unwrap_or_default()
    }
}

/// What many predictions come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    model_version: u32,
    positive: usize,
    neutral: usize,
    negative: usize,
    score: i32,
}

impl Report {
    fn of<'a>(predictions: impl Iterator<Item = &'a Prediction>) -> Self {
        let mut report = Self::default();
        for prediction in predictions {
            match prediction.feeling() {
                Feeling::Positive => report.positive += 1,
                Feeling::Negative => report.negative += 1,
                Feeling::Neutral | Feeling::Unspecified => report.neutral += 1,
            }
            report.score += prediction.score;
            report.model_version = prediction.model_version;
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model_version, positive, neutral, negative, score } = self;
        write!(
            f,
            "version {model_version}: {positive} positive, {neutral} neutral, {negative} negative, score {score:+}"
        )
    }
}

//! [`Inference`]: from the words of a text to what its author feels.

use std::{collections::HashMap, sync::Arc};

use schemas::ml::pipeline::v1::{Feeling, InferenceSettings, Model, Prediction, TextPrepared, consumer};
use subwire::{Bus, Code, Delivery, Events, Kv, Result, Status, Worker, WorkerBuilder};
use tokio::sync::Mutex;

use crate::registry::{Models, Registry};

/// The key of the settings.
pub(crate) const SETTINGS: &str = "inference";

/// From the words of a text to what its author feels. A clone shares the models.
#[derive(Debug, Clone)]
pub(crate) struct Inference {
    events: Events,
    registry: Registry,
    settings: Kv<InferenceSettings>,
    known: Models,
    /// By artefact: those that were needed.
    loaded: Arc<Mutex<HashMap<String, Arc<Model>>>>,
}

impl Inference {
    /// Comes late, and learns of all models.
    pub(crate) async fn join(bus: &Bus, registry: &Registry, settings: &Kv<InferenceSettings>) -> Result<Self> {
        let (registry, settings) = (registry.clone(), settings.clone());
        let known = registry.models().await?;
        Ok(Self { events: Events::new(bus), registry, settings, known, loaded: Arc::default() })
    }

    /// The models that it knows of.
    pub(crate) fn known(&self) -> &Models {
        &self.known
    }

    /// What reads the texts that wait.
    pub(crate) fn worker(&self, bus: &Bus) -> WorkerBuilder {
        let inference = self.clone();
        let infer = async move |_: Delivery, text: TextPrepared| inference.infer(text).await;
        Worker::builder(bus).handle(&consumer::ML_INFERENCE, infer)
    }

    /// Handles a text that waits.
    async fn infer(self, text: TextPrepared) -> Result<()> {
        // Read each time: a change counts from the next text on.
        let Some(settings) = self.settings.get(SETTINGS).await? else {
            return Err(Status::new(Code::FailedPrecondition, format!("there are no settings under `{SETTINGS}`")));
        };
        let (version, model) = self.model(&settings.value).await?;
        let score = score(&model, &text.words);
        let prediction = Prediction {
            text_id: text.text_id,
            run_id: text.run_id,
            feeling: feeling(score, settings.value.threshold).into(),
            score,
            model_version: version,
        };
        self.events.publish(&prediction).await?;
        Ok(())
    }

    /// The model that the settings ask for.
    async fn model(&self, settings: &InferenceSettings) -> Result<(u32, Arc<Model>)> {
        let InferenceSettings { model: name, version, .. } = settings;
        let is_meant = |(known, number): &(String, u32)| known == name && [0, *number].contains(version);
        let Some(registered) = self.known.iter().rfind(|(key, _)| is_meant(key)).map(|(_, registered)| registered)
        else {
            return Err(Status::not_found(format!("nobody has registered version {version} of the model {name}")));
        };
        let mut loaded = self.loaded.lock().await;
        let model = match loaded.get(&registered.artefact) {
            Some(model) => model.clone(),
            None => {
                let model = Arc::new(self.registry.load(registered).await?);
                loaded.insert(registered.artefact.clone(), model.clone());
                model
            }
        };
        Ok((registered.version, model))
    }
}

fn score(model: &Model, words: &[String]) -> i32 {
    words.iter().filter_map(|word| model.weights.get(word)).sum()
}

fn feeling(score: i32, threshold: i32) -> Feeling {
    match score {
        _ if score >= threshold => Feeling::Positive,
        _ if score <= -threshold => Feeling::Negative,
        _ => Feeling::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_add_up_to_a_feeling() {
        let weights = [("good", 2), ("bad", -2), ("very", 1)].map(|(word, weight)| (word.to_owned(), weight));
        let model = Model { weights: weights.into() };
        for (text, expected) in [
            ("very good", Feeling::Positive),
            ("good", Feeling::Neutral),
            ("good bad", Feeling::Neutral),
            ("bad bad very", Feeling::Negative),
            ("unheard of", Feeling::Neutral),
        ] {
            let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            assert_eq!(feeling(score(&model, &words), 3), expected, "{text}");
        }
    }
}

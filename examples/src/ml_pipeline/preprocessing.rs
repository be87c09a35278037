//! [`Preprocessing`]: from texts to the words of texts.

use schemas::ml::pipeline::v1::{TextPrepared, TextReceived, consumer};
use subwire::{Bus, Delivery, Events, Result, Worker, WorkerBuilder};

/// Words that say nothing.
const EMPTY_WORDS: [&str; 10] = ["a", "and", "i", "in", "is", "it", "of", "the", "this", "was"];

/// From texts to the words of texts.
#[derive(Debug, Clone)]
pub(crate) struct Preprocessing {
    events: Events,
}

impl Preprocessing {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { events: Events::new(bus) }
    }

    /// What reads the texts.
    pub(crate) fn worker(self, bus: &Bus) -> WorkerBuilder {
        let prepare = async move |_: Delivery, text: TextReceived| self.prepare(text).await;
        Worker::builder(bus).handle(&consumer::ML_PREPROCESSING, prepare)
    }

    /// Handles a text: it waits for the model before it is forgotten here. The id is the same, so that
    /// a text that is prepared twice waits once.
    async fn prepare(self, TextReceived { text_id, run_id, text }: TextReceived) -> Result<()> {
        self.events.publish(&TextPrepared { text_id, run_id, words: words(&text) }).await?;
        Ok(())
    }
}

/// In lower case, without those that say nothing.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| !word.is_empty() && !EMPTY_WORDS.contains(&word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_say_something() {
        assert_eq!(words("The plot, it IS great -- 10/10!"), ["plot", "great", "10", "10"]);
        assert_eq!(words("It is."), Vec::<String>::new());
    }
}

//! [`OpenAiModel`]: a model behind an OpenAI-compatible endpoint.

mod answer;
mod endpoint;
mod events;
mod wire;

use subwire::BoxFuture;
use tokio::time::timeout_at;

use self::{answer::Reader, endpoint::Endpoint, wire::Completion};
use super::{Answer, Error, Model, Pieces, Prompt, Result, Role, Turn};

/// What the endpoint is told before a text to summarize.
const SUMMARIZE: &str = "Summarize the text of the user in three sentences at most. Answer with the summary only.";

/// A model behind an OpenAI-compatible endpoint (`POST /v1/chat/completions`).
///
/// A clone shares the connections. Redirects are not followed, so that the key goes to nobody else,
/// and proxies are not looked for. The key is never logged and never shown. A call that is dropped
/// closes its connection, by which the endpoint learns that it may stop.
#[derive(Debug, Clone)]
pub struct OpenAiModel {
    endpoint: Endpoint,
    /// For prompts that name none.
    model: String,
}

impl OpenAiModel {
    /// The model `model` at `base_url`, which `api_key` opens.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(base_url: &str, model: impl Into<String>, api_key: Option<&str>) -> Result<Self> {
        Ok(Self { endpoint: Endpoint::new(base_url, api_key)?, model: model.into() })
    }
}

impl Model for OpenAiModel {
    fn generate(&self, prompt: Prompt) -> BoxFuture<Result<Answer>> {
        let model = self.clone();
        Box::pin(async move {
            let work = async {
                let completion = Completion::new(&prompt, &model.model, false);
                let response = model.endpoint.post(&prompt, &completion).await?;
                answer::whole(response).await
            };
            timeout_at(prompt.deadline, work).await.unwrap_or(Err(Error::Timeout))
        })
    }

    fn stream(&self, prompt: Prompt) -> BoxFuture<Result<Pieces>> {
        let model = self.clone();
        Box::pin(async move {
            let completion = Completion::new(&prompt, &model.model, true);
            let response = model.endpoint.post(&prompt, &completion);
            let response = timeout_at(prompt.deadline, response).await.unwrap_or(Err(Error::Timeout))?;
            Ok(Reader::new(response, prompt.deadline)?.into_pieces())
        })
    }

    fn summarize(&self, mut prompt: Prompt) -> BoxFuture<Result<Answer>> {
        prompt.turns.insert(0, Turn { role: Role::System, text: SUMMARIZE.to_owned() });
        self.generate(prompt)
    }
}

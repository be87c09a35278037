//! [`Llm`]: the service.

use std::{env, sync::Arc};

use futures_util::StreamExt;
use schemas::ai::llm::v1::{
    ChatRequest, ChatResponse, InferRequest, InferResponse, LlmService, StreamInferRequest, StreamInferResponse,
    SummarizeRequest, SummarizeResponse,
};
use subwire::{Context, Result, Streaming};
use tokio::time::Instant;

use crate::{
    history::History,
    limits,
    model::{Error, Model, Piece, Prompt, Role, Turn, local::LocalModel, openai::OpenAiModel},
};

/// The service `ai.llm.v1.LlmService`. A clone shares the model.
#[derive(Debug, Clone)]
pub struct Llm {
    model: Arc<dyn Model>,
}

impl Llm {
    /// The service over this model.
    pub fn new(model: impl Model) -> Self {
        Self { model: Arc::new(model) }
    }

    /// The service over the model that the environment asks for: `LLM_BASE_URL`, `LLM_MODEL` and
    /// `LLM_API_KEY` for [`OpenAiModel`], none of them for [`LocalModel`]. The log says which.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a setting that makes no sense, naming the variable.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(&|name| env::var(name).ok())
    }

    fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let setting = |name| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let (url, model, key) = (setting("LLM_BASE_URL"), setting("LLM_MODEL"), setting("LLM_API_KEY"));
        match (url, model) {
            (Some(url), Some(model)) => {
                let model = OpenAiModel::new(&url, model, key.as_deref())?;
                tracing::info!(?model, "the model is behind an endpoint: LLM_BASE_URL is set");
                Ok(Self::new(model))
            }
            (Some(_), None) => Err(incomplete("LLM_BASE_URL", "the model to ask for (LLM_MODEL)")),
            (None, Some(_)) => Err(incomplete("LLM_MODEL", "where to ask for it (LLM_BASE_URL)")),
            (None, None) if key.is_some() => Err(incomplete("LLM_API_KEY", "where to use it (LLM_BASE_URL)")),
            (None, None) => {
                tracing::info!("the model is the local one: LLM_BASE_URL is not set");
                Ok(Self::default())
            }
        }
    }
}

fn incomplete(variable: &'static str, missing: &str) -> subwire::Status {
    Error::Setting { variable, problem: format!("set without {missing}: set both or neither") }.into()
}

impl Default for Llm {
    /// The service over the local model.
    fn default() -> Self {
        Self::new(LocalModel)
    }
}

impl LlmService for Llm {
    async fn infer(&self, cx: Context, request: InferRequest) -> Result<InferResponse> {
        let prompt = Prompt {
            model: request.model,
            max_tokens: max_tokens(request.max_tokens),
            temperature: temperature(request.temperature)?,
            ..prompt(&cx, vec![question("prompt", request.prompt)?])
        };
        let generation_id = prompt.id.clone();
        let answer = self.model.generate(prompt).await?;
        Ok(InferResponse {
            generation_id,
            output: answer.text,
            tokens_used: answer.end.tokens,
            finish_reason: answer.end.reason.into(),
        })
    }

    async fn stream_infer(&self, cx: Context, request: StreamInferRequest) -> Result<Streaming<StreamInferResponse>> {
        let prompt = Prompt {
            model: request.model,
            max_tokens: max_tokens(request.max_tokens),
            temperature: temperature(request.temperature)?,
            ..prompt(&cx, vec![question("prompt", request.prompt)?])
        };
        let generation_id = prompt.id.clone();
        let pieces = self.model.stream(prompt).await?;
        Ok(Streaming::new(pieces.map(move |piece| {
            let Piece { text, end } = piece?;
            Ok(StreamInferResponse {
                generation_id: generation_id.clone(),
                text,
                finish_reason: end.map_or(0, |end| end.reason.into()),
                tokens_used: end.map_or(0, |end| end.tokens),
            })
        })))
    }

    async fn summarize(&self, cx: Context, mut requests: Streaming<SummarizeRequest>) -> Result<SummarizeResponse> {
        let mut text = String::new();
        let mut pieces = 0;
        while let Some(piece) = requests.message().await? {
            if text.len() + piece.text.len() > limits::SUMMARIZE_BYTES {
                return Err(Error::TooLarge { field: "text", limit_bytes: limits::SUMMARIZE_BYTES }.into());
            }
            text.push_str(&piece.text);
            pieces += 1;
        }
        // A word may lie across two pieces.
        let words = text.split_whitespace().count();
        if words == 0 {
            return Err(Error::Empty { field: "text" }.into());
        }
        let prompt = prompt(&cx, vec![Turn { role: Role::User, text }]);
        let answer = self.model.summarize(prompt).await?;
        Ok(SummarizeResponse { summary: answer.text, pieces, words: u32::try_from(words).unwrap_or(u32::MAX) })
    }

    async fn chat(&self, cx: Context, mut requests: Streaming<ChatRequest>) -> Result<Streaming<ChatResponse>> {
        let model = self.model.clone();
        Ok(Streaming::produce(async move |responses| {
            let mut history = History::default();
            let mut turn = 0;
            while let Some(request) = requests.message().await? {
                let said = question("text", request.text)?;
                history.push(said.role, said.text);
                let answer = model.generate(prompt(&cx, history.turns())).await?;
                history.push(Role::Assistant, answer.text.clone());
                turn += 1;
                responses.send(ChatResponse { text: answer.text, turn }).await?;
            }
            Ok(())
        }))
    }
}

/// A prompt with nothing but what every call has.
fn prompt(cx: &Context, turns: Vec<Turn>) -> Prompt {
    Prompt {
        id: format!("gen-{:016x}", rand::random::<u64>()),
        turns,
        model: String::new(),
        max_tokens: None,
        temperature: None,
        deadline: deadline(cx),
    }
}

/// When the model has to be done: a little before the caller stops waiting, who then learns why.
fn deadline(cx: &Context) -> Instant {
    let own = Instant::now() + limits::GENERATION_TIMEOUT;
    let callers = cx.deadline().and_then(|deadline| deadline.checked_sub(subwire::limits::CHILD_RESERVE));
    callers.map_or(own, |callers| callers.min(own))
}

/// What the caller says, unless that is nothing or too much.
fn question(field: &'static str, text: String) -> Result<Turn, Error> {
    if text.trim().is_empty() {
        return Err(Error::Empty { field });
    }
    if text.len() > limits::PROMPT_BYTES {
        return Err(Error::TooLarge { field, limit_bytes: limits::PROMPT_BYTES });
    }
    Ok(Turn { role: Role::User, text })
}

/// 0 leaves it to the model.
fn temperature(asked: f32) -> Result<Option<f32>, Error> {
    if !limits::TEMPERATURE.contains(&asked) {
        return Err(Error::Temperature(asked));
    }
    Ok((asked > 0.0).then_some(asked))
}

/// 0 leaves it to the model.
fn max_tokens(asked: u32) -> Option<u32> {
    (asked > 0).then_some(asked)
}

#[cfg(test)]
mod tests {
    use subwire::Code;

    use super::*;

    fn chosen(settings: &[(&str, &str)]) -> Result<Llm> {
        Llm::from_lookup(&|name| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn the_environment_chooses_the_model() {
        let (url, model) = (("LLM_BASE_URL", "http://127.0.0.1:1"), ("LLM_MODEL", "tiny"));
        for (settings, expected) in [
            ([].as_slice(), "LocalModel"),
            (&[("LLM_BASE_URL", "")], "LocalModel"),
            (&[url, model], "http://127.0.0.1:1/v1/chat/completions"),
            (&[url, model, ("LLM_API_KEY", "s3cret\n")], "OpenAiModel"),
            (&[("LLM_BASE_URL", "http://a/b/v1/"), model], "http://a/b/v1/chat/completions"),
            (&[("LLM_BASE_URL", "https://a/"), model], "https://a/v1/chat/completions"),
        ] {
            let llm = format!("{:?}", chosen(settings).expect(expected));
            assert!(llm.contains(expected), "{settings:?}: {llm}");
            assert!(!llm.contains("s3cret"), "{llm}");
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_an_error_that_names_it() {
        let (url, model, key) = (("LLM_BASE_URL", "http://a"), ("LLM_MODEL", "m"), ("LLM_API_KEY", "s3cret"));
        for (settings, expected) in [
            ([url].as_slice(), "LLM_BASE_URL"),
            (&[model], "LLM_MODEL"),
            (&[key], "LLM_API_KEY"),
            (&[("LLM_BASE_URL", "a.example"), model], "LLM_BASE_URL"),
            (&[("LLM_BASE_URL", "ftp://a"), model], "LLM_BASE_URL"),
            (&[("LLM_BASE_URL", "http://ann:s3cret@a"), model], "LLM_BASE_URL"),
            (&[("LLM_BASE_URL", "http://a/?key=s3cret"), model], "LLM_BASE_URL"),
            (&[url, model, ("LLM_API_KEY", "s3cret\nX: y")], "LLM_API_KEY"),
        ] {
            let status = chosen(settings).expect_err(expected);
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().starts_with(expected), "{settings:?}: {status}");
            assert!(!format!("{status:?}").contains("s3cret"), "{status:?}");
        }
    }
}

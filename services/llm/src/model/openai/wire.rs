//! What travels: the JSON of `/v1/chat/completions`, as far as it is used here.

use schemas::ai::llm::v1::FinishReason;
use serde::{Deserialize, Serialize};

use crate::model::{Prompt, Role, Turn};

/// What the endpoint is asked.
#[derive(Debug, Serialize)]
pub(super) struct Completion<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Completion<'a> {
    pub(super) fn new(prompt: &'a Prompt, default_model: &'a str, stream: bool) -> Self {
        Self {
            model: if prompt.model.is_empty() { default_model } else { &prompt.model },
            messages: prompt.turns.iter().map(Message::new).collect(),
            max_tokens: prompt.max_tokens,
            temperature: prompt.temperature,
            stream,
            // Without it a stream does not say how many tokens it took.
            stream_options: stream.then_some(StreamOptions { include_usage: true }),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.stream
    }
}

impl<'a> Message<'a> {
    fn new(turn: &'a Turn) -> Self {
        let role = match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Self { role, content: &turn.text }
    }
}

/// What the endpoint answers: whole, or one of the events of a stream. Only the fields that are
/// used; the rest differs from one endpoint to the next.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reply {
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<Failure>,
}

/// One answer. There is only one, as only one is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    /// `message` in a whole answer, `delta` in an event.
    #[serde(default, alias = "message", alias = "delta")]
    content: Content,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Content {
    content: Option<String>,
}

/// What it cost.
#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) total_tokens: u32,
}

/// Why there is no answer.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    #[serde(default)]
    pub(super) message: String,
}

impl Choice {
    pub(super) fn text(&mut self) -> String {
        self.content.content.take().unwrap_or_default()
    }

    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason.as_deref().map(|reason| match reason {
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            // Such as `tool_calls`, which nobody asked for.
            _ => FinishReason::Unspecified,
        })
    }
}

//! [`Model`]: whatever turns a prompt into text.

mod error;
pub mod local;
pub mod openai;

use std::{fmt, pin::Pin};

use futures_util::Stream;
use schemas::ai::llm::v1::FinishReason;
use subwire::BoxFuture;
use tokio::time::Instant;

pub use self::error::{DOMAIN, Error, Result};

/// Whatever turns a prompt into text.
///
/// Dropping a future or a stream of it gives the work up.
pub trait Model: fmt::Debug + Send + Sync + 'static {
    /// Runs a prompt to its end.
    fn generate(&self, prompt: Prompt) -> BoxFuture<Result<Answer>>;

    /// Runs a prompt and hands the answer out as it grows.
    fn stream(&self, prompt: Prompt) -> BoxFuture<Result<Pieces>>;

    /// Says in short what the prompt says.
    fn summarize(&self, prompt: Prompt) -> BoxFuture<Result<Answer>>;
}

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Names the generation in logs, here and where the model runs.
    pub id: String,
    /// What was said so far, oldest first. The last is what to answer.
    pub turns: Vec<Turn>,
    /// Which model; empty for the default.
    pub model: String,
    /// The most tokens to generate; `None` for as many as it takes.
    pub max_tokens: Option<u32>,
    /// How freely to choose words, from 0 to 2; `None` for the model's default.
    pub temperature: Option<f32>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// One thing said in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// By whom.
    pub role: Role,
    /// What.
    pub text: String,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This service, to the model.
    System,
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// How it ended.
    pub end: End,
}

/// An answer as it grows. The last piece, and no other, has an [`End`].
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Piece>> + Send>>;

/// A part of an answer; put together the parts are the answer, white space included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text. May be empty in the last piece.
    pub text: String,
    /// Set in the last piece.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: FinishReason,
    /// Tokens of prompt and answer together; 0 when the model does not say.
    pub tokens: u32,
}

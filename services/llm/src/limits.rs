//! Every limit of the service: name, unit, value.

use std::{ops::RangeInclusive, time::Duration};

/// The largest prompt, in bytes; also of one message of a conversation.
pub const PROMPT_BYTES: usize = 1024 * 1024;

/// The largest text to summarize, all its pieces together, in bytes.
pub const SUMMARIZE_BYTES: usize = 4 * 1024 * 1024;

/// The longest summary of the local model, in words.
pub const SUMMARY_WORDS: usize = 50;

/// How freely a model may be asked to choose words.
pub const TEMPERATURE: RangeInclusive<f32> = 0.0..=2.0;

/// What is kept of a conversation, in messages of either side.
pub const HISTORY_TURNS: usize = 64;

/// What is kept of a conversation, in bytes; the newest message is always kept.
pub const HISTORY_BYTES: usize = 256 * 1024;

/// How long one generation may take when the call has no deadline of its own.
pub const GENERATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a connection to the endpoint may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer of the endpoint that is taken whole, in bytes.
pub const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The largest event of a streamed answer, in bytes.
pub const EVENT_BYTES: usize = 1024 * 1024;

/// What is read of an answer that reports an error, in bytes.
pub const ERROR_BODY_BYTES: usize = 64 * 1024;

/// What a caller is told of the endpoint's own error message, in characters.
pub const ERROR_TEXT_CHARS: usize = 200;

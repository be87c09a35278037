//! The conversation of `ai_integration_client` and `ai_integration`.

use std::io::{Write, stdout};

use anyhow::{Error, Result};
use schemas::ai::llm::v1::{InferRequest, LlmClient, StreamInferRequest, method};
use subwire::{Bus, Status};

const PROMPT: &str = "Tell me about NATS messaging";

/// Asks the service on `bus`, first for the whole answer and then word by word, and prints both.
///
/// # Errors
/// When nobody answers, with what to do.
pub async fn ask(bus: &Bus) -> Result<()> {
    println!("Connected to {}", bus.describe());
    let llm = LlmClient::new(bus);

    println!("Sending request to {}", method::INFER.subject);
    let request = InferRequest { prompt: PROMPT.to_owned(), ..InferRequest::default() };
    let answer = llm.infer(request).await.map_err(explain)?;
    println!("Generation ID: {}", answer.generation_id);
    println!("Output: {}", answer.output);
    println!("Tokens used: {}", answer.tokens_used);
    // `FINISH_REASON_STOP` is for programs.
    let reason = answer.finish_reason().as_str_name().trim_start_matches("FINISH_REASON_").to_lowercase();
    println!("Finish reason: {reason}");

    println!("Streaming:");
    let request = StreamInferRequest { prompt: PROMPT.to_owned(), ..StreamInferRequest::default() };
    let mut words = llm.stream_infer(request).await?;
    while let Some(piece) = words.message().await? {
        print!("{}", piece.text);
        stdout().flush()?;
    }
    println!();
    Ok(())
}

/// What to do when there is no service.
fn explain(status: Status) -> Error {
    let nobody = status.error_info().is_some_and(|info| info.reason == "NO_RESPONDERS");
    let error = Error::new(status);
    if !nobody {
        return error;
    }
    error.context(format!(
        "no service answers on {}: set NATS_URL here and for `ai_integration_service`, and start that first; \
         or run `ai_integration`, which has service and client in one process",
        method::INFER.subject
    ))
}

//! The service over the local model, as a caller sees it.

use llm_service::{Llm, limits};
use schemas::ai::llm::v1::{
    ChatRequest, FinishReason, InferRequest, LlmClient, LlmServer, StreamInferRequest, SummarizeRequest,
};
use subwire::{Code, Result, Status, Streaming};

fn llm() -> LlmClient {
    LlmClient::new(LlmServer::new(Llm::default()))
}

fn infer(prompt: &str) -> InferRequest {
    InferRequest { prompt: prompt.to_owned(), ..InferRequest::default() }
}

/// Every error of the service says why for programs, once, and which field is to blame.
fn check_refused(status: &Status, code: Code, reason: &str, field: &str) {
    assert_eq!(status.code(), code, "{status}");
    let info = status.error_info().expect("a reason");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "ai.llm.v1"));
    let fields: Vec<_> = status.field_violations().into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, [field]);
}

#[tokio::test]
async fn the_answer_repeats_the_prompt() -> Result<()> {
    let answer = llm().infer(infer("Tell me about NATS messaging")).await?;
    assert_eq!(answer.output, "Response to: Tell me about NATS messaging");
    assert_eq!(answer.tokens_used, 5 + 7);
    assert_eq!(answer.finish_reason(), FinishReason::Stop);
    Ok(())
}

#[tokio::test]
async fn every_generation_has_a_name_of_its_own() -> Result<()> {
    let llm = llm();
    let (one, two) = (llm.infer(infer("x")).await?.generation_id, llm.infer(infer("x")).await?.generation_id);
    assert!(one.starts_with("gen-") && two.starts_with("gen-"), "{one} {two}");
    assert_ne!(one, two);
    Ok(())
}

#[tokio::test]
async fn an_answer_ends_where_its_tokens_do() -> Result<()> {
    for (max_tokens, output, reason) in [
        (1, "Response", FinishReason::Length),
        (3, "Response to: one", FinishReason::Length),
        (4, "Response to: one two", FinishReason::Stop),
        (0, "Response to: one two", FinishReason::Stop),
    ] {
        let answer = llm().infer(InferRequest { max_tokens, ..infer("one two") }).await?;
        assert_eq!((answer.output.as_str(), answer.finish_reason()), (output, reason), "{max_tokens}");
        assert_eq!(answer.tokens_used as usize, 2 + output.split(' ').count());
    }
    Ok(())
}

#[tokio::test]
async fn the_pieces_of_a_stream_are_the_answer_word_by_word() -> Result<()> {
    let request = StreamInferRequest { prompt: "one\n two ".to_owned(), ..StreamInferRequest::default() };
    let mut stream = llm().stream_infer(request).await?;
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await? {
        pieces.push(piece);
    }
    assert_eq!(
        pieces.iter().map(|piece| piece.text.as_str()).collect::<Vec<_>>(),
        ["Response", " to:", " one", "\n two "]
    );
    assert!(pieces.iter().all(|piece| piece.generation_id == pieces[0].generation_id));
    let (last, others) = pieces.split_last().expect("pieces");
    assert_eq!((last.finish_reason(), last.tokens_used), (FinishReason::Stop, 2 + 4));
    assert!(others.iter().all(|piece| (piece.finish_reason(), piece.tokens_used) == (FinishReason::Unspecified, 0)));
    Ok(())
}

#[tokio::test]
async fn a_prompt_that_makes_no_sense_is_refused_by_name() {
    let large = "x".repeat(limits::PROMPT_BYTES + 1);
    let (invalid, exhausted) = (Code::InvalidArgument, Code::ResourceExhausted);
    for (prompt, temperature, code, reason, field) in [
        ("", 1.0, invalid, "EMPTY_FIELD", "prompt"),
        (" \n\t", 1.0, invalid, "EMPTY_FIELD", "prompt"),
        (&large, 1.0, exhausted, "TEXT_TOO_LARGE", "prompt"),
        ("x", -0.1, invalid, "TEMPERATURE_OUT_OF_RANGE", "temperature"),
        ("x", 2.1, invalid, "TEMPERATURE_OUT_OF_RANGE", "temperature"),
        ("x", f32::NAN, invalid, "TEMPERATURE_OUT_OF_RANGE", "temperature"),
    ] {
        let whole = InferRequest { temperature, ..infer(prompt) };
        let status = llm().infer(whole).await.expect_err("refused");
        check_refused(&status, code, reason, field);

        let stream = StreamInferRequest { temperature, prompt: prompt.to_owned(), ..StreamInferRequest::default() };
        let status = llm().stream_infer(stream).await.expect_err("refused");
        check_refused(&status, code, reason, field);
    }
}

fn pieces<const N: usize>(texts: [&str; N]) -> Streaming<SummarizeRequest> {
    texts.map(|text| SummarizeRequest { text: text.to_owned() }).into()
}

#[tokio::test]
async fn a_summary_is_of_the_whole_text_wherever_it_was_cut() -> Result<()> {
    let summary = llm().summarize(pieces(["NATS carries mess", "ages. It is ", "", "fast."])).await?;
    assert_eq!(summary.summary, "NATS carries messages. It is fast.");
    assert_eq!((summary.pieces, summary.words), (4, 6));

    let long = format!("The first sentence. {}", "And another word ".repeat(100));
    let summary = llm().summarize(pieces([&long])).await?;
    assert_eq!((summary.summary.as_str(), summary.words), ("The first sentence.", 303));
    Ok(())
}

#[tokio::test]
async fn a_text_that_is_empty_or_too_large_has_no_summary() {
    let status = llm().summarize(pieces(["", " "])).await.expect_err("refused");
    check_refused(&status, Code::InvalidArgument, "EMPTY_FIELD", "text");

    let piece = "x".repeat(limits::SUMMARIZE_BYTES / 4 + 1);
    let status = llm().summarize(pieces([piece.as_str(); 4])).await.expect_err("refused");
    check_refused(&status, Code::ResourceExhausted, "TEXT_TOO_LARGE", "text");
}

#[tokio::test]
async fn a_conversation_is_answered_message_by_message() -> Result<()> {
    let (say, requests) = Streaming::channel();
    let mut answers = llm().chat(requests).await?;
    for (turn, text) in (1..).zip(["hello", "how are you", "bye"]) {
        say.send(ChatRequest { text: text.to_owned() }).await?;
        let answer = answers.message().await?.expect("an answer");
        assert_eq!((answer.text, answer.turn), (format!("Response to: {text}"), turn));
    }
    drop(say);
    assert_eq!(answers.message().await?, None);
    Ok(())
}

#[tokio::test]
async fn an_empty_message_ends_a_conversation() -> Result<()> {
    let requests = ["hello", ""].map(|text| ChatRequest { text: text.to_owned() });
    let mut answers = llm().chat(requests).await?;
    assert_eq!(answers.message().await?.expect("an answer").turn, 1);
    let status = answers.message().await.expect_err("refused");
    check_refused(&status, Code::InvalidArgument, "EMPTY_FIELD", "text");
    Ok(())
}

//! The service over an OpenAI-compatible endpoint, on real sockets.

mod upstream;

use std::{net::Ipv4Addr, time::Duration};

use llm_service::{Llm, OpenAiModel};
use schemas::ai::llm::v1::{
    ChatRequest, FinishReason, InferRequest, LlmClient, LlmServer, StreamInferRequest, StreamInferResponse,
    SummarizeRequest,
};
use serde_json::json;
use subwire::{Code, Result, Status, Streaming};
use tokio::net::TcpListener;

use self::upstream::{Script, Upstream};

const KEY: &str = "s3cret";

/// What an endpoint answers when all is well.
const ANSWER: &str = r#"{"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0,
    "message": {"role": "assistant", "content": "NATS carries messages."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}}"#;

/// The same as events, with all that may be between them.
const EVENTS: &str = concat!(
    ": OK\n\n",
    "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}, \"finish_reason\": null}]}\n\n",
    "event: message\nid: 1\ndata: {\"choices\": [{\"delta\": {\"content\": \"NATS \"}}],\ndata: \"usage\": null}\n\n",
    "data:{\"choices\":[{\"delta\":{\"content\":\"cärries\"}}]}\r\n\r\n",
    ": still here\r\n",
    "data: {\"choices\": [{\"delta\": {\"content\": \" messages.\u{1f980}\"}}]}\r\n\r\n",
    "data: {\"choices\": [{\"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n",
    "data: {\"choices\": [], \"usage\": {\"total_tokens\": 9}}\n\n",
    "data: [DONE]\n\n",
);

fn client(url: &str) -> LlmClient {
    let model = OpenAiModel::new(url, "tiny", Some(KEY)).expect("settings that make sense");
    assert!(!format!("{model:?}").contains(KEY), "{model:?}");
    LlmClient::new(LlmServer::new(Llm::new(model)))
}

async fn endpoint(script: Script) -> (Upstream, LlmClient) {
    let upstream = Upstream::start(script).await;
    let llm = client(&upstream.url);
    (upstream, llm)
}

fn infer() -> InferRequest {
    InferRequest { prompt: "What is NATS?".to_owned(), temperature: 0.7, ..InferRequest::default() }
}

fn stream_infer() -> StreamInferRequest {
    StreamInferRequest { prompt: "What is NATS?".to_owned(), ..StreamInferRequest::default() }
}

async fn collect(mut stream: Streaming<StreamInferResponse>) -> Result<Vec<StreamInferResponse>> {
    let mut pieces = Vec::new();
    while let Some(piece) = stream.message().await? {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// One reason, of our domain, and never the key.
fn check(status: &Status, code: Code, reason: &str) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.error_info().expect("a reason");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "ai.llm.v1"), "{status:?}");
    assert!(!format!("{status:?}").contains(KEY), "{status:?}");
}

#[tokio::test]
async fn an_answer_comes_whole() -> Result<()> {
    let (mut upstream, llm) = endpoint(Script::whole("200 OK", ANSWER)).await;
    let answer = llm.infer(infer()).await?;
    assert_eq!(answer.output, "NATS carries messages.");
    assert_eq!((answer.tokens_used, answer.finish_reason()), (9, FinishReason::Stop));

    let request = upstream.request().await;
    assert!(request.head.starts_with("post /v1/chat/completions http/1.1"), "{}", request.head);
    let id = format!("x-client-request-id: {}", answer.generation_id);
    for header in ["authorization: bearer s3cret", "content-type: application/json", &id] {
        assert!(request.head.lines().any(|line| line == header), "{header}: {}", request.head);
    }
    let expected = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "What is NATS?"}], "temperature": 0.7, "stream": false
    });
    assert_eq!(request.body.to_string(), expected.to_string());
    Ok(())
}

#[tokio::test]
async fn a_request_says_which_model_and_how_much() -> Result<()> {
    let (mut upstream, llm) = endpoint(Script::whole("200 OK", ANSWER)).await;
    llm.infer(InferRequest { model: "huge".to_owned(), max_tokens: 5, ..infer() }).await?;
    let body = upstream.request().await.body;
    assert_eq!((&body["model"], &body["max_tokens"]), (&json!("huge"), &json!(5)));
    Ok(())
}

#[tokio::test]
async fn an_answer_streams_however_the_network_splits_it() -> Result<()> {
    for size in [1, 2, 3, 7, 64, EVENTS.len()] {
        let (mut upstream, llm) = endpoint(Script::events(EVENTS.as_bytes().chunks(size))).await;
        let pieces = collect(llm.stream_infer(stream_infer()).await?).await?;
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, ["NATS ", "cärries", " messages.\u{1f980}", ""], "pieces of {size}");
        let (last, others) = pieces.split_last().expect("pieces");
        assert_eq!((last.tokens_used, last.finish_reason()), (9, FinishReason::Stop));
        assert!(others.iter().all(|piece| piece.finish_reason() == FinishReason::Unspecified));

        let request = upstream.request().await;
        assert!(request.head.contains("accept: text/event-stream"), "{}", request.head);
        assert_eq!(request.body["stream_options"], json!({"include_usage": true}));
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_may_end_without_saying_so_once_it_has_said_why() -> Result<()> {
    let event = "data: {\"choices\": [{\"delta\": {\"content\": \"cut\"}, \"finish_reason\": \"length\"}]}\n\n";
    let (_upstream, llm) = endpoint(Script::events([event.as_bytes()])).await;
    let pieces = collect(llm.stream_infer(stream_infer()).await?).await?;
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1].finish_reason(), FinishReason::Length);
    Ok(())
}

#[tokio::test]
async fn a_refusal_has_the_code_of_who_can_do_something() {
    let model = InferRequest { model: "none".to_owned(), ..infer() };
    let too_long = r#"{"error": {"message": "too long", "type": "invalid_request_error"}}"#;
    for (request, head, body, code, reason, delay) in [
        (infer(), "429 Too Many Requests\r\nretry-after: 7", "", Code::ResourceExhausted, "MODEL_RATE_LIMIT", Some(7)),
        (infer(), "429 Too Many Requests", "", Code::ResourceExhausted, "MODEL_RATE_LIMIT", None),
        (infer(), "500 Internal Server Error", "<html>", Code::Unavailable, "MODEL_OVERLOADED", None),
        (infer(), "503 Service Unavailable\r\nretry-after: 1", "", Code::Unavailable, "MODEL_OVERLOADED", Some(1)),
        (infer(), "401 Unauthorized", "key s3cret", Code::FailedPrecondition, "MODEL_MISCONFIGURED", None),
        (infer(), "403 Forbidden", "{}", Code::FailedPrecondition, "MODEL_MISCONFIGURED", None),
        (infer(), "404 Not Found", "", Code::FailedPrecondition, "MODEL_MISCONFIGURED", None),
        (infer(), "302 Found\r\nlocation: /", "", Code::FailedPrecondition, "MODEL_MISCONFIGURED", None),
        (model, "404 Not Found", "", Code::NotFound, "UNKNOWN_MODEL", None),
        (infer(), "400 Bad Request", too_long, Code::InvalidArgument, "REFUSED_BY_MODEL", None),
        (infer(), "422 Unprocessable Content", "no", Code::InvalidArgument, "REFUSED_BY_MODEL", None),
    ] {
        let (_upstream, llm) = endpoint(Script::whole(head, body)).await;
        let status = llm.infer(request).await.expect_err("refused");
        check(&status, code, reason);
        assert_eq!(status.retry_delay(), delay.map(Duration::from_secs), "{head}");
        assert_eq!(status.message().contains("too long"), body == too_long, "{status}");

        let status = llm.stream_infer(stream_infer()).await.expect_err("refused");
        assert!(status.code() == code || code == Code::NotFound, "{head}: {status}");
    }
}

#[tokio::test]
async fn a_retry_may_be_asked_for_by_date() {
    let (_upstream, llm) =
        endpoint(Script::whole("429 Too Many Requests\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT", "")).await;
    let status = llm.infer(infer()).await.expect_err("refused");
    assert!(status.retry_delay().is_some_and(|delay| delay > Duration::from_secs(3600)), "{status:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_internal_error() {
    for script in [
        Script::whole("200 OK", "<html>hello</html>"),
        Script::whole("200 OK", r#"{"choices": []}"#),
        Script::whole("200 OK", r#"{"choices": 7}"#),
        Script::raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ] {
        let (_upstream, llm) = endpoint(script.clone()).await;
        check(&llm.infer(infer()).await.expect_err("garbage"), Code::Internal, "MALFORMED_ANSWER");
        // An endpoint that cannot stream answers as if it was not asked to.
        check(&llm.stream_infer(stream_infer()).await.expect_err("garbage"), Code::Internal, "MALFORMED_ANSWER");
    }
    let (_upstream, llm) = endpoint(Script::events([b"data: {\"choices\"\n\n".as_slice()])).await;
    let stream = llm.stream_infer(stream_infer()).await.expect("a stream");
    check(&collect(stream).await.expect_err("garbage"), Code::Internal, "MALFORMED_ANSWER");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_a_clean_end() {
    let begun = EVENTS.split_inclusive("\r\n\r\n").next().expect("events").as_bytes();
    let gives_up = [begun, b"data: {\"error\": {\"message\": \"out of memory\"}}\n\n"];
    for script in [Script::events([begun]), Script::events([begun]).cut(), Script::events(gives_up)] {
        let (_upstream, llm) = endpoint(script).await;
        let mut stream = llm.stream_infer(stream_infer()).await.expect("a stream");
        assert_eq!(stream.message().await.expect("a piece").map(|piece| piece.text).as_deref(), Some("NATS "));
        check(&collect(stream).await.expect_err("broken off"), Code::Unavailable, "ANSWER_BROKE_OFF");
    }
    let (_upstream, llm) = endpoint(Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")).await;
    check(&llm.infer(infer()).await.expect_err("broken off"), Code::Unavailable, "ANSWER_BROKE_OFF");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    for scheme in ["http", "https"] {
        let llm = client(&format!("{scheme}://{address}"));
        check(&llm.infer(infer()).await.expect_err("nobody"), Code::Unavailable, "MODEL_UNREACHABLE");
    }
}

#[tokio::test]
async fn an_endpoint_without_tls_gets_no_key_over_https() {
    let (upstream, _) = endpoint(Script::whole("200 OK", ANSWER)).await;
    let llm = client(&upstream.url.replace("http", "https"));
    check(&llm.infer(infer()).await.expect_err("no TLS"), Code::Unavailable, "MODEL_UNREACHABLE");
}

#[tokio::test]
async fn a_silent_endpoint_has_what_is_left_of_the_call() {
    let short = Duration::from_millis(500);
    let (_upstream, llm) = endpoint(Script::whole("200 OK", ANSWER).hanging()).await;
    let status = llm.infer(infer()).timeout(short).await.expect_err("too late");
    check(&status, Code::DeadlineExceeded, "MODEL_TIMEOUT");

    let begun = EVENTS.split_inclusive("\r\n\r\n").next().expect("events").as_bytes();
    let (_upstream, llm) = endpoint(Script::events([begun]).hanging()).await;
    let stream = llm.stream_infer(stream_infer()).timeout(short).await.expect("a stream");
    let status = collect(stream).await.expect_err("too late");
    check(&status, Code::DeadlineExceeded, "MODEL_TIMEOUT");
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_generation() -> Result<()> {
    let begun = EVENTS.split_inclusive("\r\n\r\n").next().expect("events").as_bytes();
    let (mut upstream, llm) = endpoint(Script::events([begun]).hanging()).await;
    let mut stream = llm.stream_infer(stream_infer()).await?;
    stream.message().await?;
    drop(stream);
    upstream.left().await;
    Ok(())
}

#[tokio::test]
async fn a_conversation_is_sent_with_what_was_said_before() -> Result<()> {
    let (mut upstream, llm) = endpoint(Script::whole("200 OK", ANSWER)).await;
    let requests = ["What is NATS?", "And then?"].map(|text| ChatRequest { text: text.to_owned() });
    let mut answers = llm.chat(requests).await?;
    while let Some(answer) = answers.message().await? {
        assert_eq!(answer.text, "NATS carries messages.");
    }
    assert_eq!(upstream.request().await.body["messages"].as_array().map(Vec::len), Some(1));
    let expected = json!([
        {"role": "user", "content": "What is NATS?"},
        {"role": "assistant", "content": "NATS carries messages."},
        {"role": "user", "content": "And then?"},
    ]);
    assert_eq!(upstream.request().await.body["messages"], expected);
    Ok(())
}

#[tokio::test]
async fn a_summary_is_asked_for() -> Result<()> {
    let (mut upstream, llm) = endpoint(Script::whole("200 OK", ANSWER)).await;
    let text = [SummarizeRequest { text: "A long text.".to_owned() }];
    assert_eq!(llm.summarize(text).await?.summary, "NATS carries messages.");
    let messages = &upstream.request().await.body["messages"];
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(messages[1], json!({"role": "user", "content": "A long text."}));
    Ok(())
}

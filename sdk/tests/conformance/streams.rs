//! Streams: order, end, failure, flow control, cancellation.

use std::time::Duration;

use bytes::Bytes;
use schemas::testing::echo::v1::{CountRequest, SumRequest, TalkRequest};
use subwire::{Code, Streaming};
use tokio::time::timeout;

use crate::{cases, fixture::Fixture};

cases!(
    a_stream_brings_all_and_ends,
    an_empty_stream_ends,
    a_million_messages_keep_their_order,
    a_failure_comes_after_the_messages_before_it,
    a_failure_before_the_first_message_fails_the_call,
    a_panic_ends_the_stream,
    metadata_comes_before_and_trailers_after,
    a_slow_reader_stops_its_sender,
    dropping_a_stream_drops_its_handler,
    requests_are_added_up,
    no_request_at_all_is_an_empty_stream,
    a_hundred_thousand_requests_arrive,
    a_handler_that_stops_reading_ends_the_call,
    a_conversation_goes_back_and_forth,
    half_a_conversation_may_end_first,
    a_conversation_fails_with_its_reason,
    dropping_the_responses_drops_the_handler,
    many_streams_share_a_connection,
);

fn messages(messages: u64) -> CountRequest {
    CountRequest { messages, ..CountRequest::default() }
}

async fn a_stream_brings_all_and_ends(fixture: &Fixture) {
    let mut numbers = fixture.echo.count(messages(10)).await.expect("a stream");
    for n in 0..10 {
        assert_eq!(numbers.message().await.expect("no failure").map(|message| message.n), Some(n));
    }
    assert!(numbers.message().await.expect("the end").is_none());
    assert!(numbers.message().await.expect("still the end").is_none());
}

async fn an_empty_stream_ends(fixture: &Fixture) {
    let mut numbers = fixture.echo.count(messages(0)).await.expect("a stream");
    assert!(numbers.message().await.expect("the end").is_none());
}

async fn a_million_messages_keep_their_order(fixture: &Fixture) {
    const MESSAGES: u64 = 1_000_000;
    let mut numbers = fixture.echo.count(messages(MESSAGES)).await.expect("a stream");
    let mut next = 0;
    while let Some(message) = numbers.message().await.expect("no failure") {
        assert_eq!(message.n, next);
        next += 1;
    }
    assert_eq!(next, MESSAGES);
}

async fn a_failure_comes_after_the_messages_before_it(fixture: &Fixture) {
    let request = CountRequest { fail_with: Code::DataLoss.number(), ..messages(5) };
    let mut numbers = fixture.echo.count(request).await.expect("a stream");
    for n in 0..5 {
        assert_eq!(numbers.message().await.expect("no failure yet").map(|message| message.n), Some(n));
    }
    let status = numbers.message().await.expect_err("the failure");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "after the last"));
    assert_eq!(status.error_info().map(|info| info.reason).as_deref(), Some("TOLD_TO"));
    assert_eq!(status.metadata().get("cause"), Some("told to \u{1f980}"));
    assert!(numbers.message().await.expect("the end").is_none());
}

async fn a_failure_before_the_first_message_fails_the_call(fixture: &Fixture) {
    let request = CountRequest { fail_with: Code::NotFound.number(), ..messages(0) };
    let status = fixture.echo.count(request).await.expect_err("the failure");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "at once"));
}

async fn a_panic_ends_the_stream(fixture: &Fixture) {
    let mut numbers = fixture.echo.count(CountRequest { panic: true, ..messages(2) }).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    assert!(numbers.message().await.expect("a message").is_some());
    assert_eq!(numbers.message().await.expect_err("the panic").code(), Code::Internal);
}

async fn metadata_comes_before_and_trailers_after(fixture: &Fixture) {
    let mut numbers = fixture.echo.count(messages(2)).await.expect("a stream");
    assert_eq!(numbers.metadata().get("counting"), Some("up"));
    assert!(numbers.trailers().is_empty());
    while numbers.message().await.expect("no failure").is_some() {}
    assert_eq!(numbers.metadata().get("counting"), Some("up"));
    assert_eq!(numbers.trailers().get("counted"), Some("2"));
}

async fn a_slow_reader_stops_its_sender(fixture: &Fixture) {
    const SENT: usize = 100_000;
    let request = CountRequest { payload_bytes: 1024, ..messages(SENT as u64) };
    let mut numbers = fixture.echo.count(request).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    // Nobody reads. Other calls go on, and once those sent later are answered the sender has had
    // every chance to run ahead.
    let mut produced = 0;
    for _ in 0..200 {
        fixture.echo.echo(Default::default()).await.expect("an answer");
        produced = fixture.watch.produced.get();
    }
    assert!(produced < 4_000, "a window is 1 MiB for a slow reader, and the sender is at {produced} KiB");
    let mut seen = 1;
    while numbers.message().await.expect("no failure").is_some() {
        seen += 1;
    }
    assert_eq!(seen, SENT);
}

async fn dropping_a_stream_drops_its_handler(fixture: &Fixture) {
    let mut numbers = fixture.echo.count(CountRequest { hang: true, ..messages(3) }).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    assert_eq!(fixture.watch.running.get(), 1);
    drop(numbers);
    fixture.watch.running.becomes(0, "the handler is dropped").await;
    fixture.watch.cancelled.becomes(1, "its context says so").await;
}

fn numbers(count: u64, payload: usize) -> Streaming<SumRequest> {
    let payload = Bytes::from(vec![1; payload]);
    Streaming::from_iter((1..=count).map(move |n| SumRequest { n, payload: payload.clone() }))
}

async fn requests_are_added_up(fixture: &Fixture) {
    let response = fixture.echo.sum(numbers(10, 0)).response().await.expect("a sum");
    assert_eq!((response.message.sum, response.message.messages), (55, 10));
    assert_eq!(response.trailers.get("summed"), Some("10"));
}

async fn no_request_at_all_is_an_empty_stream(fixture: &Fixture) {
    let answer = fixture.echo.sum(Vec::new()).await.expect("a sum");
    assert_eq!((answer.sum, answer.messages), (0, 0));
}

async fn a_hundred_thousand_requests_arrive(fixture: &Fixture) {
    let answer = fixture.echo.sum(numbers(100_000, 100)).await.expect("a sum");
    assert_eq!((answer.sum, answer.messages, answer.payload_bytes), (5_000_050_000, 100_000, 10_000_000));
}

async fn a_handler_that_stops_reading_ends_the_call(fixture: &Fixture) {
    let requests = Streaming::produce(async move |requests| {
        requests.send(TalkRequest { fail_with: Code::OutOfRange.number(), ..TalkRequest::default() }).await?;
        std::future::pending::<()>().await;
        Ok(())
    });
    let mut answers = match fixture.echo.talk(requests).await {
        Ok(answers) => answers,
        Err(status) => return assert_eq!(status.code(), Code::OutOfRange),
    };
    assert_eq!(answers.message().await.expect_err("the failure").code(), Code::OutOfRange);
}

async fn a_conversation_goes_back_and_forth(fixture: &Fixture) {
    let (said, requests) = Streaming::channel();
    let mut answers = fixture.echo.talk(requests).await.expect("a conversation");
    for n in 0..100 {
        said.send(TalkRequest { text: n.to_string(), ..TalkRequest::default() }).await.expect("somebody listens");
        let answer = answers.message().await.expect("no failure").expect("an answer");
        assert_eq!(answer.text, n.to_string());
    }
    drop(said);
    assert!(answers.message().await.expect("the end").is_none());
}

async fn half_a_conversation_may_end_first(fixture: &Fixture) {
    let requests =
        Streaming::from_iter((0..1000).map(|n| TalkRequest { text: n.to_string(), ..TalkRequest::default() }));
    let mut answers = fixture.echo.talk(requests).await.expect("a conversation");
    let mut seen = 0;
    while let Some(answer) = answers.message().await.expect("no failure") {
        assert_eq!(answer.text, seen.to_string());
        seen += 1;
    }
    assert_eq!(seen, 1000);
}

async fn a_conversation_fails_with_its_reason(fixture: &Fixture) {
    let requests = Streaming::from_iter((0..10).map(|n| TalkRequest {
        text: "five".to_owned(),
        fail_with: if n == 5 { Code::FailedPrecondition.number() } else { 0 },
    }));
    let mut answers = fixture.echo.talk(requests).await.expect("a conversation");
    for _ in 0..5 {
        assert!(answers.message().await.expect("an answer").is_some());
    }
    let status = answers.message().await.expect_err("the failure");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "five"));
}

async fn dropping_the_responses_drops_the_handler(fixture: &Fixture) {
    let (said, requests) = Streaming::channel();
    let mut answers = fixture.echo.talk(requests).await.expect("a conversation");
    said.send(TalkRequest::default()).await.expect("somebody listens");
    assert!(answers.message().await.expect("an answer").is_some());
    drop(answers);
    fixture.watch.running.becomes(0, "the handler is dropped").await;
    let learns = async { while said.send(TalkRequest::default()).await.is_ok() {} };
    assert!(timeout(Duration::from_secs(10), learns).await.is_ok(), "within 10 s: the sender learns of it");
    assert!(said.is_closed());
}

async fn many_streams_share_a_connection(fixture: &Fixture) {
    let streams = (0..100).map(|_| async {
        let mut numbers = fixture.echo.count(messages(1000)).await.expect("a stream");
        let mut next = 0;
        while let Some(message) = numbers.message().await.expect("no failure") {
            assert_eq!(message.n, next);
            next += 1;
        }
        assert_eq!(next, 1000);
    });
    futures_util::future::join_all(streams).await;
    fixture.watch.running.becomes(0, "no handler is left").await;
}

//! Deadlines: which one counts, what a handler sees of it, and what happens at it.

use std::time::{Duration, Instant};

use schemas::testing::echo::v1::*;
use subwire::{Channel, Code, Context, Result, Status, Streaming};

use crate::{cases, fixture::Fixture};

cases!(
    a_unary_call_has_ten_seconds,
    the_call_decides_before_the_channel_and_the_schema,
    a_handler_is_dropped_at_the_deadline,
    the_timeout_of_the_schema_counts,
    a_timeout_of_zero_never_starts,
    a_stream_has_a_deadline_only_when_asked,
    a_stream_ends_at_its_deadline,
    a_stream_that_always_has_more_ends_at_its_deadline,
    a_call_within_another_has_no_more_than_is_left,
);

async fn remaining(echo: &EchoClient, timeout: Option<Duration>) -> u64 {
    let call = echo.echo(EchoRequest::default());
    let call = match timeout {
        Some(timeout) => call.timeout(timeout),
        None => call,
    };
    call.await.expect("an answer").remaining_ms
}

async fn a_unary_call_has_ten_seconds(fixture: &Fixture) {
    let remaining = remaining(&fixture.echo, None).await;
    assert!((5_000..=10_000).contains(&remaining), "{remaining}");
}

async fn the_call_decides_before_the_channel_and_the_schema(fixture: &Fixture) {
    let channel = Channel::builder(fixture.channel.clone()).timeout(Duration::from_secs(60)).build();
    let echo = EchoClient::new(channel);
    let of_channel = remaining(&echo, None).await;
    assert!((50_000..=60_000).contains(&of_channel), "{of_channel}");
    let of_call = remaining(&echo, Some(Duration::from_secs(600))).await;
    assert!((500_000..=600_000).contains(&of_call), "{of_call}");
}

async fn a_handler_is_dropped_at_the_deadline(fixture: &Fixture) {
    let endless = EchoRequest { hang: true, ..EchoRequest::default() };
    let status = fixture.echo.echo(endless).timeout(Duration::from_millis(200)).await.expect_err("too slow");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    fixture.watch.running.becomes(0, "the handler is dropped").await;
    fixture.watch.cancelled.becomes(1, "its context says so").await;
}

async fn the_timeout_of_the_schema_counts(fixture: &Fixture) {
    let started = Instant::now();
    let status = fixture
        .echo
        .echo_soon(EchoSoonRequest { hang: true, ..EchoSoonRequest::default() })
        .await
        .expect_err("too slow");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() >= Duration::from_millis(200));
    fixture
        .echo
        .echo_soon(EchoSoonRequest { delay_ms: 400, ..EchoSoonRequest::default() })
        .timeout(Duration::from_secs(60))
        .await
        .expect("a call may say otherwise");
}

async fn a_timeout_of_zero_never_starts(fixture: &Fixture) {
    let status = fixture.echo.echo(EchoRequest::default()).timeout(Duration::ZERO).await.expect_err("no time");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(fixture.watch.started.get(), 0);
}

async fn a_stream_has_a_deadline_only_when_asked(fixture: &Fixture) {
    let channel = Channel::builder(fixture.channel.clone()).build();
    let mut numbers = EchoClient::new(channel)
        .count(CountRequest { messages: 3, delay_ms: 100, ..CountRequest::default() })
        .await
        .expect("a stream");
    let mut seen = 0;
    while numbers.message().await.expect("no failure").is_some() {
        seen += 1;
    }
    assert_eq!(seen, 3);
}

async fn a_stream_ends_at_its_deadline(fixture: &Fixture) {
    let request = CountRequest { messages: 1, hang: true, ..CountRequest::default() };
    let mut numbers = fixture.echo.count(request).timeout(Duration::from_millis(300)).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    assert_eq!(numbers.message().await.expect_err("the deadline").code(), Code::DeadlineExceeded);
    assert!(numbers.message().await.expect("the end").is_none());
    fixture.watch.running.becomes(0, "the handler is dropped").await;
}

async fn a_stream_that_always_has_more_ends_at_its_deadline(fixture: &Fixture) {
    let request = CountRequest { messages: u64::MAX, ..CountRequest::default() };
    let mut numbers = fixture.echo.count(request).timeout(Duration::from_millis(300)).await.expect("a stream");
    let read = async {
        loop {
            match numbers.message().await {
                Ok(number) => assert!(number.is_some(), "it has no end"),
                Err(status) => break status,
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), read).await.expect("it ends");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

/// Answers by asking another: with the whole of its own timeout, if it could.
struct Relay(EchoClient);

impl EchoService for Relay {
    async fn echo(&self, cx: Context, request: EchoRequest) -> Result<EchoResponse> {
        self.0.echo(request).timeout(Duration::from_secs(600)).within(&cx).await
    }

    async fn echo_soon(&self, _: Context, _: EchoSoonRequest) -> Result<EchoSoonResponse> {
        Err(Status::unimplemented("not relayed"))
    }

    async fn count(&self, cx: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        self.0.count(request).within(&cx).await
    }

    async fn sum(&self, cx: Context, requests: Streaming<SumRequest>) -> Result<SumResponse> {
        self.0.sum(requests).within(&cx).await
    }

    async fn talk(&self, cx: Context, requests: Streaming<TalkRequest>) -> Result<Streaming<TalkResponse>> {
        self.0.talk(requests).within(&cx).await
    }
}

async fn a_call_within_another_has_no_more_than_is_left(fixture: &Fixture) {
    let relay = EchoClient::new(EchoServer::new(Relay(fixture.echo.clone())));
    let left = remaining(&relay, Some(Duration::from_secs(30))).await;
    assert!((20_000..30_000).contains(&left), "{left}");
    let endless = EchoRequest { hang: true, ..EchoRequest::default() };
    let status = relay.echo(endless).timeout(Duration::from_millis(200)).await.expect_err("too slow");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    fixture.watch.running.becomes(0, "the handler behind is dropped").await;
    // A stream of streams goes through, its requests too.
    let sum = relay.sum((1..=100).map(|n| SumRequest { n, ..SumRequest::default() }).collect::<Vec<_>>()).await;
    assert_eq!(sum.expect("a sum").sum, 5050);
    let request = CountRequest { messages: 1, hang: true, ..CountRequest::default() };
    let mut numbers = relay.count(request).timeout(Duration::from_millis(300)).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    assert_eq!(numbers.message().await.expect_err("the deadline").code(), Code::DeadlineExceeded);
}

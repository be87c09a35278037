//! Unary calls: messages, statuses, metadata, many at a time.

use std::future::IntoFuture;

use bytes::Bytes;
use futures_util::future::join_all;
use schemas::testing::echo::v1::EchoRequest;
use subwire::{Code, Executed};

use crate::{cases, fixture::Fixture};

cases!(
    a_call_gets_its_answer,
    an_empty_message_is_a_message,
    every_code_arrives_with_its_details,
    any_text_arrives_byte_for_byte,
    metadata_goes_both_ways,
    illegal_metadata_is_refused,
    a_panic_fails_one_call,
    a_thousand_calls_at_once_get_their_own_answers,
    dropping_a_call_cancels_its_handler,
);

fn text(text: &str) -> EchoRequest {
    EchoRequest { text: text.to_owned(), ..EchoRequest::default() }
}

async fn a_call_gets_its_answer(fixture: &Fixture) {
    let payload = Bytes::from_static(&[0, 1, 255]);
    let request = EchoRequest { payload: payload.clone(), ..text("hello \u{1f980}") };
    let answer = fixture.echo.echo(request).await.expect("an answer");
    assert_eq!((answer.text.as_str(), answer.payload), ("hello \u{1f980}", payload));
}

async fn an_empty_message_is_a_message(fixture: &Fixture) {
    let answer = fixture.echo.echo(EchoRequest::default()).await.expect("an answer");
    assert_eq!(answer.text, "");
}

async fn every_code_arrives_with_its_details(fixture: &Fixture) {
    for code in Code::ALL.into_iter().filter(|code| *code != Code::Ok) {
        let request = EchoRequest { fail_with: code.number(), ..text("went wrong") };
        let status = fixture.echo.echo(request).await.expect_err("the failure");
        assert_eq!((status.code(), status.message()), (code, "went wrong"));
        let info = status.error_info().expect("an ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("TOLD_TO", "echo"));
        assert_eq!(status.field_violations()[0].field, "fail_with");
        assert_eq!(status.metadata().get("cause"), Some("told to \u{1f980}"));
    }
}

async fn any_text_arrives_byte_for_byte(fixture: &Fixture) {
    let long = "é".repeat(20_000);
    for said in ["", " ", "tab\tand\r\nCR LF\n", "\u{1f980} emoji", "%41 100% %", "a: b\r\n\r\nPUB x 0", "\u{0}", &long]
    {
        let request = EchoRequest { fail_with: Code::Aborted.number(), ..text(said) };
        let status = fixture.echo.echo(request).await.expect_err("the failure");
        assert_eq!((status.code(), status.message()), (Code::Aborted, said));
    }
}

async fn metadata_goes_both_ways(fixture: &Fixture) {
    let call = fixture.echo.echo(text("x")).metadata("Tenant", " äcme\r\n% ").metadata_bin("raw-bin", vec![0, 255]);
    let response = call.response().await.expect("an answer");
    assert_eq!(response.message.text, "x");
    assert_eq!(response.metadata.get("seen-tenant"), Some(" äcme\r\n% "));
    assert_eq!(response.trailers.get("cost"), Some("3 %"));
}

async fn illegal_metadata_is_refused(fixture: &Fixture) {
    for name in ["nats-msg-id", "a b", "x\r\ny", "subwire-timeout", ""] {
        let status = fixture.echo.echo(text("x")).metadata(name, "v").await.expect_err(name);
        assert_eq!((status.code(), status.executed()), (Code::InvalidArgument, Executed::No), "{name:?}");
    }
    assert_eq!(fixture.watch.started.get(), 0);
}

async fn a_panic_fails_one_call(fixture: &Fixture) {
    let (one, other) = tokio::join!(
        fixture.echo.echo(EchoRequest { panic: true, ..text("x") }).into_future(),
        fixture.echo.echo(EchoRequest { delay_ms: 50, ..text("y") }).into_future(),
    );
    assert_eq!(one.expect_err("the panic").code(), Code::Internal);
    assert_eq!(other.expect("an answer").text, "y");
    assert_eq!(fixture.echo.echo(text("z")).await.expect("an answer").text, "z");
}

async fn a_thousand_calls_at_once_get_their_own_answers(fixture: &Fixture) {
    let calls = (0..1000).map(|n| {
        let request = EchoRequest { delay_ms: n % 7, ..text(&n.to_string()) };
        async move { (n, fixture.echo.echo(request).await) }
    });
    for (n, answer) in join_all(calls).await {
        assert_eq!(answer.expect("an answer").text, n.to_string());
    }
    fixture.watch.running.becomes(0, "no handler is left").await;
}

async fn dropping_a_call_cancels_its_handler(fixture: &Fixture) {
    let endless = EchoRequest { hang: true, ..text("x") };
    let call = tokio::spawn(fixture.echo.echo(endless).timeout(std::time::Duration::from_secs(120)).into_future());
    fixture.watch.running.becomes(1, "the handler starts").await;
    call.abort();
    fixture.watch.running.becomes(0, "the handler is dropped").await;
    fixture.watch.cancelled.becomes(1, "its context says so").await;
}

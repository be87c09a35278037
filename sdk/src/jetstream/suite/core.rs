//! Streams, and those who only publish and subscribe.

use bytes::Bytes;

use super::fixture::{Fixture, message, subject, text};
use crate::{bus::Message, jetstream::StreamSpec};

on_both! {
    a_bare_message_is_stored_too,
    a_request_is_answered_with_the_place,
    a_request_is_answered_with_the_refusal,
    what_is_stored_is_heard_too,
    what_is_refused_is_heard_all_the_same,
}

async fn ask(fixture: &Fixture, message: Message) -> serde_json::Value {
    let inbox = subject("_INBOX.core.answer");
    let mut answers = fixture.bus.listen(inbox.clone(), None).await.expect("it listens");
    fixture.bus.publish(message.with_reply(inbox)).await.expect("it is sent");
    let answer = answers.next().await.expect("an answer");
    serde_json::from_slice(&answer.payload).expect("JSON")
}

async fn a_bare_message_is_stored_too(fixture: Fixture) {
    fixture.plain().await;
    fixture.bus.publish(message("s.a", "bare")).await.expect("it is sent");
    fixture.becomes("S", (1, 1, 1)).await;
}

async fn a_request_is_answered_with_the_place(fixture: Fixture) {
    fixture.plain().await;
    let answer = ask(&fixture, message("s.a", "").with_header("Nats-Msg-Id", "1")).await;
    assert_eq!(answer, serde_json::json!({"stream": "S", "seq": 1}));
    let answer = ask(&fixture, message("s.a", "").with_header("Nats-Msg-Id", "1")).await;
    assert_eq!(answer, serde_json::json!({"stream": "S", "seq": 1, "duplicate": true}));
}

async fn a_request_is_answered_with_the_refusal(fixture: Fixture) {
    fixture.plain().await;
    let answer = ask(&fixture, message("s.a", "").with_header("Nats-Expected-Last-Sequence", "7")).await;
    let error = serde_json::json!({"code": 400, "err_code": 10071, "description": "wrong last sequence: 0"});
    assert_eq!(answer["error"], error);
    assert_eq!(answer["stream"], "S");
}

async fn what_is_stored_is_heard_too(fixture: Fixture) {
    fixture.stream(&StreamSpec::new("S", ["s.*"])).await;
    let mut heard = fixture.bus.listen(subject("s.a"), None).await.expect("it listens");
    fixture.put_all(&["s.a", "s.b"]).await;
    fixture.bus.publish(Message::new(subject("s.a"), Bytes::from_static(b"two"))).await.expect("it is sent");
    fixture.put("s.a", "three").await;
    for expected in ["s.a", "two", "three"] {
        assert_eq!(text(&heard.next().await.expect("it is heard")), expected);
    }
    assert_eq!(fixture.state("S").await, (4, 1, 4));
}

async fn what_is_refused_is_heard_all_the_same(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_message_bytes: Some(3), ..StreamSpec::new("S", ["s.*"]) }).await;
    let mut heard = fixture.bus.listen(subject("s.a"), None).await.expect("it listens");
    fixture.publish(message("s.a", "large")).await.expect_err("it is too large");
    assert_eq!(text(&heard.next().await.expect("it is heard")), "large");
}

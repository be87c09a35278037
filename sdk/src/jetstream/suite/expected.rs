//! Messages that are stored only if nobody was there before.

use super::fixture::{Fixture, asking, kind, refusal};
use crate::{Code, reason};

const SEQUENCE: &str = "Nats-Expected-Last-Sequence";
const SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
const SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

on_both! {
    the_last_place_of_the_stream,
    the_last_place_of_the_subject,
    the_last_place_of_another_subject,
    the_last_place_of_a_subject_whose_last_message_is_gone,
    the_last_id,
    the_stream,
    what_is_no_number_is_never_right,
}

async fn the_last_place_of_the_stream(fixture: Fixture) {
    fixture.plain().await;
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    assert_eq!(kind(fixture.publish(asking("s.a", SEQUENCE, "1")).await), wrong);
    fixture.publish(asking("s.a", SEQUENCE, "0")).await.expect("the stream is empty");
    fixture.publish(asking("s.b", SEQUENCE, "1")).await.expect("it has one");
    assert_eq!(kind(fixture.publish(asking("s.b", SEQUENCE, "1")).await), wrong);
    fixture.streams.delete_message("S", 2).await.expect("it is deleted");
    fixture.publish(asking("s.b", SEQUENCE, "2")).await.expect("a place stays a place");
}

async fn the_last_place_of_the_subject(fixture: Fixture) {
    fixture.plain().await;
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    fixture.put("s.b", "").await;
    fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "0")).await.expect("it is the first");
    assert_eq!(kind(fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "0")).await), wrong);
    fixture.put("s.b", "").await;
    fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "2")).await.expect("only its own subject counts");
}

async fn the_last_place_of_another_subject(fixture: Fixture) {
    fixture.plain().await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let of = |subject, sequence| asking("s.c", SUBJECT_SEQUENCE, sequence).with_header(SUBJECT, subject);
    fixture.publish(of("s.a", "1")).await.expect("that is its last");
    fixture.publish(of("s.*", "3")).await.expect("a pattern means the last of all");
    fixture.publish(of("s.z", "0")).await.expect("it has none");
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    assert_eq!(kind(fixture.publish(of("s.b", "1")).await), wrong);
    let alone = kind(fixture.publish(asking("s.c", SUBJECT, "s.a")).await);
    assert_eq!(alone, refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM));
}

async fn the_last_place_of_a_subject_whose_last_message_is_gone(fixture: Fixture) {
    fixture.plain().await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.a"]).await;
    fixture.streams.delete_message("S", 4).await.expect("it is deleted");
    fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "3")).await.expect("that is its last now");
    for place in [1, 3, 5] {
        fixture.streams.delete_message("S", place).await.expect("it is deleted");
    }
    fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "0")).await.expect("it has none");
}

async fn the_last_id(fixture: Fixture) {
    fixture.plain().await;
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    let expecting = |id| asking("s.a", "Nats-Expected-Last-Msg-Id", id);
    assert_eq!(kind(fixture.publish(expecting("1")).await), wrong);
    fixture.publish(asking("s.a", "Nats-Msg-Id", "1")).await.expect("it is stored");
    fixture.publish(expecting("1")).await.expect("that is the last");
    // That one had none.
    assert_eq!(kind(fixture.publish(expecting("1")).await), wrong);
}

async fn the_stream(fixture: Fixture) {
    fixture.plain().await;
    let expecting = |stream| asking("s.a", "Nats-Expected-Stream", stream);
    fixture.publish(expecting("S")).await.expect("that is it");
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.publish(expecting("T")).await), refused);
}

async fn what_is_no_number_is_never_right(fixture: Fixture) {
    fixture.plain().await;
    fixture.put("s.a", "").await;
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    assert_eq!(kind(fixture.publish(asking("s.a", SEQUENCE, "one")).await), wrong);
    assert_eq!(kind(fixture.publish(asking("s.a", SUBJECT_SEQUENCE, "one")).await), wrong);
}

//! Several messages as one: all or none.

use super::fixture::{Fixture, asking, kind, message, refusal};
use crate::{
    Code, Result,
    bus::Message,
    jetstream::{Discard, PublishAck, StreamSpec},
    reason,
};

on_both! {
    all_are_stored,
    none_is_stored_where_the_stream_does_not_allow_it,
    none_is_stored_when_one_is_a_duplicate,
    the_first_may_expect_a_place_of_the_stream,
    each_may_expect_a_place_of_its_subject,
    none_is_stored_when_there_is_no_room_for_all,
    none_is_stored_when_one_is_refused,
    one_stream_stores_all,
    replacing_comes_first,
    a_batch_has_a_size,
}

fn spec() -> StreamSpec {
    StreamSpec {
        allow_atomic_publish: true,
        allow_rollup: true,
        allow_message_ttl: true,
        ..StreamSpec::new("S", ["s.>"])
    }
}

async fn publish(fixture: &Fixture, messages: impl IntoIterator<Item = Message>) -> Result<PublishAck> {
    fixture.streams.publish_batch(messages.into_iter().collect()).await
}

async fn all_are_stored(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put("s.a", "").await;
    let ack = publish(&fixture, ["s.a", "s.b", "s.c"].map(|to| message(to, ""))).await.expect("they are stored");
    assert_eq!((&*ack.stream, ack.sequence, ack.duplicate), ("S", 4, false));
    assert_eq!(fixture.state("S").await, (4, 1, 4));
    assert_eq!(publish(&fixture, [message("s.a", "")]).await.expect("it is stored").sequence, 5);
}

async fn none_is_stored_where_the_stream_does_not_allow_it(fixture: Fixture) {
    fixture.plain().await;
    let refused = refusal(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(publish(&fixture, ["s.a", "s.b"].map(|to| message(to, ""))).await), refused);
    assert_eq!(fixture.state("S").await.0, 0);
}

async fn none_is_stored_when_one_is_a_duplicate(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let ids = |ids: [&str; 2]| ids.map(|id| asking("s.a", "Nats-Msg-Id", id));
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    publish(&fixture, ids(["1", "2"])).await.expect("they are stored");
    assert_eq!(kind(publish(&fixture, ids(["3", "3"])).await), refused);
    assert_eq!(kind(publish(&fixture, ids(["4", "1"])).await), refused);
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    assert!(!fixture.publish(asking("s.a", "Nats-Msg-Id", "4")).await.expect("it is stored").duplicate);
    assert!(fixture.publish(asking("s.a", "Nats-Msg-Id", "2")).await.expect("it is known").duplicate);
    let last_id = [asking("s.a", "Nats-Expected-Last-Msg-Id", "4"), message("s.a", "")];
    assert_eq!(kind(publish(&fixture, last_id).await), refused);
}

async fn the_first_may_expect_a_place_of_the_stream(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let expecting = |place| asking("s.a", "Nats-Expected-Last-Sequence", place);
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    publish(&fixture, [expecting("0"), message("s.b", "")]).await.expect("they are stored");
    assert_eq!(kind(publish(&fixture, [expecting("1"), message("s.b", "")]).await), wrong);
    assert_eq!(kind(publish(&fixture, [message("s.b", ""), expecting("3")]).await), wrong);
    assert_eq!(fixture.state("S").await, (2, 1, 2));
}

async fn each_may_expect_a_place_of_its_subject(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let expecting = |subject, place| asking(subject, "Nats-Expected-Last-Subject-Sequence", place);
    let wrong = refusal(Code::Aborted, reason::WRONG_SEQUENCE);
    publish(&fixture, [expecting("s.a", "0"), expecting("s.b", "0")]).await.expect("they are stored");
    publish(&fixture, [expecting("s.a", "1"), expecting("s.b", "2")]).await.expect("they are stored");
    assert_eq!(kind(publish(&fixture, [expecting("s.a", "3"), expecting("s.b", "2")]).await), wrong);
    assert_eq!(kind(publish(&fixture, [expecting("s.c", "0"), expecting("s.c", "0")]).await), wrong);
    assert_eq!(kind(publish(&fixture, [message("s.d", ""), expecting("s.d", "0")]).await), wrong);
    assert_eq!(kind(publish(&fixture, [message("s.d", ""), expecting("s.d", "5")]).await), wrong);
    assert_eq!(fixture.state("S").await, (4, 1, 4));
}

async fn none_is_stored_when_there_is_no_room_for_all(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_messages: Some(3), discard: Discard::New, ..spec() }).await;
    let full = refusal(Code::ResourceExhausted, reason::STREAM_FULL);
    let some = |count| (0..count).map(|_| message("s.a", ""));
    assert_eq!(kind(publish(&fixture, some(4)).await), full);
    assert_eq!(fixture.state("S").await, (0, 0, 0));
    publish(&fixture, some(3)).await.expect("they are stored");
    assert_eq!(kind(publish(&fixture, some(1)).await), full);
    let each = StreamSpec {
        name: "E".into(),
        subjects: vec!["e.>".into()].into(),
        max_messages_per_subject: Some(1),
        discard: Discard::New,
        discard_new_per_subject: true,
        ..spec()
    };
    fixture.stream(&each).await;
    assert_eq!(kind(publish(&fixture, ["e.a", "e.a"].map(|to| message(to, ""))).await), full);
    publish(&fixture, ["e.a", "e.b"].map(|to| message(to, ""))).await.expect("they are stored");
    let old = StreamSpec { name: "O".into(), subjects: vec!["o".into()].into(), max_messages: Some(3), ..spec() };
    fixture.stream(&old).await;
    publish(&fixture, (0..4).map(|_| message("o", ""))).await.expect("they are stored");
    assert_eq!(fixture.state("O").await, (3, 2, 4));
}

async fn none_is_stored_when_one_is_refused(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_message_bytes: Some(300), ..spec() }).await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for second in [asking("s.a", "Nats-TTL", "soon"), asking("s.a", "Nats-Expected-Stream", "T")] {
        assert_eq!(kind(publish(&fixture, [message("s.a", ""), second]).await), refused);
    }
    assert_eq!(fixture.state("S").await, (0, 0, 0));
}

async fn one_stream_stores_all(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.stream(&StreamSpec { name: "T".into(), subjects: vec!["t".into()].into(), ..spec() }).await;
    let result = publish(&fixture, [message("s.a", ""), message("t", "")]).await;
    assert_eq!(kind(result), refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM));
    assert_eq!((fixture.state("S").await.0, fixture.state("T").await.0), (0, 0));
    let result = publish(&fixture, [message("nowhere", ""), message("s.a", "")]).await;
    assert_eq!(kind(result), refusal(Code::NotFound, reason::NO_STREAM));
}

async fn replacing_comes_first(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let refused = refusal(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM);
    let rollup = |subject, what| asking(subject, "Nats-Rollup", what);
    publish(&fixture, [rollup("s.a", "sub"), message("s.a", "")]).await.expect("they are stored");
    assert_eq!(fixture.state("S").await, (3, 2, 4));
    assert_eq!(kind(publish(&fixture, [message("s.c", ""), rollup("s.c", "sub")]).await), refused);
    assert_eq!(kind(publish(&fixture, [message("s.c", ""), rollup("s.d", "all")]).await), refused);
    publish(&fixture, [rollup("s.a", "all"), message("s.b", "")]).await.expect("they are stored");
    assert_eq!(fixture.state("S").await, (2, 5, 6));
}

async fn a_batch_has_a_size(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let some = |count| (0..count).map(|_| message("s.a", ""));
    assert_eq!(kind(publish(&fixture, some(0)).await).0, Code::InvalidArgument);
    assert_eq!(kind(publish(&fixture, some(1_001)).await).0, Code::InvalidArgument);
    assert_eq!(publish(&fixture, some(1_000)).await.expect("they are stored").sequence, 1_000);
}

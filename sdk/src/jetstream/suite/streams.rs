//! How streams are made, changed and deleted.

use std::time::Duration;

use super::fixture::{Fixture, kind, message, refusal};
use crate::{
    Code,
    jetstream::{Discard, Purge, Retention, Storage, StreamSpec},
    reason,
};

on_both! {
    a_stream_is_what_its_spec_says,
    a_stream_is_made_once,
    two_streams_may_not_meet,
    what_cannot_be_is_refused,
    what_can_change_changes,
    a_limit_that_changes_counts_at_once,
    subjects_that_change_count_at_once,
    what_is_not_there_is_not_found,
    a_deleted_stream_takes_nothing,
    a_subject_without_a_stream_is_told,
}

fn spec() -> StreamSpec {
    StreamSpec::new("S", ["s.>"])
}

async fn a_stream_is_what_its_spec_says(fixture: Fixture) {
    let spec = StreamSpec {
        description: "everything".into(),
        storage: Storage::Memory,
        max_messages: Some(10),
        max_messages_per_subject: Some(2),
        max_bytes: Some(10_000),
        max_age: Some(Duration::from_secs(3_600)),
        max_message_bytes: Some(1_000),
        discard: Discard::New,
        discard_new_per_subject: true,
        duplicate_window: Some(Duration::from_secs(30)),
        allow_direct: true,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        allow_rollup: true,
        deny_delete: true,
        ..spec()
    };
    let info = fixture.stream(&spec).await;
    assert_eq!(info.spec, spec);
    assert_eq!((info.messages, info.bytes, info.first_sequence, info.last_sequence), (0, 0, 0, 0));
    assert_eq!((info.first_time, info.consumers), (None, 0));
    fixture.put("s.a", "").await;
    assert!(fixture.info("S").await.first_time.is_some());
    assert_eq!(fixture.info("S").await.spec, spec);
}

async fn a_stream_is_made_once(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put("s.a", "").await;
    assert_eq!(fixture.stream(&spec()).await.messages, 1);
    let other = StreamSpec { max_messages: Some(5), ..spec() };
    let exists = refusal(Code::AlreadyExists, reason::STREAM_EXISTS);
    assert_eq!(kind(fixture.streams.create_stream(&other).await), exists);
}

async fn two_streams_may_not_meet(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for subject in ["s.a", "s.>", "*.a", "s.*.b"] {
        let result = fixture.streams.create_stream(&StreamSpec::new("T", [subject])).await;
        assert_eq!(kind(result), refused, "{subject}");
    }
    fixture.stream(&StreamSpec::new("T", ["t.>", "s"])).await;
    let result = fixture.streams.update_stream(&StreamSpec::new("T", ["t.>", "s.b"])).await;
    assert_eq!(kind(result), refused);
}

async fn what_cannot_be_is_refused(fixture: Fixture) {
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for spec in [
        StreamSpec::new("S", ["s..a"]),
        StreamSpec::new("S", ["s.>.a"]),
        StreamSpec::new("S", ["s", "s"]),
        StreamSpec::new("S", ["s.a", "s.*"]),
        StreamSpec::new("S", [">"]),
        StreamSpec::new("S", ["$JS.API.>"]),
        StreamSpec { max_age: Some(Duration::from_millis(1)), ..spec() },
        StreamSpec { duplicate_window: Some(Duration::from_millis(1)), ..spec() },
        StreamSpec { duplicate_window: Some(Duration::from_secs(10)), max_age: Some(Duration::from_secs(5)), ..spec() },
        StreamSpec { discard_new_per_subject: true, max_messages_per_subject: Some(1), ..spec() },
        StreamSpec { discard_new_per_subject: true, discard: Discard::New, ..spec() },
    ] {
        assert_eq!(kind(fixture.streams.create_stream(&spec).await), refused, "{spec:?}");
    }
    fixture.stream(&StreamSpec::new("E", ["$JS.EVENT.ADVISORY.>"])).await;
}

async fn what_can_change_changes(fixture: Fixture) {
    fixture.stream(&StreamSpec { deny_delete: true, allow_message_ttl: true, ..spec() }).await;
    let changed = StreamSpec {
        description: "changed".into(),
        deny_delete: true,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        allow_direct: true,
        max_messages: Some(5),
        max_age: Some(Duration::from_secs(60)),
        duplicate_window: Some(Duration::from_secs(5)),
        discard: Discard::New,
        retention: Retention::Interest,
        ..spec()
    };
    let streams = &fixture.streams;
    let update = |spec| async move { streams.update_stream(&spec).await };
    assert_eq!(update(changed.clone()).await.expect("it can").spec, changed);
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for fixed in [
        StreamSpec { storage: Storage::Memory, ..changed.clone() },
        StreamSpec { retention: Retention::WorkQueue, ..changed.clone() },
        StreamSpec { deny_delete: false, ..changed.clone() },
        StreamSpec { allow_message_ttl: false, ..changed.clone() },
    ] {
        assert_eq!(kind(update(fixed.clone()).await), refused, "{fixed:?}");
    }
    assert_eq!(fixture.info("S").await.spec, changed);
}

async fn a_limit_that_changes_counts_at_once(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.b", "s.a", "s.c"]).await;
    let spec = StreamSpec { max_messages_per_subject: Some(2), ..spec() };
    fixture.streams.update_stream(&spec).await.expect("it changes");
    fixture.becomes("S", (5, 2, 6)).await;
    let spec = StreamSpec { max_messages: Some(2), ..spec };
    fixture.streams.update_stream(&spec).await.expect("it changes");
    fixture.becomes("S", (2, 5, 6)).await;
    fixture.put_all(&["s.d", "s.d", "s.d"]).await;
    assert_eq!(fixture.state("S").await, (2, 8, 9));
}

async fn subjects_that_change_count_at_once(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put("s.a", "").await;
    fixture.streams.update_stream(&StreamSpec::new("S", ["t.>"])).await.expect("it changes");
    assert_eq!(fixture.put("t.a", "").await, 2);
    let nobody = refusal(Code::NotFound, reason::NO_STREAM);
    assert_eq!(kind(fixture.publish(message("s.a", "")).await), nobody);
}

async fn what_is_not_there_is_not_found(fixture: Fixture) {
    let missing = refusal(Code::NotFound, reason::STREAM_NOT_FOUND);
    let streams = &fixture.streams;
    assert_eq!(kind(streams.stream_info("S").await), missing);
    assert_eq!(kind(streams.update_stream(&spec()).await), missing);
    assert_eq!(kind(streams.delete_stream("S").await), missing);
    assert_eq!(kind(streams.purge_stream("S", &Purge::default()).await), missing);
    assert_eq!(kind(streams.delete_message("S", 1).await), missing);
    assert_eq!(kind(streams.consumer_names("S").await), missing);
    assert_eq!(kind(streams.subjects("S", ">").await), missing);
}

async fn a_deleted_stream_takes_nothing(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put("s.a", "").await;
    fixture.streams.delete_stream("S").await.expect("it is deleted");
    let nobody = refusal(Code::NotFound, reason::NO_STREAM);
    assert_eq!(kind(fixture.publish(message("s.a", "")).await), nobody);
    // A new one of that name begins anew.
    assert_eq!(fixture.stream(&spec()).await.messages, 0);
    assert_eq!(fixture.put("s.a", "").await, 1);
}

async fn a_subject_without_a_stream_is_told(fixture: Fixture) {
    let nobody = refusal(Code::NotFound, reason::NO_STREAM);
    assert_eq!(kind(fixture.publish(message("s.a", "")).await), nobody);
    fixture.stream(&spec()).await;
    assert_eq!(kind(fixture.publish(message("t.a", "")).await), nobody);
}

//! Messages that are looked at one by one, and taken out by hand.

use std::collections::BTreeMap;

use super::fixture::{Fixture, kind, message, refusal, text};
use crate::{
    Code,
    jetstream::{ConsumerSpec, Get, Purge, StreamSpec},
    reason,
};

on_both! {
    everything_can_be_purged,
    a_purge_can_spare,
    a_purge_can_begin_later_than_anything,
    a_purge_is_one_thing_or_the_other,
    a_message_is_found_by_its_place,
    a_message_is_found_by_its_subject,
    the_next_message_is_found,
    a_message_found_is_what_was_published,
    subjects_are_counted,
    a_message_can_be_deleted_once,
    messages_can_be_safe_from_deletion,
}

fn place(sequence: u64) -> Get {
    Get::Sequence(sequence)
}

fn last(subject: &str) -> Get {
    Get::Last(subject.to_owned())
}

fn next(from: u64, subject: &str) -> Get {
    Get::Next { from, subject: subject.to_owned() }
}

async fn filled(fixture: &Fixture) {
    fixture.stream(&StreamSpec { allow_direct: true, ..StreamSpec::new("S", ["s.>"]) }).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.a", "s.b"]).await;
}

async fn purge(fixture: &Fixture, purge: Purge) -> u64 {
    fixture.streams.purge_stream("S", &purge).await.expect("it is purged")
}

async fn everything_can_be_purged(fixture: Fixture) {
    filled(&fixture).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    assert_eq!(purge(&fixture, Purge::default()).await, 5);
    assert_eq!(fixture.state("S").await, (0, 6, 5));
    assert_eq!(fixture.info("S").await.bytes, 0);
    assert_eq!(fixture.consumer_info("S", "c").await.pending, 0);
    assert_eq!(fixture.put("s.a", "").await, 6);
    assert_eq!(fixture.read("S", "c").await.places(1).await, [6]);
}

async fn a_purge_can_spare(fixture: Fixture) {
    filled(&fixture).await;
    let subject = |subject: &str| Some(subject.to_owned());
    assert_eq!(purge(&fixture, Purge { subject: subject("s.a"), keep: Some(1), ..Purge::default() }).await, 1);
    assert_eq!(fixture.state("S").await, (4, 2, 5));
    assert_eq!(purge(&fixture, Purge { before: Some(3), ..Purge::default() }).await, 1);
    assert_eq!(purge(&fixture, Purge { subject: subject("s.z"), ..Purge::default() }).await, 0);
    assert_eq!(purge(&fixture, Purge { keep: Some(7), ..Purge::default() }).await, 0);
    assert_eq!(purge(&fixture, Purge { subject: subject("s.*"), before: Some(5), ..Purge::default() }).await, 2);
    assert_eq!(fixture.all("S").await, [(5, "s.b".to_owned())]);
    fixture.put_all(&["s.a", "s.a"]).await;
    assert_eq!(purge(&fixture, Purge { keep: Some(2), ..Purge::default() }).await, 1);
    assert_eq!(purge(&fixture, Purge { keep: Some(0), ..Purge::default() }).await, 2);
}

async fn a_purge_can_begin_later_than_anything(fixture: Fixture) {
    filled(&fixture).await;
    assert_eq!(purge(&fixture, Purge { before: Some(100), ..Purge::default() }).await, 5);
    assert_eq!(fixture.state("S").await, (0, 100, 99));
    assert_eq!(fixture.put("s.a", "").await, 100);
}

async fn a_purge_is_one_thing_or_the_other(fixture: Fixture) {
    filled(&fixture).await;
    let both = Purge { before: Some(3), keep: Some(1), subject: None };
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.streams.purge_stream("S", &both).await), refused);
}

async fn check(fixture: &Fixture, get: Get, expected: Option<u64>) {
    for direct in [false, true] {
        let found = fixture.streams.get_message("S", &get, direct).await.expect("it can be read");
        assert_eq!(found.map(|found| found.sequence), expected, "{get:?}, direct: {direct}");
    }
}

async fn a_message_is_found_by_its_place(fixture: Fixture) {
    filled(&fixture).await;
    fixture.streams.delete_message("S", 2).await.expect("it is deleted");
    check(&fixture, place(1), Some(1)).await;
    check(&fixture, place(2), None).await;
    check(&fixture, place(6), None).await;
}

async fn a_message_is_found_by_its_subject(fixture: Fixture) {
    filled(&fixture).await;
    check(&fixture, last("s.a"), Some(4)).await;
    check(&fixture, last("s.z"), None).await;
    check(&fixture, last("t"), None).await;
    fixture.streams.delete_message("S", 4).await.expect("it is deleted");
    check(&fixture, last("s.a"), Some(1)).await;
    let any = fixture.streams.get_message("S", &last("s.*"), false).await.expect("it can be read");
    assert_eq!(any.map(|found| found.sequence), Some(5));
}

async fn the_next_message_is_found(fixture: Fixture) {
    filled(&fixture).await;
    check(&fixture, next(1, "s.a"), Some(1)).await;
    check(&fixture, next(2, "s.a"), Some(4)).await;
    check(&fixture, next(5, "s.a"), None).await;
    check(&fixture, next(2, "s.*"), Some(2)).await;
    check(&fixture, next(3, "*.b"), Some(5)).await;
    check(&fixture, next(1, ">"), Some(1)).await;
    check(&fixture, next(9, ">"), None).await;
}

async fn a_message_found_is_what_was_published(fixture: Fixture) {
    filled(&fixture).await;
    let published = message("s.d", "text").with_header("X-Kind", "test").with_header("Nats-Msg-Id", "1");
    fixture.publish(published).await.expect("it is stored");
    for direct in [false, true] {
        let found = fixture.streams.get_message("S", &last("s.d"), direct).await.expect("it can be read");
        let found = found.expect("it is there");
        assert_eq!((found.sequence, found.message.subject.as_str(), text(&found.message)), (6, "s.d", "text"));
        // In whatever order.
        let headers: BTreeMap<_, _> = found.message.headers.iter().collect();
        assert_eq!(headers, [("X-Kind", "test"), ("Nats-Msg-Id", "1")].into(), "direct: {direct}");
    }
}

async fn subjects_are_counted(fixture: Fixture) {
    filled(&fixture).await;
    let subjects = |filter| {
        let streams = &fixture.streams;
        async move { streams.subjects("S", filter).await.expect("a list") }
    };
    let own = |list: &[(&str, u64)]| list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(subjects("s.>").await, own(&[("s.a", 2), ("s.b", 2), ("s.c", 1)]));
    assert_eq!(subjects("s.b").await, own(&[("s.b", 2)]));
    assert_eq!(subjects("z").await, own(&[]));
    purge(&fixture, Purge { subject: Some("s.a".to_owned()), ..Purge::default() }).await;
    assert_eq!(subjects(">").await, own(&[("s.b", 2), ("s.c", 1)]));
}

async fn a_message_can_be_deleted_once(fixture: Fixture) {
    filled(&fixture).await;
    fixture.streams.delete_message("S", 3).await.expect("it is deleted");
    assert_eq!(fixture.state("S").await, (4, 1, 5));
    let missing = refusal(Code::NotFound, reason::MESSAGE_NOT_FOUND);
    assert_eq!(kind(fixture.streams.delete_message("S", 3).await), missing);
    assert_eq!(kind(fixture.streams.delete_message("S", 9).await), missing);
}

async fn messages_can_be_safe_from_deletion(fixture: Fixture) {
    fixture.stream(&StreamSpec { deny_delete: true, ..StreamSpec::new("S", ["s.>"]) }).await;
    fixture.put("s.a", "").await;
    let refused = refusal(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.streams.delete_message("S", 1).await), refused);
    // Only one by one.
    assert_eq!(purge(&fixture, Purge::default()).await, 1);
}

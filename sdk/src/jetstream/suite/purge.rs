//! Messages that are looked at one by one, and taken out by hand.

use std::collections::BTreeMap;

use super::fixture::{Fixture, asking, eventually, kind, message, refusal, text};
use crate::{
    Code,
    jetstream::{Action, ConsumerSpec, Get, Purge, StreamSpec},
    reason,
};

on_both! {
    everything_can_be_purged,
    a_purge_moves_those_who_read_what_is_purged,
    who_was_moved_by_a_purge_does_not_go_back,
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

async fn a_purge_moves_those_who_read_what_is_purged(fixture: Fixture) {
    let subject = |subject: &str| Purge { subject: Some(subject.to_owned()), ..Purge::default() };
    let (purge, roll) = (Ok::<_, &str>, Err);
    // What is purged, and up to where consumers have come that read `FILTERS`.
    const FILTERS: [&[&str]; 6] = [&[], &["s.a"], &["s.b"], &["s.*"], &["s.a", "s.b"], &["s.z"]];
    let cases = [
        (purge(Purge::default()), [5; 6]),
        (purge(subject("s.a")), [1, 5, 0, 1, 1, 0]),
        (purge(subject("s.b")), [0, 0, 5, 0, 0, 0]),
        (purge(subject("s.z")), [0, 0, 0, 0, 0, 5]),
        (purge(Purge { keep: Some(1), ..subject("s.a") }), [1, 3, 0, 1, 1, 0]),
        (purge(Purge { before: Some(5), ..subject("s.a") }), [1, 5, 0, 1, 1, 0]),
        (purge(Purge { keep: Some(1), ..subject("s.*") }), [4; 6]),
        (purge(Purge { before: Some(3), ..Purge::default() }), [2; 6]),
        (roll("sub"), [1, 5, 0, 1, 1, 0]),
        (roll("all"), [5; 6]),
    ];
    for (stream, (purged, expected)) in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"].into_iter().zip(cases) {
        fixture.stream(&StreamSpec { allow_rollup: true, ..StreamSpec::new(stream, ["s.>"]) }).await;
        fixture.put_all(&["s.a", "s.b", "s.c", "s.a", "s.b"]).await;
        for (name, filters) in ["0", "1", "2", "3", "4", "5"].into_iter().zip(FILTERS) {
            let filters = filters.iter().map(|filter| (*filter).into()).collect();
            fixture.consumer(&ConsumerSpec { filters, ..ConsumerSpec::new(stream, name) }).await;
        }
        match &purged {
            Ok(purge) => drop(fixture.streams.purge_stream(stream, purge).await.expect("it is purged")),
            Err(roll) => drop(fixture.publish(asking("s.a", "Nats-Rollup", roll)).await.expect("it is stored")),
        }
        let progress = || async {
            let mut progress = Vec::new();
            for name in ["0", "1", "2", "3", "4", "5"] {
                let info = fixture.consumer_info(stream, name).await;
                progress.push((info.ack_floor, info.delivered));
            }
            (format!("{purged:?}"), progress)
        };
        let expected = expected.into_iter().map(|place| (place, place)).collect();
        eventually((format!("{purged:?}"), expected), progress).await;
        fixture.streams.delete_stream(stream).await.expect("it is deleted");
    }
}

async fn who_was_moved_by_a_purge_does_not_go_back(fixture: Fixture) {
    filled(&fixture).await;
    let spec =
        |filter: &'static str| ConsumerSpec { filters: vec![filter.into()].into(), ..ConsumerSpec::new("S", "c") };
    fixture.consumer(&spec("s.c")).await;
    purge(&fixture, Purge { subject: Some("s.c".to_owned()), ..Purge::default() }).await;
    fixture.streams.put_consumer(&spec("s.a"), Action::Update).await.expect("it is changed");
    fixture.put("s.a", "").await;
    eventually(1, || async { fixture.consumer_info("S", "c").await.pending }).await;
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

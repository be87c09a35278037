//! From a stream into the table.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use subwire::{
    ConsumerSpec, DeadLetters, Event, Events, Letters, Streams,
    bus::{Message, Subject},
};
use subwire_archive::Facts;

use crate::{
    cases,
    fixture::{Fixture, consumer, eventually, notes},
    note::Note,
};

cases! {
    an_event_is_stored_with_what_came_beside_it,
    an_event_that_comes_twice_is_stored_once,
    what_a_killed_worker_held_is_stored_once,
    a_stream_that_is_made_anew_is_another,
    what_cannot_be_stored_becomes_a_dead_letter_alone,
}

async fn an_event_is_stored_with_what_came_beside_it(fixture: Fixture) {
    let worker = fixture.work(consumer("archive"));
    // A field that this schema does not know: a newer publisher's.
    let mut payload = prost::Message::encode_to_vec(&Note::new("ann", "tea", "hot"));
    payload.extend_from_slice(b"\x4a\x03new");
    let message = Message::new(Subject::new("note.ann.tea").expect("a subject"), payload.clone());
    let message = message.with_header("Nats-Msg-Id", "7").with_header("tag", "a").with_header("tag", "b");
    let ack = Events::new(&fixture.bus).publish(message).await.expect("stored in the stream");
    fixture.archived(1).await;

    let page = fixture.archive.events::<Note>().fetch().await.expect("a page");
    let note = &page.events[0];
    assert_eq!((&*note.stream, note.sequence, &*note.subject), ("notes", ack.sequence, "note.ann.tea"));
    assert_eq!((note.agent.as_deref(), note.kind.as_deref()), (Some("ann"), Some("tea")));
    assert_eq!((&*note.type_name, &note.event), (Note::INFO.name, &Note::new("ann", "tea", "hot")));
    assert_eq!(note.headers.get("Nats-Msg-Id"), Some("7"));
    let tags: Vec<_> = note.headers.iter().filter(|(name, _)| *name == "tag").map(|(_, value)| value).collect();
    assert_eq!(tags, ["a", "b"]);
    assert!(note.archived_at >= note.published_at);
    let raw = fixture.archive.records().fetch().await.expect("a page");
    assert_eq!(raw.events[0].event, Bytes::from(payload), "byte for byte");
    worker.stop().await;
}

async fn an_event_that_comes_twice_is_stored_once(fixture: Fixture) {
    fixture.publish(&notes("ann", "tea", 500)).await;
    // Two consumers at the same time, and one that begins when all is there.
    let workers = ["archive", "second"].map(|name| fixture.work(consumer(name)));
    fixture.archived(500).await;
    let late = fixture.work(consumer("late"));
    for name in ["archive", "second", "late"] {
        fixture.acknowledged(name).await;
    }
    fixture.archived(500).await;
    for worker in workers.into_iter().chain([late]) {
        worker.stop().await;
    }
    assert_eq!(letters(&fixture).await, 0);
}

async fn what_a_killed_worker_held_is_stored_once(fixture: Fixture) {
    const EVENTS: u64 = 3_000;
    let consumer = ConsumerSpec { ack_wait: Duration::from_secs(1), backoff: Cow::Borrowed(&[]), ..consumer("brief") };
    fixture.publish(&notes("ann", "tea", EVENTS as usize)).await;
    let worker = fixture.work(consumer.clone());
    eventually("it is in the middle of its work", async || {
        fixture.archive.events::<Note>().count().await.is_ok_and(|count| count > 0)
    })
    .await;
    worker.kill().await;
    let worker = fixture.work(consumer);
    fixture.acknowledged("brief").await;
    fixture.archived(EVENTS).await;
    worker.stop().await;
    assert_eq!(letters(&fixture).await, 0);
}

async fn a_stream_that_is_made_anew_is_another(fixture: Fixture) {
    for text in ["first", "second"] {
        let worker = fixture.work(consumer("archive"));
        fixture.publish(&[Note::new("ann", "tea", text)]).await;
        eventually("it is archived", async || {
            let page = fixture.archive.events::<Note>().fetch().await.expect("a page");
            page.events.iter().any(|note| note.event.text == text)
        })
        .await;
        worker.stop().await;
        Streams::new(&fixture.bus).delete("notes").await.expect("deleted");
        fixture.make_stream().await;
    }
    let page = fixture.archive.events::<Note>().fetch().await.expect("a page");
    let places: Vec<_> = page.events.iter().map(|note| (note.sequence, &*note.event.text)).collect();
    assert_eq!(places, [(1, "first"), (1, "second")]);
}

async fn what_cannot_be_stored_becomes_a_dead_letter_alone(fixture: Fixture) {
    let mut all = notes("ann", "tea", 100);
    all.insert(30, Note::new("nul", "tea", "a text that no text of PostgreSQL can be"));
    all.insert(60, Note::new("long", "tea", "a key that no index can hold"));
    fixture.publish(&all).await;
    Events::new(&fixture.bus).publish(Note::garbled()).await.expect("stored in the stream");
    let handler = fixture.archive.of::<Note>(|note| {
        Facts::new().agent(match &*note.author {
            "nul" => "\0".to_owned(),
            "long" => noise(10_000),
            author => author.to_owned(),
        })
    });
    let worker = fixture.work_with(consumer("archive"), handler);
    fixture.archived(100).await;
    eventually("three dead letters", async || letters(&fixture).await == 3).await;
    worker.stop().await;
    assert_eq!(letters(&fixture).await, 3);
}

/// A text that cannot be compressed.
fn noise(length: usize) -> String {
    let next = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let seeds = std::iter::successors(Some(7_u64), next);
    seeds.map(|seed| char::from(b'!' + (seed >> 33) as u8 % 90)).take(length).collect()
}

pub(crate) async fn letters(fixture: &Fixture) -> usize {
    let mut list = DeadLetters::new(&fixture.bus).list(Letters::all()).await.expect("a list");
    let mut count = 0;
    while list.next().await.transpose().expect("a letter").is_some() {
        count += 1;
    }
    count
}

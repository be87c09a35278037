//! From the table to whoever asks.

use std::time::{Duration, SystemTime};

use subwire::{Code, Event};
use subwire_archive::{Archived, Query, reason};

use crate::{
    fixture::{self, consumer, notes},
    note::Note,
};

/// What a query finds on all its pages: the texts, and how many pages there were.
async fn all(query: Query<Note>) -> (Vec<String>, usize) {
    let (mut texts, mut pages, mut next) = (Vec::new(), 0, None);
    loop {
        let page = query.clone().after(next).fetch().await.expect("a page");
        texts.extend(page.events.into_iter().map(|note| note.event.text));
        pages += 1;
        // As it would travel to somebody who asks for the next page later.
        next = page.next.map(|cursor| cursor.to_string().parse().expect("a cursor"));
        if next.is_none() {
            return (texts, pages);
        }
    }
}

async fn texts(query: Query<Note>) -> Vec<String> {
    all(query).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_question_has_its_answer() {
    let fixture = fixture::memory().await;
    let worker = fixture.work(consumer("archive"));
    let published = [
        Note::new("ann", "tea", 0),
        Note::new("bob", "tea", 1),
        Note::new("ann", "rain", 2),
        Note::new("cid", "rain", 3),
        Note::new("ann", "tea", 4),
    ];
    for (index, note) in (1..).zip(published) {
        fixture.publish(&[note]).await;
        // So that each has a time of its own.
        fixture.archived(index).await;
    }
    worker.stop().await;
    let (archive, query) = (&fixture.archive, || fixture.archive.events::<Note>());
    let page = query().fetch().await.expect("a page");
    let time = |index: usize| -> SystemTime { page.events[index].published_at };

    assert_eq!(texts(query()).await, ["0", "1", "2", "3", "4"]);
    assert_eq!(texts(query().newest_first()).await, ["4", "3", "2", "1", "0"]);
    assert_eq!(texts(query().agent("ann")).await, ["0", "2", "4"]);
    assert_eq!(texts(query().kind("tea")).await, ["0", "1", "4"]);
    assert_eq!(texts(query().agent("ann").kind("tea")).await, ["0", "4"]);
    assert_eq!(texts(query().since(time(3))).await, ["3", "4"]);
    assert_eq!(texts(query().until(time(3))).await, ["0", "1", "2"]);
    assert_eq!(texts(query().since(time(1)).until(time(4)).agent("ann")).await, ["2"]);
    let ever = Duration::from_secs(i64::MAX.cast_unsigned());
    let (never, for_ever) = (SystemTime::UNIX_EPOCH - ever, SystemTime::UNIX_EPOCH + ever);
    assert_eq!(texts(query().since(never).until(for_ever)).await, ["0", "1", "2", "3", "4"]);
    assert!(texts(query().since(for_ever)).await.is_empty() && texts(query().until(never)).await.is_empty());
    assert_eq!(texts(query().stream("notes").newest_first().kind("rain")).await, ["3", "2"]);
    assert!(texts(query().stream("others")).await.is_empty());
    assert!(texts(query().agent("'; DROP TABLE events; --")).await.is_empty());
    assert_eq!(query().agent("ann").count().await.expect("a count"), 3);

    let records = archive.records().type_name(Note::INFO.name).agent("bob").fetch().await.expect("a page");
    let records: Vec<Archived<Note>> =
        records.events.into_iter().map(|record| record.decode().expect("a note")).collect();
    assert_eq!(records[0].event.text, "1");
    assert_eq!(archive.records().type_name("testing.other.v1.Other").count().await.expect("a count"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_everything_once() {
    let fixture = fixture::memory().await;
    // Together, so that several have the same time.
    fixture.publish(&notes("ann", "tea", 250)).await;
    let worker = fixture.work(consumer("archive"));
    fixture.archived(250).await;
    worker.stop().await;
    let numbers: Vec<_> = (0..250).map(|number| number.to_string()).collect();
    let backwards: Vec<_> = numbers.iter().rev().cloned().collect();
    let query = || fixture.archive.events::<Note>();
    for (limit, pages) in [(1, 250), (7, 36), (50, 5), (100, 3), (250, 1), (1_000_000, 1)] {
        assert_eq!(all(query().limit(limit)).await, (numbers.clone(), pages), "{limit} a page");
        assert_eq!(all(query().limit(limit).newest_first()).await, (backwards.clone(), pages), "{limit} a page");
    }
    let first = query().limit(0).fetch().await.expect("a page");
    assert_eq!(first.events.len(), 1, "there is no empty page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_events_ends_early() {
    let fixture = fixture::memory().await;
    let large = "x".repeat(900_000);
    fixture.publish(&vec![Note::new("ann", "tea", &large); 40]).await;
    let worker = fixture.work(consumer("archive"));
    fixture.archived(40).await;
    worker.stop().await;
    let (texts, pages) = all(fixture.archive.events::<Note>().limit(1_000)).await;
    assert_eq!((texts.len(), pages), (40, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_a_broken_schema_cannot_read_is_named() {
    let fixture = fixture::memory().await;
    fixture.publish(&notes("ann", "tea", 1)).await;
    let worker = fixture.work(consumer("archive"));
    fixture.archived(1).await;
    worker.stop().await;
    let (client, connection) =
        tokio_postgres::connect(&fixture.postgres.url(), tokio_postgres::NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client.batch_execute("UPDATE events SET payload = '\\xffffff'").await.expect("broken");
    let status = fixture.archive.events::<Note>().fetch().await.expect_err("no note");
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(fixture.archive.records().fetch().await.expect("bytes").events.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_cannot_compare_with_is_no_query() {
    let fixture = fixture::memory().await;
    let query = || fixture.archive.events::<Note>();
    let fetched = query().agent("a\0b").fetch().await.map(|page| page.events.len());
    for status in [fetched.expect_err("a NUL"), query().kind("a\0b").count().await.expect_err("a NUL")] {
        let why = status.error_info().unwrap_or_default().reason;
        assert_eq!((status.code(), &*why), (Code::InvalidArgument, reason::INVALID_QUERY), "{status}");
    }
    assert_eq!(query().count().await.expect("a count"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_that_find_no_connection_fail_in_time() {
    let mut fixture = fixture::memory().await;
    fixture.postgres.kill();
    let begin = tokio::time::Instant::now();
    let status = fixture.archive.events::<Note>().fetch().await.expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(begin.elapsed() < Duration::from_secs(30));
    fixture.postgres.restart().await.expect("a PostgreSQL");
    assert_eq!(fixture.archive.events::<Note>().count().await.expect("a count"), 0);
}

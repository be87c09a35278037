//! A database that goes away while events come.

use std::{collections::BTreeMap, time::Duration};

use subwire::{ConsumerSpec, Streams};
use subwire_archive::{Archive, ArchiveOptions};
use tokio::time::timeout;

use crate::{
    cases,
    fixture::{Fixture, PATIENCE, consumer, eventually, handler, notes},
    note::Note,
    storing::letters,
};

cases! {
    a_database_that_is_killed_and_restarted_has_everything_once,
    an_outage_that_is_too_long_is_a_failed_attempt,
    a_worker_stops_while_the_database_is_away,
}

async fn a_database_that_is_killed_and_restarted_has_everything_once(mut fixture: Fixture) {
    const ROUNDS: u64 = 3;
    const EVENTS: usize = 2_000;
    // Two attempts: an outage that cost any would show in the dead letters.
    let consumer = ConsumerSpec { max_deliver: Some(2), ..consumer("strict") };
    let worker = fixture.work(consumer);
    for round in 1..=ROUNDS {
        fixture.publish(&notes("ann", "tea", EVENTS)).await;
        eventually("some are archived", async || {
            let count = fixture.archive.events::<Note>().count().await;
            count.is_ok_and(|count| count > (round - 1) * EVENTS as u64)
        })
        .await;
        fixture.postgres.kill();
        fixture.publish(&notes("bob", "tea", EVENTS / 10)).await;
        fixture.postgres.restart().await.expect("a PostgreSQL");
    }
    let total = ROUNDS * (EVENTS + EVENTS / 10) as u64;
    fixture.archived(total).await;
    let mut places = BTreeMap::new();
    let mut next = None;
    loop {
        let page = fixture.archive.events::<Note>().limit(1_000).after(next).fetch().await.expect("a page");
        for note in page.events {
            *places.entry(note.sequence).or_insert(0) += 1;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(places, (1..=total).map(|sequence| (sequence, 1)).collect());
    fixture.acknowledged("strict").await;
    worker.stop().await;
    assert_eq!(letters(&fixture).await, 0);
}

async fn an_outage_that_is_too_long_is_a_failed_attempt(mut fixture: Fixture) {
    let options = ArchiveOptions::new(fixture.postgres.url()).outage(Duration::from_millis(100));
    let archive = Archive::connect(options).await.expect("an archive");
    let worker = fixture.work_with(consumer("archive"), handler(&archive));
    fixture.postgres.kill();
    fixture.publish(&notes("ann", "tea", 5)).await;
    let streams = Streams::new(&fixture.bus);
    eventually("they are handed out again", async || {
        streams.consumer_info("notes", "archive").await.is_ok_and(|info| info.redelivered > 0)
    })
    .await;
    fixture.postgres.restart().await.expect("a PostgreSQL");
    fixture.archived(5).await;
    worker.stop().await;
    assert_eq!(letters(&fixture).await, 0);
}

async fn a_worker_stops_while_the_database_is_away(mut fixture: Fixture) {
    fixture.postgres.kill();
    fixture.publish(&notes("ann", "tea", 5)).await;
    let worker = fixture.work(consumer("archive"));
    let streams = Streams::new(&fixture.bus);
    eventually("they are handed out", async || {
        streams.consumer_info("notes", "archive").await.is_ok_and(|info| info.ack_pending == 5)
    })
    .await;
    timeout(PATIENCE, worker.stop()).await.expect("in time");
    fixture.postgres.restart().await.expect("a PostgreSQL");
    let worker = fixture.work(consumer("archive"));
    fixture.archived(5).await;
    worker.stop().await;
}

//! Watching a bucket.

use futures_util::StreamExt;
use subwire::{Bus, Code, KvChange, KvOperation, Result};

use crate::{
    cases,
    fixture::{caught_up, change, entry, failure, soon, text, texts},
};

cases! {
    what_is_there_comes_first_and_then_what_changes,
    an_empty_bucket_is_caught_up_at_once,
    a_filter_chooses_what_is_watched,
    a_watch_can_begin_at_a_revision,
    nothing_is_missed_or_doubled_while_others_write,
    a_watch_is_a_stream,
    a_watch_ends_with_its_bucket,
}

async fn what_is_there_comes_first_and_then_what_changes(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        bucket.put(key, &text(value)).await?;
    }
    bucket.delete("b").await?;

    let mut watch = bucket.watch(">").await?;
    let first = entry(&mut watch).await;
    assert_eq!((first.key.as_str(), first.value.as_deref(), first.revision), ("a", Some("2"), 3));
    let second = entry(&mut watch).await;
    assert_eq!((second.key.as_str(), second.value, second.operation), ("b", None, KvOperation::Delete));
    caught_up(&mut watch).await;

    bucket.put("c", &text("3")).await?;
    assert_eq!(entry(&mut watch).await.value.as_deref(), Some("3"));
    bucket.purge("a").await?;
    let purged = entry(&mut watch).await;
    assert_eq!((purged.key.as_str(), purged.value, purged.operation), ("a", None, KvOperation::Purge));
    bucket.put("a", &text("4")).await?;
    assert_eq!(entry(&mut watch).await.value.as_deref(), Some("4"));
    Ok(())
}

async fn an_empty_bucket_is_caught_up_at_once(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let mut watch = bucket.watch(">").await?;
    caught_up(&mut watch).await;
    bucket.put("a", &text("1")).await?;
    assert_eq!(entry(&mut watch).await.value.as_deref(), Some("1"));
    Ok(())
}

async fn a_filter_chooses_what_is_watched(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    bucket.put("squad.red", &text("1")).await?;
    bucket.put("team.red", &text("2")).await?;
    let mut squads = bucket.watch("squad.>").await?;
    let mut one = bucket.watch("team.red").await?;
    assert_eq!(entry(&mut squads).await.key, "squad.red");
    caught_up(&mut squads).await;
    assert_eq!(entry(&mut one).await.key, "team.red");
    caught_up(&mut one).await;
    for key in ["team.blue", "squad.blue", "team.red"] {
        bucket.put(key, &text("3")).await?;
    }
    assert_eq!(entry(&mut squads).await.key, "squad.blue");
    assert_eq!(entry(&mut one).await.revision, 5);
    Ok(())
}

async fn a_watch_can_begin_at_a_revision(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for value in ["1", "2", "3"] {
        bucket.put("k", &text(value)).await?;
    }
    for (from, expected) in [(0, vec![1, 2, 3]), (1, vec![1, 2, 3]), (3, vec![3]), (4, vec![])] {
        let mut watch = bucket.watch_from(">", from).await?;
        for revision in expected {
            assert_eq!(entry(&mut watch).await.revision, revision);
        }
        caught_up(&mut watch).await;
    }
    Ok(())
}

async fn nothing_is_missed_or_doubled_while_others_write(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let writer = {
        let bucket = bucket.clone();
        async move {
            for number in 0..1_000 {
                // As many keys as revisions: none is dropped from a history.
                bucket.put(format!("k.{number}"), &number.to_string()).await?;
            }
            Ok::<_, subwire::Status>(())
        }
    };
    let mut watch = bucket.watch(">").await?;
    let writer = tokio::spawn(writer);
    let mut seen = Vec::new();
    let mut markers = 0;
    while seen.len() < 1_000 {
        match change(&mut watch).await {
            KvChange::Entry(entry) => seen.push(entry.revision),
            KvChange::CaughtUp => markers += 1,
        }
    }
    writer.await.expect("no panic")?;
    assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
    assert_eq!(markers, 1);
    Ok(())
}

async fn a_watch_is_a_stream(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    bucket.put("a", &text("1")).await?;
    bucket.put("b", &text("2")).await?;
    let entries = bucket.watch(">").await?.take_while(|change| {
        let goes_on = !matches!(change, Ok(KvChange::CaughtUp));
        async move { goes_on }
    });
    assert_eq!(soon("all of them", entries.count()).await, 2);
    Ok(())
}

async fn a_watch_ends_with_its_bucket(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let mut watch = bucket.watch(">").await?;
    caught_up(&mut watch).await;
    bucket.delete_bucket().await?;
    assert_eq!(failure(&mut watch).await.code(), Code::NotFound);
    assert!(soon("the end", watch.next()).await.is_none());
    assert_eq!(bucket.get("a").await.expect_err("it is gone").code(), Code::NotFound);
    assert_eq!(bucket.put("a", &text("1")).await.expect_err("it is gone").code(), Code::NotFound);
    Ok(())
}

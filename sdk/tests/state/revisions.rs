//! Revisions: who writes first, and what was before.

use subwire::{Bus, Code, Kv, KvOperation, KvSpec, Result, reason};
use tokio::task::JoinSet;

use crate::{
    cases,
    fixture::{failed, text, texts},
};

cases! {
    a_key_is_created_once,
    a_removed_key_can_be_created_again,
    of_many_who_create_one_wins,
    an_update_of_another_revision_is_refused,
    no_update_is_lost_among_many,
    a_removal_can_depend_on_the_revision,
    a_revision_belongs_to_one_key,
    the_history_has_so_many_revisions,
}

async fn a_key_is_created_once(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let revision = bucket.create("k", &text("1")).await?;
    let status = failed(bucket.create("k", &text("2")).await, Code::AlreadyExists, reason::KEY_EXISTS);
    assert!(status.message().contains("key k"), "{status}");
    let entry = bucket.get("k").await?.expect("it was created");
    assert_eq!((entry.value.as_str(), entry.revision), ("1", revision));
    Ok(())
}

async fn a_removed_key_can_be_created_again(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    bucket.create("k", &text("1")).await?;
    bucket.delete("k").await?;
    bucket.create("k", &text("2")).await?;
    bucket.purge("k").await?;
    bucket.create("k", &text("3")).await?;
    assert_eq!(bucket.get("k").await?.expect("it was created").value, "3");
    failed(bucket.create("k", &text("4")).await, Code::AlreadyExists, reason::KEY_EXISTS);
    Ok(())
}

async fn of_many_who_create_one_wins(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    bucket.delete("leader").await?;
    let mut candidates = JoinSet::new();
    for number in 0..16 {
        let bucket = bucket.clone();
        candidates.spawn(async move { bucket.create("leader", &number.to_string()).await });
    }
    let results = candidates.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in results.into_iter().filter(Result::is_err) {
        failed(refused, Code::AlreadyExists, reason::KEY_EXISTS);
    }
    Ok(())
}

async fn an_update_of_another_revision_is_refused(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let first = bucket.put("k", &text("1")).await?;
    bucket.put("other", &text("x")).await?;
    let second = bucket.update("k", &text("2"), first).await?;
    let status = failed(bucket.update("k", &text("3"), first).await, Code::Aborted, reason::WRONG_SEQUENCE);
    assert!(status.message().contains("key k"), "{status}");
    failed(bucket.update("k", &text("3"), 0).await, Code::Aborted, reason::WRONG_SEQUENCE);
    failed(bucket.update("new", &text("3"), 7).await, Code::Aborted, reason::WRONG_SEQUENCE);
    failed(bucket.update("new", &text("3"), u64::MAX).await, Code::Aborted, reason::WRONG_SEQUENCE);
    bucket.update("new", &text("3"), 0).await?;
    assert_eq!(bucket.get("k").await?.expect("it has one").revision, second);
    Ok(())
}

async fn no_update_is_lost_among_many(bus: &Bus) -> Result<()> {
    let bucket: Kv<u64> = Kv::open(bus, KvSpec::new("counters")).await?;
    bucket.put("hits", &0).await?;
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let bucket = bucket.clone();
        writers.spawn(async move {
            for _ in 0..25 {
                loop {
                    let entry = bucket.get("hits").await?.expect("it has one");
                    match bucket.update("hits", &(entry.value + 1), entry.revision).await {
                        Err(status) if status.code() == Code::Aborted => {}
                        done => break done.map(drop)?,
                    }
                }
            }
            Ok(())
        });
    }
    writers.join_all().await.into_iter().collect::<Result<()>>()?;
    assert_eq!(bucket.get("hits").await?.expect("it has one").value, 100);
    Ok(())
}

async fn a_removal_can_depend_on_the_revision(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let first = bucket.put("k", &text("1")).await?;
    let second = bucket.put("k", &text("2")).await?;
    failed(bucket.delete_if("k", first).await, Code::Aborted, reason::WRONG_SEQUENCE);
    assert!(bucket.get("k").await?.is_some());
    bucket.delete_if("k", second).await?;
    assert_eq!(bucket.get("k").await?, None);
    Ok(())
}

async fn a_revision_belongs_to_one_key(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let first = bucket.put("k", &text("1")).await?;
    let other = bucket.put("other", &text("x")).await?;
    let second = bucket.put("k", &text("2")).await?;
    bucket.delete("k").await?;
    assert_eq!(bucket.get_revision("k", first).await?.expect("in its history").value, "1");
    assert_eq!(bucket.get_revision("k", second).await?.expect("in its history").value, "2");
    assert_eq!(bucket.get_revision("k", other).await?, None);
    assert_eq!(bucket.get_revision("k", second + 1).await?, None, "a removal is no value");
    assert_eq!(bucket.get_revision("k", 1_000).await?, None);
    assert_eq!(bucket.get_revision("k", 0).await?, None);
    Ok(())
}

async fn the_history_has_so_many_revisions(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for number in 0..12 {
        bucket.put("k", &number.to_string()).await?;
        bucket.put("other", &text("x")).await?;
    }
    bucket.delete("k").await?;
    let history = bucket.history("k").await?;
    let values: Vec<_> = history.iter().map(|entry| entry.value.as_deref()).collect();
    assert_eq!(values, [Some("8"), Some("9"), Some("10"), Some("11"), None]);
    assert_eq!(history[4].operation, KvOperation::Delete);
    assert!(history.is_sorted_by_key(|entry| entry.revision));
    assert!(history.is_sorted_by_key(|entry| entry.time));

    let last: Kv<String> = Kv::open(bus, KvSpec::new("last")).await?;
    last.put("k", &text("1")).await?;
    last.put("k", &text("2")).await?;
    assert_eq!(last.history("k").await?.len(), 1);
    Ok(())
}

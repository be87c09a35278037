//! Buckets that we share with other clients of NATS: async-nats in their place.

use async_nats::jetstream::kv::{Config, Operation};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use subwire::{Code, Kv, KvOperation, KvSpec, Result, reason};

use crate::fixture::{caught_up, entry, failed, nats, soon, text, texts};

#[tokio::test]
async fn others_read_what_we_write() -> Result<()> {
    let nats = nats().await;
    let ours = texts(&nats.bus).await;
    let theirs = nats.other().await.get_key_value("b").await.expect("a bucket");

    let first = ours.put("a.b", &text("1")).await?;
    let second = ours.put("a.b", &text("2")).await?;
    let found = theirs.entry("a.b").await.expect("an answer").expect("an entry");
    assert_eq!((found.value, found.revision, found.operation), (Bytes::from("2"), second, Operation::Put));
    let found = theirs.entry_for_revision("a.b", first).await.expect("an answer").expect("an entry");
    assert_eq!(found.value, "1");

    ours.delete("a.b").await?;
    assert_eq!(theirs.get("a.b").await.expect("an answer"), None);
    let history: Vec<_> = theirs.history("a.b").await.expect("a history").try_collect().await.expect("entries");
    assert_eq!(
        history.iter().map(|entry| entry.operation).collect::<Vec<_>>(),
        [Operation::Put, Operation::Put, Operation::Delete]
    );
    ours.purge("a.b").await?;
    let history: Vec<_> = theirs.history("a.b").await.expect("a history").try_collect().await.expect("entries");
    assert_eq!(history.iter().map(|entry| entry.operation).collect::<Vec<_>>(), [Operation::Purge]);

    ours.create("a.b", &text("3")).await?;
    ours.create("c", &text("4")).await?;
    let mut keys: Vec<_> = theirs.keys().await.expect("keys").try_collect().await.expect("keys");
    keys.sort();
    assert_eq!(keys, ["a.b", "c"]);
    Ok(())
}

#[tokio::test]
async fn others_watch_what_we_write() -> Result<()> {
    let nats = nats().await;
    let ours = texts(&nats.bus).await;
    let theirs = nats.other().await.get_key_value("b").await.expect("a bucket");
    let mut watch = theirs.watch_all().await.expect("a watch");
    ours.put("k", &text("1")).await?;
    ours.delete("k").await?;
    let first = soon("a change", watch.next()).await.expect("no end").expect("an entry");
    assert_eq!((first.key.as_str(), first.value, first.operation), ("k", Bytes::from("1"), Operation::Put));
    let second = soon("a change", watch.next()).await.expect("no end").expect("an entry");
    assert_eq!(second.operation, Operation::Delete);
    Ok(())
}

#[tokio::test]
async fn we_read_what_others_write() -> Result<()> {
    let nats = nats().await;
    let config = Config { bucket: text("b"), history: 5, ..Config::default() };
    let theirs = nats.other().await.create_key_value(config).await.expect("a bucket");
    // Their bucket is one that we would have made.
    let ours = texts(&nats.bus).await;
    let first = theirs.put("k", "1".into()).await.expect("stored");
    let second = theirs.update("k", "2".into(), first).await.expect("stored");
    let found = ours.get("k").await?.expect("an entry");
    assert_eq!((found.value.as_str(), found.revision), ("2", second));
    assert_eq!(ours.get_revision("k", first).await?.expect("an entry").value, "1");
    failed(ours.update("k", &text("3"), first).await, Code::Aborted, reason::WRONG_SEQUENCE);
    failed(ours.create("k", &text("3")).await, Code::AlreadyExists, reason::KEY_EXISTS);

    theirs.delete("k").await.expect("deleted");
    assert_eq!(ours.get("k").await?, None);
    ours.create("k", &text("3")).await?;
    theirs.purge("k").await.expect("purged");
    let operations: Vec<_> = ours.history("k").await?.iter().map(|entry| entry.operation).collect();
    assert_eq!(operations, [KvOperation::Purge]);
    theirs.create("l", "4".into()).await.expect("created");
    assert_eq!(ours.keys(">").await?, ["l"]);

    Ok(())
}

#[tokio::test]
async fn we_watch_what_others_write() -> Result<()> {
    let nats = nats().await;
    let ours = texts(&nats.bus).await;
    let theirs = nats.other().await.get_key_value("b").await.expect("a bucket");
    theirs.put("k", "0".into()).await.expect("stored");
    let mut watch = ours.watch(">").await?;
    let found = entry(&mut watch).await;
    assert_eq!((found.key.as_str(), found.value.as_deref()), ("k", Some("0")));
    caught_up(&mut watch).await;
    theirs.create("l", "1".into()).await.expect("created");
    assert_eq!(entry(&mut watch).await.value.as_deref(), Some("1"));
    theirs.delete("l").await.expect("deleted");
    assert_eq!(entry(&mut watch).await.operation, KvOperation::Delete);
    theirs.purge("k").await.expect("purged");
    let found = entry(&mut watch).await;
    assert_eq!((found.key.as_str(), found.value, found.operation), ("k", None, KvOperation::Purge));
    Ok(())
}

#[tokio::test]
async fn who_writes_first_is_told_by_the_server() -> Result<()> {
    let nats = nats().await;
    let ours: Kv<String> = Kv::open(&nats.bus, KvSpec::new("locks")).await?;
    let theirs = nats.other().await.get_key_value("locks").await.expect("a bucket");
    let revision = ours.create("k", &text("ours")).await?;
    assert!(theirs.create("k", "theirs".into()).await.is_err());
    theirs.update("k", "theirs".into(), revision).await.expect("updated");
    failed(ours.update("k", &text("ours"), revision).await, Code::Aborted, reason::WRONG_SEQUENCE);
    Ok(())
}

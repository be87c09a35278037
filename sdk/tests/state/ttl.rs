//! Times to live: in no time on the in-memory bus, whose time is tokio's; in seconds on NATS.

use std::time::Duration;

use subwire::{Bus, Code, Kv, KvOperation, KvSpec, ObjectSpec, ObjectStore, Result, reason};
use tokio::time::advance;

use crate::fixture::{self, caught_up, entry, eventually, failed, text};

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

#[tokio::test(start_paused = true)]
async fn a_bucket_forgets_after_its_time_to_live() -> Result<()> {
    let bucket: Kv<String> = Kv::open(&Bus::memory(), KvSpec::new("b").ttl(WEEK)).await?;
    bucket.put("a", &text("1")).await?;
    advance(WEEK / 2).await;
    bucket.put("b", &text("2")).await?;
    advance(WEEK / 2 + SECOND).await;
    assert_eq!(bucket.get("a").await?, None);
    assert_eq!(bucket.keys(">").await?, ["b"]);
    advance(WEEK / 2).await;
    assert!(bucket.keys(">").await?.is_empty());
    bucket.create("a", &text("3")).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_key_has_a_time_to_live_of_its_own() -> Result<()> {
    of_its_own(&Bus::memory(), advance).await
}

async fn of_its_own<F: Future<Output = ()>>(bus: &Bus, pass: impl Fn(Duration) -> F) -> Result<()> {
    let bucket: Kv<String> = Kv::open(bus, KvSpec::new("b").history(5).key_ttl()).await?;
    bucket.put("stays", &text("1")).await?;
    bucket.put("goes", &text("old")).await?;
    bucket.put_with_ttl("goes", &text("new"), SECOND).await?;
    bucket.put_with_ttl("kept", &text("as long as can be"), Duration::MAX).await?;
    assert_eq!(bucket.get("goes").await?.expect("not yet").value, "new");
    pass(3 * SECOND).await;
    eventually("it is gone", async || matches!(bucket.get("goes").await, Ok(None))).await;
    assert!(bucket.history("goes").await?.is_empty(), "the value before does not come back");
    assert_eq!(bucket.keys(">").await?, ["kept", "stays"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_free_again_after_its_time() -> Result<()> {
    let bucket: Kv<String> = Kv::open(&Bus::memory(), KvSpec::new("locks").key_ttl()).await?;
    bucket.create_with_ttl("leader", &text("ann"), 10 * SECOND).await?;
    advance(9 * SECOND).await;
    let second = bucket.create_with_ttl("leader", &text("tom"), 10 * SECOND).await;
    failed(second, Code::AlreadyExists, reason::KEY_EXISTS);
    advance(2 * SECOND).await;
    bucket.create_with_ttl("leader", &text("tom"), 10 * SECOND).await?;
    assert_eq!(bucket.get("leader").await?.expect("a leader").value, "tom");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_lives_on() -> Result<()> {
    let bucket: Kv<String> = Kv::open(&Bus::memory(), KvSpec::new("locks").key_ttl()).await?;
    bucket.create_with_ttl("leader", &text("ann"), 10 * SECOND).await?;
    advance(8 * SECOND).await;
    bucket.put_with_ttl("leader", &text("ann"), 10 * SECOND).await?;
    advance(8 * SECOND).await;
    assert!(bucket.get("leader").await?.is_some());
    advance(3 * SECOND).await;
    assert!(bucket.get("leader").await?.is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_bucket_has_to_allow_times_to_live() -> Result<()> {
    let bus = Bus::memory();
    let bucket: Kv<String> = Kv::open(&bus, KvSpec::new("b")).await?;
    let value = text("1");
    let refused = bucket.put_with_ttl("k", &value, SECOND).await;
    failed(refused, Code::FailedPrecondition, reason::INVALID_CONFIG);
    failed(bucket.create_with_ttl("k", &value, SECOND).await, Code::FailedPrecondition, reason::INVALID_CONFIG);
    let bucket: Kv<String> = Kv::open(&bus, KvSpec::new("c").key_ttl()).await?;
    let short = bucket.put_with_ttl("k", &value, SECOND / 2).await;
    failed(short, Code::InvalidArgument, reason::INVALID_CONFIG);
    assert!(bucket.keys(">").await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_caught_up_though_what_was_to_come_has_gone() -> Result<()> {
    let bucket: Kv<String> = Kv::open(&Bus::memory(), KvSpec::new("b").key_ttl()).await?;
    bucket.put("stays", &text("1")).await?;
    bucket.put_with_ttl("goes", &text("2"), SECOND).await?;
    let mut watch = bucket.watch(">").await?;
    advance(2 * SECOND).await;
    assert_eq!(entry(&mut watch).await.key, "stays");
    caught_up(&mut watch).await;
    bucket.put("goes", &text("3")).await?;
    assert_eq!(entry(&mut watch).await.value.as_deref(), Some("3"));

    let mut watch = bucket.watch("none.*").await?;
    caught_up(&mut watch).await;
    bucket.put_with_ttl("none.a", &text("4"), SECOND).await?;
    let mut watch = bucket.watch("none.*").await?;
    advance(2 * SECOND).await;
    caught_up(&mut watch).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_store_forgets_after_its_time_to_live() -> Result<()> {
    let store = ObjectStore::open(&Bus::memory(), ObjectSpec::new("s").ttl(WEEK)).await?;
    store.put_bytes("o", fixture::noise(300_000)).await?;
    advance(WEEK - SECOND).await;
    assert_eq!(store.get_bytes("o").await?.len(), 300_000);
    advance(2 * SECOND).await;
    assert_eq!(store.info("o").await?, None);
    assert_eq!(store.stream_info().await?.messages, 0);
    Ok(())
}

/// On a server the clock is its own: each waits for what it waits for.
mod nats {
    use async_nats::jetstream::stream::{Config, DiscardPolicy};

    use super::*;

    async fn no_time(_: Duration) {}

    #[tokio::test]
    async fn a_key_has_a_time_to_live_of_its_own() -> Result<()> {
        of_its_own(&fixture::nats().await.bus, no_time).await
    }

    #[tokio::test]
    async fn a_bucket_forgets_after_its_time_to_live() -> Result<()> {
        let nats = fixture::nats().await;
        let bucket: Kv<String> = Kv::open(&nats.bus, KvSpec::new("b").ttl(SECOND)).await?;
        bucket.put("a", &text("1")).await?;
        assert!(bucket.get("a").await?.is_some());
        eventually("it is gone", async || matches!(bucket.get("a").await, Ok(None))).await;
        bucket.create("a", &text("2")).await?;
        Ok(())
    }

    #[tokio::test]
    async fn who_watches_is_caught_up_though_what_was_to_come_is_purged() -> Result<()> {
        let nats = fixture::nats().await;
        let bucket: Kv<String> = Kv::open(&nats.bus, KvSpec::new("b")).await?;
        for number in 0..2_000 {
            bucket.put(format!("k.{number}"), &text("x")).await?;
        }
        let mut watch = bucket.watch(">").await?;
        entry(&mut watch).await;
        subwire::Streams::new(&nats.bus).purge("KV_b", None).await?;
        let rest = async {
            while let Some(change) = watch.next().await {
                if change? == subwire::KvChange::CaughtUp {
                    break;
                }
            }
            Ok::<_, subwire::Status>(())
        };
        fixture::soon("a marker", rest).await?;
        bucket.put("k", &text("new")).await?;
        assert_eq!(entry(&mut watch).await.value.as_deref(), Some("new"));
        Ok(())
    }

    #[tokio::test]
    async fn who_watches_learns_of_the_end_where_the_bucket_has_markers() -> Result<()> {
        let nats = fixture::nats().await;
        // As `nats kv add --marker-ttl` makes it.
        let config = Config {
            name: text("KV_b"),
            subjects: vec![text("$KV.b.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_direct: true,
            allow_rollup: true,
            deny_delete: true,
            ..Config::default()
        };
        let mut json = serde_json::to_value(config).expect("JSON");
        json["allow_msg_ttl"] = true.into();
        json["subject_delete_marker_ttl"] = 60_000_000_000_u64.into();
        let answer: serde_json::Value =
            nats.other().await.request("STREAM.CREATE.KV_b", &json).await.expect("an answer");
        assert!(answer.get("error").is_none(), "{answer}");

        let bucket: Kv<String> = Kv::existing(&nats.bus, "b").await?;
        let mut watch = bucket.watch(">").await?;
        caught_up(&mut watch).await;
        bucket.put_with_ttl("k", &text("1"), SECOND).await?;
        assert_eq!(entry(&mut watch).await.value.as_deref(), Some("1"));
        let end = entry(&mut watch).await;
        assert_eq!((end.key.as_str(), end.value, end.operation), ("k", None, KvOperation::Expire));
        assert_eq!(bucket.get("k").await?, None);
        assert!(bucket.keys(">").await?.is_empty());
        bucket.create("k", &text("2")).await?;
        Ok(())
    }
}

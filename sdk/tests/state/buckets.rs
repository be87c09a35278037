//! Buckets and stores: made, found, refused.

use std::time::Duration;

use subwire::{
    Bus, Code, Discard, Kv, KvSpec, ObjectSpec, ObjectStore, Result, Specs, Storage, StreamSpec, Streams, reason,
};

use crate::{
    cases,
    fixture::{failed, noise, text, texts},
};

cases! {
    a_bucket_is_made_once,
    a_bucket_with_other_settings_is_named_and_left_alone,
    a_bucket_can_be_opened_as_it_is,
    what_cannot_be_a_bucket_is_refused,
    a_time_to_live_may_be_as_long_as_can_be,
    a_bucket_has_the_layout_of_nats,
    a_bucket_can_be_changed_by_its_spec,
    a_full_bucket_refuses,
    a_value_over_its_limit_is_refused,
    a_full_store_refuses_and_keeps_nothing,
}

async fn a_bucket_is_made_once(bus: &Bus) -> Result<()> {
    texts(bus).await.put("k", &text("1")).await?;
    assert_eq!(texts(bus).await.get("k").await?.expect("the same bucket").value, "1");
    let spec = KvSpec::new("b").history(5).description("another one");
    assert!(Kv::<String>::open(bus, &spec).await.is_ok(), "a description is its operator's");
    Ok(())
}

async fn a_bucket_with_other_settings_is_named_and_left_alone(bus: &Bus) -> Result<()> {
    texts(bus).await;
    let spec = KvSpec::new("b").history(6).ttl(Duration::from_secs(60));
    let status = failed(Kv::<String>::open(bus, &spec).await, Code::AlreadyExists, reason::STREAM_EXISTS);
    assert!(status.message().contains("history is Some(5) and not Some(6)"), "{status}");
    assert!(status.message().contains("ttl"), "{status}");
    assert_eq!(texts(bus).await.info().await?.spec.max_messages_per_subject, Some(5));

    ObjectStore::open(bus, ObjectSpec::new("s")).await?;
    let spec = ObjectSpec::new("s").max_bytes(1_000_000);
    failed(ObjectStore::open(bus, &spec).await, Code::AlreadyExists, reason::STREAM_EXISTS);
    Ok(())
}

async fn a_bucket_can_be_opened_as_it_is(bus: &Bus) -> Result<()> {
    failed(Kv::<String>::existing(bus, "b").await, Code::NotFound, reason::STREAM_NOT_FOUND);
    failed(ObjectStore::existing(bus, "s").await, Code::NotFound, reason::STREAM_NOT_FOUND);
    texts(bus).await.put("k", &text("1")).await?;
    ObjectStore::open(bus, ObjectSpec::new("s")).await?.put_bytes("o", "x").await?;
    assert_eq!(Kv::<String>::existing(bus, "b").await?.get("k").await?.expect("the same").value, "1");
    assert_eq!(ObjectStore::existing(bus, "s").await?.get_bytes("o").await?, "x");
    Ok(())
}

async fn what_cannot_be_a_bucket_is_refused(bus: &Bus) -> Result<()> {
    for name in ["", "a.b", "a b", "*", ">", "é", "a/b"] {
        let status =
            failed(Kv::<String>::open(bus, KvSpec::new(name)).await, Code::InvalidArgument, reason::INVALID_CONFIG);
        assert!(status.message().contains(&format!("{name:?}")), "{status}");
        failed(Kv::<String>::existing(bus, name).await, Code::InvalidArgument, reason::INVALID_CONFIG);
        failed(ObjectStore::existing(bus, name).await, Code::InvalidArgument, reason::INVALID_CONFIG);
    }
    for spec in [
        KvSpec::new("b").history(0),
        KvSpec::new("b").history(65),
        KvSpec::new("b").replicas(0),
        KvSpec::new("b").replicas(6),
        KvSpec::new("b").ttl(Duration::from_millis(999)),
        // A stream would take it for no limit.
        KvSpec::new("b").max_bytes(0),
        KvSpec::new("b").max_value_bytes(0),
        KvSpec::new("b").max_bytes(u64::MAX),
        KvSpec::new("b").max_value_bytes(u32::MAX),
    ] {
        failed(Kv::<String>::open(bus, &spec).await, Code::InvalidArgument, reason::INVALID_CONFIG);
    }
    for spec in [ObjectSpec::new("s").max_bytes(0), ObjectSpec::new("s").max_bytes(u64::MAX)] {
        failed(ObjectStore::open(bus, &spec).await, Code::InvalidArgument, reason::INVALID_CONFIG);
    }
    assert!(Streams::new(bus).names().await?.is_empty());
    Ok(())
}

async fn a_time_to_live_may_be_as_long_as_can_be(bus: &Bus) -> Result<()> {
    for _ in 0..2 {
        let bucket: Kv<String> = Kv::open(bus, KvSpec::new("b").ttl(Duration::MAX)).await?;
        bucket.put("k", &text("1")).await?;
        assert_eq!(bucket.get("k").await?.expect("a value").value, "1");
        ObjectStore::open(bus, ObjectSpec::new("s").ttl(Duration::MAX)).await?;
    }
    Ok(())
}

async fn a_bucket_has_the_layout_of_nats(bus: &Bus) -> Result<()> {
    let spec = KvSpec::new("b").history(64).ttl(Duration::from_secs(90)).max_bytes(1_000_000).max_value_bytes(500);
    let is = Kv::<String>::open(bus, spec.storage(Storage::Memory)).await?.info().await?.spec;
    assert_eq!((&*is.name, &*is.subjects), ("KV_b", &["$KV.b.>".into()][..]));
    assert_eq!((is.max_messages_per_subject, is.max_age), (Some(64), Some(Duration::from_secs(90))));
    assert_eq!((is.max_bytes, is.max_message_bytes, is.storage), (Some(1_000_000), Some(500), Storage::Memory));
    assert_eq!(is.discard, Discard::New);
    assert!(is.allow_direct && is.allow_rollup && is.deny_delete && !is.allow_message_ttl);

    let is = ObjectStore::open(bus, ObjectSpec::new("s")).await?.stream_info().await?.spec;
    assert_eq!((&*is.name, &*is.subjects), ("OBJ_s", &["$O.s.C.>".into(), "$O.s.M.>".into()][..]));
    assert!(is.allow_direct && is.allow_rollup && !is.deny_delete);
    Ok(())
}

async fn a_bucket_can_be_changed_by_its_spec(bus: &Bus) -> Result<()> {
    texts(bus).await.put("k", &text("1")).await?;
    let spec = KvSpec::new("b").history(9);
    Streams::new(bus).apply(spec.clone()).await?;
    let bucket = Kv::<String>::open(bus, &spec).await?;
    assert_eq!(bucket.get("k").await?.expect("it is kept").value, "1");
    let both: Specs = [Specs::from(KvSpec::new("c")), ObjectSpec::new("s").into()].into_iter().collect();
    assert_eq!(both.streams[0], StreamSpec::from(&KvSpec::new("c")));
    Streams::new(bus).apply(both).await?;
    Kv::<String>::open(bus, KvSpec::new("c")).await?;
    ObjectStore::open(bus, ObjectSpec::new("s")).await?;
    Ok(())
}

async fn a_full_bucket_refuses(bus: &Bus) -> Result<()> {
    let bucket: Kv = Kv::open(bus, KvSpec::new("b").max_bytes(10_000)).await?;
    let mut stored = 0;
    let status = loop {
        match bucket.put(format!("k.{stored}"), &noise(1_000)).await {
            Ok(_) => stored += 1,
            Err(status) => break status,
        }
    };
    failed(Err::<(), _>(status), Code::ResourceExhausted, reason::STREAM_FULL);
    assert!((5..10).contains(&stored), "{stored}");
    assert_eq!(bucket.keys(">").await?.len(), stored, "what was acknowledged is there");
    Ok(())
}

async fn a_value_over_its_limit_is_refused(bus: &Bus) -> Result<()> {
    let bucket: Kv = Kv::open(bus, KvSpec::new("b").max_value_bytes(1_000)).await?;
    bucket.put("k", &noise(500)).await?;
    failed(bucket.put("k", &noise(1_001)).await, Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE);
    assert_eq!(bucket.get("k").await?.expect("as before").value, noise(500));
    Ok(())
}

async fn a_full_store_refuses_and_keeps_nothing(bus: &Bus) -> Result<()> {
    let store = ObjectStore::open(bus, ObjectSpec::new("s").max_bytes(1_000_000)).await?;
    store.put_bytes("small", noise(1_000)).await?;
    let status = store.put("large", std::io::Cursor::new(noise(2_000_000))).await;
    failed(status, Code::ResourceExhausted, reason::STREAM_FULL);
    assert_eq!(store.info("large").await?, None);
    assert_eq!(store.stream_info().await?.messages, 2, "one chunk and one info");
    assert_eq!(store.get_bytes("small").await?, noise(1_000));
    Ok(())
}

//! Values that are put and got.

use bytes::Bytes;
use subwire::{Bus, Code, Kv, KvOperation, KvSpec, Result, reason};

use crate::{
    cases,
    fixture::{Squad, caught_up, entry, failed, failure, squad, text, texts},
};

cases! {
    a_message_comes_back_as_it_was_put,
    bytes_and_text_are_stored_as_they_are,
    a_key_without_a_value_has_none,
    a_removed_key_has_no_value,
    what_is_no_key_is_refused_by_name,
    what_cannot_be_decoded_is_an_error_and_never_skipped,
    a_value_may_be_as_large_as_a_message,
}

async fn a_message_comes_back_as_it_was_put(bus: &Bus) -> Result<()> {
    let squads: Kv<Squad> = Kv::open(bus, KvSpec::new("squads")).await?;
    let first = squads.put("red", &squad("red", 5)).await?;
    let second = squads.put("blue", &squad("blue", 7)).await?;
    let entry = squads.get("blue").await?.expect("it was put");
    assert_eq!((entry.key.as_str(), &entry.value), ("blue", &squad("blue", 7)));
    assert_eq!((entry.revision, entry.operation), (second, KvOperation::Put));
    assert_eq!(squads.get("red").await?.expect("it was put").revision, first);
    assert!(second > first);
    Ok(())
}

async fn bytes_and_text_are_stored_as_they_are(bus: &Bus) -> Result<()> {
    let bytes: Kv = Kv::open(bus, KvSpec::new("b").history(5)).await?;
    bytes.put("k", &Bytes::from_static(b"\x08hello")).await?;
    assert_eq!(bytes.get("k").await?.expect("it was put").value, "\x08hello");
    assert_eq!(texts(bus).await.get("k").await?.expect("it was put").value, "\x08hello");
    bytes.put("empty", &Bytes::new()).await?;
    assert_eq!(bytes.get("empty").await?.expect("empty is a value").value, "");
    Ok(())
}

async fn a_key_without_a_value_has_none(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    assert_eq!(bucket.get("nothing").await?, None);
    assert_eq!(bucket.get_revision("nothing", 1).await?, None);
    assert_eq!(bucket.history("nothing").await?, []);
    bucket.delete("nothing").await?;
    assert_eq!(bucket.get("nothing").await?, None);
    Ok(())
}

async fn a_removed_key_has_no_value(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for key in ["deleted", "purged"] {
        bucket.put(key, &text("1")).await?;
        bucket.put(key, &text("2")).await?;
    }
    bucket.delete("deleted").await?;
    bucket.purge("purged").await?;
    assert_eq!((bucket.get("deleted").await?, bucket.get("purged").await?), (None, None));

    let history = bucket.history("deleted").await?;
    let values: Vec<_> = history.iter().map(|entry| entry.value.as_deref()).collect();
    assert_eq!(values, [Some("1"), Some("2"), None]);
    assert_eq!(history[2].operation, KvOperation::Delete);

    let history = bucket.history("purged").await?;
    let operations: Vec<_> = history.iter().map(|entry| entry.operation).collect();
    assert_eq!(operations, [KvOperation::Purge]);
    Ok(())
}

async fn what_is_no_key_is_refused_by_name(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for key in ["", ".", "a.", ".a", "a..b", "a b", "*", "a.>", "é", "a\r\nPUB evil 0\r\n\r\n"] {
        let value = text("x");
        for result in [
            bucket.put(key, &value).await.map(drop),
            bucket.create(key, &value).await.map(drop),
            bucket.update(key, &value, 1).await.map(drop),
            bucket.get(key).await.map(drop),
            bucket.get_revision(key, 1).await.map(drop),
            bucket.delete(key).await,
            bucket.delete_if(key, 1).await,
            bucket.purge(key).await,
            bucket.history(key).await.map(drop),
        ] {
            let status = failed(result, Code::InvalidArgument, reason::INVALID_SUBJECT);
            assert!(status.message().contains(&format!("{key:?}")), "{status}");
        }
    }
    for filter in ["", "a.", "a.>.b", "a b", "a*"] {
        failed(bucket.keys(filter).await, Code::InvalidArgument, reason::INVALID_SUBJECT);
        failed(bucket.watch(filter).await, Code::InvalidArgument, reason::INVALID_SUBJECT);
    }
    assert_eq!(bucket.info().await?.messages, 0);
    bucket.put("a/b.C_-=.9", &text("legal")).await?;
    assert_eq!(bucket.get("a/b.C_-=.9").await?.expect("it was put").value, "legal");
    Ok(())
}

async fn what_cannot_be_decoded_is_an_error_and_never_skipped(bus: &Bus) -> Result<()> {
    let squads: Kv<Squad> = Kv::open(bus, KvSpec::new("squads").history(5)).await?;
    squads.put("red", &squad("red", 1)).await?;
    let broken = squads.raw().put("red", &Bytes::from_static(b"\xff\xff")).await?;
    squads.put("blue", &squad("blue", 2)).await?;

    let status = failed(squads.get("red").await, Code::DataLoss, reason::MALFORMED_EVENT);
    assert!(status.message().contains("red") && status.message().contains(&broken.to_string()), "{status}");
    failed(squads.history("red").await, Code::DataLoss, reason::MALFORMED_EVENT);
    assert_eq!(squads.raw().history("red").await?.len(), 2);

    let mut watch = squads.watch(">").await?;
    assert_eq!(failure(&mut watch).await.code(), Code::DataLoss);
    assert_eq!(entry(&mut watch).await.value, Some(squad("blue", 2)));
    caught_up(&mut watch).await;
    Ok(())
}

async fn a_value_may_be_as_large_as_a_message(bus: &Bus) -> Result<()> {
    let bytes: Kv = Kv::open(bus, KvSpec::new("b")).await?;
    let large = crate::fixture::noise(bus.max_payload() - 1_024);
    bytes.put("large", &large).await?;
    assert_eq!(bytes.get("large").await?.expect("it was put").value, large);
    let larger = crate::fixture::noise(bus.max_payload() + 1);
    failed(bytes.put("larger", &larger).await, Code::ResourceExhausted, reason::TOO_LARGE_REQUEST);
    Ok(())
}

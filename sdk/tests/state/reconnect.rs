//! A server that dies and comes back.

use std::io::Cursor;

use subwire::{KvChange, Result};
use tokio::io::AsyncReadExt;

use crate::fixture::{caught_up, change, eventually, nats, noise, objects, text, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_without_gap_or_double() -> Result<()> {
    let mut nats = nats().await;
    let bucket = texts(&nats.bus).await;
    bucket.put("k.0", &text("0")).await?;
    let mut watch = bucket.watch(">").await?;
    let mut seen = vec![crate::fixture::entry(&mut watch).await.revision];
    caught_up(&mut watch).await;
    for round in 1..=3_u64 {
        for number in 0..20 {
            bucket.put(format!("k.{round}.{number}"), &text("x")).await?;
        }
        nats.server.restart().await.expect("the server is back");
        // Waits for the connection.
        bucket.put(format!("k.{round}.last"), &text("x")).await?;
        while seen.len() as u64 <= round * 21 {
            match change(&mut watch).await {
                KvChange::Entry(entry) => seen.push(entry.revision),
                KvChange::CaughtUp => panic!("it has caught up once already"),
            }
        }
    }
    assert_eq!(seen, (1..=64).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_for_the_connection_and_is_stored_once() -> Result<()> {
    let mut nats = nats().await;
    let bucket = texts(&nats.bus).await;
    for round in 0..3_u64 {
        let (writing, other) = (bucket.clone(), bucket.clone());
        let writer = tokio::spawn(async move {
            let mut revision = writing.put("k", &text("first")).await?;
            for number in 0..500 {
                revision = writing.update("k", &number.to_string(), revision).await?;
            }
            Ok::<_, subwire::Status>(revision)
        });
        let begun = async || matches!(other.get("k").await, Ok(Some(entry)) if entry.revision > round * 501 + 50);
        eventually("the writer writes", begun).await;
        nats.server.restart().await.expect("the server is back");
        assert_eq!(writer.await.expect("no panic")?, (round + 1) * 501, "no update was stored twice");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_read_on() -> Result<()> {
    let mut nats = nats().await;
    let store = objects(&nats.bus).await;
    let bytes = noise(32 * 1024 * 1024);
    store.put("o", Cursor::new(bytes.clone())).await?;
    let mut object = store.get("o").await?;
    let mut read = vec![0; 1024 * 1024];
    object.read_exact(&mut read).await.expect("a start");
    nats.server.restart().await.expect("the server is back");
    object.read_to_end(&mut read).await.expect("the rest");
    assert!(read == bytes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_loses_its_connection_leaves_nothing() -> Result<()> {
    let mut nats = nats().await;
    let store = objects(&nats.bus).await;
    let (mut writer, reader) = tokio::io::duplex(64 * 1024);
    let put = {
        let store = store.clone();
        tokio::spawn(async move { store.put("o", reader).await })
    };
    let bytes = noise(1024 * 1024);
    tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes).await.expect("it is read");
    nats.server.restart().await.expect("the server is back");
    // It reads on until it notices.
    while tokio::io::AsyncWriteExt::write_all(&mut writer, &bytes).await.is_ok() {}
    let status = put.await.expect("no panic").expect_err("its chunks are lost");
    assert_eq!(status.code(), subwire::Code::Unavailable, "{status}");
    assert_eq!(store.info("o").await?, None);
    eventually("its chunks are gone", async || matches!(store.stream_info().await, Ok(info) if info.messages == 0))
        .await;
    Ok(())
}

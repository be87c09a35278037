//! Objects that break on the way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use subwire::{
    Bus, Code, Events, ObjectStore, Result, Streams,
    bus::{Message, Subject},
    reason,
};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::{
    cases,
    fixture::{eventually, failed, noise, objects},
};

const CHUNK: usize = 128 * 1024;

cases! {
    a_source_that_fails_leaves_nothing,
    a_put_that_is_dropped_leaves_nothing,
    a_failed_put_leaves_the_version_before,
    a_wrong_digest_is_an_error,
    a_wrong_size_is_an_error,
    missing_chunks_are_an_error,
    an_object_that_is_replaced_while_it_is_read_is_noticed,
    an_object_that_is_deleted_while_it_is_read_is_noticed,
    of_two_puts_at_one_time_one_remains,
    chunks_of_no_object_are_swept,
    an_info_that_makes_no_sense_is_an_error,
}

/// Gives what it has, and then fails, or waits for ever.
struct Broken {
    bytes: Bytes,
    fails: bool,
}

impl AsyncRead for Broken {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return match self.fails {
                true => Poll::Ready(Err(io::Error::other("the disk is gone"))),
                false => Poll::Pending,
            };
        }
        let length = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes.split_to(length));
        Poll::Ready(Ok(()))
    }
}

async fn messages(store: &ObjectStore) -> u64 {
    store.stream_info().await.expect("a store").messages
}

async fn a_source_that_fails_leaves_nothing(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let put = store.put("o", Broken { bytes: noise(40 * CHUNK + 5), fails: true }).await;
    let status = failed(put, Code::Unknown, "SOURCE_FAILED");
    assert!(status.message().contains("the disk is gone"), "{status}");
    assert_eq!((store.info("o").await?, messages(&store).await), (None, 0));

    // What is read from another object tells its own error.
    let chunks = Subject::new("$O.s.C.x")?;
    Events::new(bus).publish(Message::new(chunks, "b")).await?;
    info(bus, "bad", r#"{"name":"bad","bucket":"s","nuid":"x","size":1,"chunks":1,"digest":"SHA-256=x"}"#).await?;
    failed(store.put("copy", store.get("bad").await?).await, Code::DataLoss, "WRONG_DIGEST");
    Ok(())
}

async fn a_put_that_is_dropped_leaves_nothing(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let mut put = Box::pin(store.put("o", Broken { bytes: noise(40 * CHUNK + 5), fails: false }));
    tokio::select! {
        _ = &mut put => panic!("its source never ends"),
        () = eventually("chunks are stored", async || messages(&store).await >= 20) => {}
    }
    drop(put);
    eventually("they are taken back", async || messages(&store).await == 0).await;
    Ok(())
}

async fn a_failed_put_leaves_the_version_before(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(3 * CHUNK)).await?;
    let put = store.put("o", Broken { bytes: noise(10 * CHUNK), fails: true }).await;
    failed(put, Code::Unknown, "SOURCE_FAILED");
    assert_eq!(store.get_bytes("o").await?, noise(3 * CHUNK));
    assert_eq!(messages(&store).await, 4);
    Ok(())
}

/// What another client says of an object.
async fn info(bus: &Bus, name: &str, json: &str) -> Result<()> {
    let subject = Subject::new(format!("$O.s.M.{}", data_encoding::BASE64URL.encode(name.as_bytes())))?;
    let message = Message::new(subject, json.to_owned()).with_header("Nats-Rollup", "sub");
    Events::new(bus).publish(message).await.map(drop)
}

/// Changes what the store says of the object `o`.
async fn change(bus: &Bus, from: &str, to: &str) -> Result<()> {
    let stored = Streams::new(bus).last_message("OBJ_s", "$O.s.M.bw==").await?.expect("an info");
    let json = String::from_utf8(stored.message.payload.to_vec()).expect("JSON");
    assert!(json.contains(from), "{json}");
    info(bus, "o", &json.replace(from, to)).await
}

async fn a_wrong_digest_is_an_error(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(3 * CHUNK)).await?;
    change(bus, "SHA-256=", "SHA-256=x").await?;
    failed(store.get_bytes("o").await, Code::DataLoss, "WRONG_DIGEST");

    // The last chunk does not come, and the end neither.
    let mut object = store.get("o").await?;
    let mut bytes = Vec::new();
    let error = object.read_to_end(&mut bytes).await.expect_err("it is wrong");
    assert_eq!((error.kind(), bytes.len()), (io::ErrorKind::InvalidData, 2 * CHUNK));
    assert!(object.read(&mut [0]).await.is_err(), "an error is no end");
    failed(object.chunk().await, Code::DataLoss, "WRONG_DIGEST");
    Ok(())
}

async fn a_wrong_size_is_an_error(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", "abc").await?;
    change(bus, "\"size\":3", "\"size\":4").await?;
    failed(store.get_bytes("o").await, Code::DataLoss, "OBJECT_INCOMPLETE");
    change(bus, "\"chunks\":1", "\"chunks\":0").await?;
    failed(store.get_bytes("o").await, Code::DataLoss, "OBJECT_INCOMPLETE");
    Ok(())
}

async fn missing_chunks_are_an_error(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(3 * CHUNK)).await?;
    let streams = Streams::new(bus);
    streams.delete_message("OBJ_s", 2).await?;
    failed(store.get_bytes("o").await, Code::DataLoss, "OBJECT_INCOMPLETE");
    streams.purge("OBJ_s", Some("$O.s.C.>")).await?;
    failed(store.get_bytes("o").await, Code::DataLoss, "OBJECT_INCOMPLETE");
    Ok(())
}

/// More than a reader holds.
const MUCH: usize = 256 * CHUNK;

async fn an_object_that_is_replaced_while_it_is_read_is_noticed(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(MUCH)).await?;
    let mut object = store.get("o").await?;
    object.chunk().await?.expect("a first one");
    store.put_bytes("o", noise(MUCH)).await?;
    let mut bytes = Vec::new();
    let error = object.read_to_end(&mut bytes).await.expect_err("it has changed");
    failed(Err::<(), _>(error.downcast().expect("a status")), Code::Aborted, "OBJECT_CHANGED");
    assert_eq!(store.get_bytes("o").await?.len(), MUCH);
    Ok(())
}

async fn an_object_that_is_deleted_while_it_is_read_is_noticed(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(MUCH)).await?;
    let mut object = store.get("o").await?;
    object.chunk().await?.expect("a first one");
    store.delete("o").await?;
    let end = async {
        loop {
            match object.chunk().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        }
    };
    failed(end.await, Code::Aborted, "OBJECT_CHANGED");
    Ok(())
}

async fn of_two_puts_at_one_time_one_remains(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    for round in 0..10 {
        let puts = (1..=4).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.put_bytes("o", noise(number * CHUNK)).await })
        });
        for put in futures_util::future::join_all(puts).await {
            put.expect("no panic")?;
        }
        let info = store.info("o").await?.expect("one of them");
        assert_eq!(store.get_bytes("o").await?.len() as u64, info.size);
        assert_eq!(messages(&store).await, info.chunks + 1, "round {round}: no chunk of another is left");
    }
    Ok(())
}

async fn chunks_of_no_object_are_swept(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(2 * CHUNK)).await?;
    let events = Events::new(bus);
    for nuid in ["killed1", "killed1", "killed2"] {
        events.publish(Message::new(Subject::new(format!("$O.s.C.{nuid}"))?, noise(CHUNK))).await?;
    }
    assert_eq!(store.sweep(Duration::from_secs(3_600)).await?, 0, "it may still be going on");
    assert_eq!(store.sweep(Duration::ZERO).await?, 3);
    assert_eq!(store.sweep(Duration::ZERO).await?, 0);
    assert_eq!(store.get_bytes("o").await?, noise(2 * CHUNK));
    Ok(())
}

async fn an_info_that_makes_no_sense_is_an_error(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(CHUNK)).await?;
    // A wildcard for a nuid would take other objects along when it is deleted.
    for json in ["no JSON", r#"{"name":"bad","bucket":"s","nuid":">","size":1,"chunks":1}"#] {
        info(bus, "bad", json).await?;
        failed(store.info("bad").await, Code::DataLoss, reason::MALFORMED_EVENT);
        failed(store.get("bad").await, Code::DataLoss, reason::MALFORMED_EVENT);
        failed(store.delete("bad").await, Code::DataLoss, reason::MALFORMED_EVENT);
        failed(store.list().await, Code::DataLoss, reason::MALFORMED_EVENT);
    }
    assert_eq!(store.get_bytes("o").await?, noise(CHUNK));
    Ok(())
}

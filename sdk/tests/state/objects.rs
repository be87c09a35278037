//! Objects that are put and got.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use subwire::{Bus, Code, Object, ObjectMeta, ObjectStore, Result, reason};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::{
    cases,
    fixture::{failed, noise, objects},
};

const CHUNK: usize = 128 * 1024;

cases! {
    an_object_comes_back_as_it_was_put,
    a_source_that_gives_little_makes_full_chunks,
    an_object_is_read_in_either_way,
    a_name_may_be_any_text,
    what_is_said_of_an_object_is_kept,
    a_new_version_replaces_the_old_one,
    a_deleted_object_is_gone,
    objects_are_listed_by_name,
    what_goes_in_one_piece_has_a_limit,
    many_objects_at_one_time,
}

async fn bytes_of(mut object: Object) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.read_to_end(&mut bytes).await.expect("all of it");
    bytes
}

async fn messages(store: &ObjectStore) -> Result<u64> {
    Ok(store.stream_info().await?.messages)
}

async fn an_object_comes_back_as_it_was_put(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    for (size, chunks) in
        [(0, 0), (1, 1), (CHUNK - 1, 1), (CHUNK, 1), (CHUNK + 1, 2), (5 * CHUNK + 7, 6), (64 * CHUNK, 64)]
    {
        let bytes = noise(size);
        let info = store.put("o", &bytes[..]).await?;
        assert_eq!((info.size, info.chunks), (size as u64, chunks), "{size}");
        let got = store.get("o").await?;
        assert_eq!(got.info().digest, info.digest);
        assert!(bytes_of(got).await == bytes, "{size}");
        assert_eq!(messages(&store).await?, chunks + 1, "chunks and one info");
    }
    Ok(())
}

/// Gives a few bytes at a time.
struct Trickle(Bytes);

impl AsyncRead for Trickle {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let length = self.0.len().min(into.remaining()).min(1_001);
        into.put_slice(&self.0.split_to(length));
        Poll::Ready(Ok(()))
    }
}

async fn a_source_that_gives_little_makes_full_chunks(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let bytes = noise(3 * CHUNK + 1);
    let info = store.put("o", Trickle(bytes.clone())).await?;
    assert_eq!(info.chunks, 4);
    assert_eq!(store.get_bytes("o").await?, bytes);
    Ok(())
}

async fn an_object_is_read_in_either_way(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let bytes = noise(2 * CHUNK + 9);
    store.put_bytes("o", bytes.clone()).await?;
    let chunks: Vec<Bytes> = store.get("o").await?.try_collect().await?;
    assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK, CHUNK, 9]);

    // A part by bytes, the rest by chunks.
    let mut object = store.get("o").await?;
    let mut start = [0; 1_000];
    object.read_exact(&mut start).await.expect("a start");
    let mut rest = Vec::new();
    while let Some(chunk) = object.chunk().await? {
        rest.extend_from_slice(&chunk);
    }
    assert!(bytes[..1_000] == start && bytes[1_000..] == rest);
    assert_eq!(object.chunk().await?, None);
    Ok(())
}

async fn a_name_may_be_any_text(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    for name in ["model.bin", "a/b c/*.>", "größe 100 %", "🦀", "x\r\ny", &"n".repeat(300)] {
        store.put_bytes(name, name.to_owned()).await?;
        assert_eq!(store.get_bytes(name).await?, name);
    }
    assert_eq!(store.list().await?.len(), 6);
    for name in ["", &"n".repeat(500)] {
        failed(store.put_bytes(name, "x").await, Code::InvalidArgument, reason::INVALID_SUBJECT);
        failed(store.get(name).await, Code::InvalidArgument, reason::INVALID_SUBJECT);
        failed(store.info(name).await, Code::InvalidArgument, reason::INVALID_SUBJECT);
        failed(store.delete(name).await, Code::InvalidArgument, reason::INVALID_SUBJECT);
    }
    Ok(())
}

async fn what_is_said_of_an_object_is_kept(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let meta = ObjectMeta::new("o").description("the best").metadata("layers", "12");
    let put = store.put_bytes(meta, "abc").await?;
    let got = store.info("o").await?.expect("it was put");
    assert_eq!((got.bucket.as_str(), got.name.as_str(), got.description.as_str()), ("s", "o", "the best"));
    assert_eq!(got.metadata["layers"], "12");
    assert_eq!((got.size, got.chunks, got.revision), (3, 1, put.revision));
    assert_eq!(got.digest.as_deref(), Some("SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0="));
    assert!(!got.deleted && got.link.is_none());
    Ok(())
}

async fn a_new_version_replaces_the_old_one(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("o", noise(10 * CHUNK)).await?;
    store.put_bytes("other", noise(CHUNK)).await?;
    store.put_bytes("o", "short").await?;
    assert_eq!(store.get_bytes("o").await?, "short");
    assert_eq!(messages(&store).await?, 4, "the chunks of the old version are gone");
    assert_eq!(store.get_bytes("other").await?, noise(CHUNK));
    Ok(())
}

async fn a_deleted_object_is_gone(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    assert!(!store.delete("o").await?);
    store.put_bytes("o", noise(10 * CHUNK)).await?;
    assert!(store.delete("o").await?);
    assert!(!store.delete("o").await?);
    assert_eq!(store.info("o").await?, None);
    let status = failed(store.get("o").await, Code::NotFound, "OBJECT_NOT_FOUND");
    assert!(status.message().contains("\"o\""), "{status}");
    failed(store.get_bytes("never").await, Code::NotFound, "OBJECT_NOT_FOUND");
    assert_eq!(messages(&store).await?, 1, "what remains says that it is deleted");
    store.put_bytes("o", "again").await?;
    assert_eq!(store.get_bytes("o").await?, "again");
    Ok(())
}

async fn objects_are_listed_by_name(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    assert!(store.list().await?.is_empty());
    for name in ["c", "a", "d", "b", "a"] {
        store.put_bytes(name, name.to_owned()).await?;
    }
    store.delete("d").await?;
    let names: Vec<_> = store.list().await?.into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    Ok(())
}

async fn what_goes_in_one_piece_has_a_limit(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let size = ObjectStore::BYTES_MAX + 1;
    let large = store.put_bytes("large", vec![0; size]).await;
    failed(large, Code::ResourceExhausted, reason::TOO_LARGE_REQUEST);
    assert_eq!(messages(&store).await?, 0);
    store.put("large", tokio::io::repeat(0).take(size as u64)).await?;
    let status = failed(store.get_bytes("large").await, Code::ResourceExhausted, reason::TOO_LARGE_RESPONSE);
    assert!(status.message().contains(&size.to_string()), "{status}");
    Ok(())
}

async fn many_objects_at_one_time(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let puts = (0..8).map(|number| {
        let store = store.clone();
        async move { store.put_bytes(format!("o{number}"), noise(5 * CHUNK + number)).await }
    });
    futures_util::future::try_join_all(puts).await?;
    let gets = (0..8).map(|number| {
        let store = store.clone();
        async move { store.get_bytes(format!("o{number}")).await }
    });
    for (number, got) in futures_util::future::try_join_all(gets).await?.into_iter().enumerate() {
        assert!(got == noise(5 * CHUNK + number), "{number}");
    }
    assert_eq!(messages(&store).await?, 7 * 8 - 1, "the first has one chunk less");
    Ok(())
}

//! Stores that we share with other clients of NATS: async-nats in their place.

use async_nats::jetstream::object_store::{Config, ObjectMetadata, UpdateMetadata};
use futures_util::TryStreamExt;
use subwire::{Code, ObjectChange, ObjectLink, ObjectMeta, Result};
use tokio::io::AsyncReadExt;

use crate::fixture::{nats, noise, objects, soon, text};

const CHUNK: usize = 128 * 1024;

#[tokio::test]
async fn others_read_what_we_write() -> Result<()> {
    let nats = nats().await;
    let ours = objects(&nats.bus).await;
    let theirs = nats.other().await.get_object_store("s").await.expect("a store");
    for (name, size) in [("empty", 0), ("one", 1), ("größe/2.bin", 2 * CHUNK), ("more", 5 * CHUNK + 3)] {
        let bytes = noise(size);
        let meta = ObjectMeta::new(name).description("d").metadata("k", "v");
        let info = ours.put_bytes(meta, bytes.clone()).await?;
        let found = theirs.info(name).await.expect("an info");
        assert_eq!((found.name.as_str(), found.size, found.chunks as u64), (name, size, info.chunks));
        assert_eq!((found.digest, found.description), (info.digest, Some(text("d"))));
        assert_eq!(found.metadata["k"], "v");
        assert!(found.modified.is_some());
        let mut read = Vec::new();
        theirs.get(name).await.expect("an object").read_to_end(&mut read).await.expect("all of it");
        assert!(read == bytes, "{name}");
    }
    ours.delete("one").await?;
    assert!(theirs.get("one").await.is_err());
    let mut names: Vec<_> =
        theirs.list().await.expect("a list").map_ok(|info| info.name).try_collect().await.expect("infos");
    names.sort();
    assert_eq!(names, ["empty", "größe/2.bin", "more"]);
    Ok(())
}

#[tokio::test]
async fn we_read_what_others_write() -> Result<()> {
    let nats = nats().await;
    let config = Config { bucket: text("s"), ..Config::default() };
    let theirs = nats.other().await.create_object_store(config).await.expect("a store");
    // Their store is one that we would have made.
    let ours = objects(&nats.bus).await;
    let mut watch = ours.watch().await?;
    assert_eq!(soon("a marker", watch.next()).await.expect("no end")?, ObjectChange::CaughtUp);

    for (name, size) in [("empty", 0), ("one", 1), ("more", 5 * CHUNK + 3)] {
        let bytes = noise(size);
        let meta = ObjectMetadata { name: text(name), description: Some(text("d")), ..ObjectMetadata::default() };
        let info = theirs.put(meta, &mut &bytes[..]).await.expect("put");
        let found = ours.info(name).await?.expect("an info");
        assert_eq!((found.size as usize, found.chunks as usize, &found.digest), (info.size, info.chunks, &info.digest));
        assert_eq!(found.description, "d");
        assert!(ours.get_bytes(name).await? == bytes, "{name}");
        match soon("a change", watch.next()).await.expect("no end")? {
            ObjectChange::Entry(info) => assert_eq!(info, found),
            ObjectChange::CaughtUp => panic!("an object was to come"),
        }
    }
    theirs.delete("one").await.expect("deleted");
    assert_eq!(ours.info("one").await?, None);
    let names: Vec<_> = ours.list().await?.into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["empty", "more"]);
    // We replace theirs, and they replace ours.
    ours.put_bytes("more", "ours").await?;
    theirs.put("empty", &mut &b"theirs"[..]).await.expect("put");
    assert_eq!(ours.get_bytes("empty").await?, "theirs");
    assert_eq!(ours.stream_info().await?.messages, 5, "two chunks, two infos, and one of what is deleted");
    Ok(())
}

#[tokio::test]
async fn a_link_of_others_is_followed() -> Result<()> {
    let nats = nats().await;
    let ours = objects(&nats.bus).await;
    ours.put_bytes("real", "bytes").await?;
    let other = nats.other().await;
    let theirs = other.get_object_store("s").await.expect("a store");
    let real = theirs.get("real").await.expect("an object");
    theirs.add_link("link", &real).await.expect("a link");
    let second = other.create_object_store(Config { bucket: text("t"), ..Config::default() }).await.expect("a store");
    second.add_link("far", &real).await.expect("a link");
    theirs.add_bucket_link("all", "t").await.expect("a link");

    assert_eq!(ours.get_bytes("link").await?, "bytes");
    let link = ObjectLink { bucket: text("s"), name: Some(text("real")) };
    assert_eq!(ours.info("link").await?.expect("an info").link, Some(link));
    let far = subwire::ObjectStore::existing(&nats.bus, "t").await?;
    assert_eq!(far.get_bytes("far").await?, "bytes");
    assert_eq!(ours.get("all").await.expect_err("no object").code(), Code::FailedPrecondition);
    Ok(())
}

#[tokio::test]
async fn what_others_say_anew_of_an_object_is_no_change_of_it() -> Result<()> {
    let nats = nats().await;
    let ours = objects(&nats.bus).await;
    ours.put_bytes("o", noise(100 * CHUNK)).await?;
    let mut object = ours.get("o").await?;
    object.chunk().await?.expect("a first one");
    let theirs = nats.other().await.get_object_store("s").await.expect("a store");
    let update = UpdateMetadata { name: text("o"), description: Some(text("new")), ..UpdateMetadata::default() };
    theirs.update_metadata("o", update).await.expect("updated");
    let rest: usize =
        object.map_ok(|chunk| chunk.len()).try_fold(0, |sum, length| async move { Ok(sum + length) }).await?;
    assert_eq!(rest, 99 * CHUNK);
    assert_eq!(ours.info("o").await?.expect("an info").description, "new");
    Ok(())
}

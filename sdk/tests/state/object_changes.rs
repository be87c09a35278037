//! Watching an object store.

use subwire::{Bus, Code, ObjectChange, ObjectInfo, ObjectWatch, Result};

use crate::{
    cases,
    fixture::{objects, soon},
};

cases! {
    what_is_there_comes_first_and_then_what_changes,
    a_watch_ends_with_its_store,
}

async fn change(watch: &mut ObjectWatch) -> ObjectChange {
    soon("a change", watch.next()).await.expect("no end").expect("no error")
}

async fn entry(watch: &mut ObjectWatch) -> ObjectInfo {
    match change(watch).await {
        ObjectChange::Entry(info) => info,
        ObjectChange::CaughtUp => panic!("an object was to come, and the watch has caught up"),
    }
}

async fn what_is_there_comes_first_and_then_what_changes(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    store.put_bytes("a", "1").await?;
    store.put_bytes("b", "2").await?;
    store.put_bytes("a", "33").await?;
    let mut watch = store.watch().await?;
    assert_eq!(entry(&mut watch).await.name, "b");
    let second = entry(&mut watch).await;
    assert_eq!((second.name.as_str(), second.size), ("a", 2));
    assert_eq!(change(&mut watch).await, ObjectChange::CaughtUp);
    store.put_bytes("c", "4").await?;
    assert_eq!(entry(&mut watch).await.name, "c");
    store.delete("b").await?;
    let deleted = entry(&mut watch).await;
    assert_eq!((deleted.name.as_str(), deleted.deleted, deleted.size), ("b", true, 0));
    Ok(())
}

async fn a_watch_ends_with_its_store(bus: &Bus) -> Result<()> {
    let store = objects(bus).await;
    let mut watch = store.watch().await?;
    assert_eq!(change(&mut watch).await, ObjectChange::CaughtUp);
    store.delete_bucket().await?;
    let end = soon("an end", watch.next()).await.expect("an error");
    assert_eq!(end.expect_err("it is gone").code(), Code::NotFound);
    assert!(soon("the end", watch.next()).await.is_none());
    Ok(())
}

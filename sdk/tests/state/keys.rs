//! The keys of a bucket.

use subwire::{Bus, Result};

use crate::{
    cases,
    fixture::{text, texts},
};

cases! {
    keys_are_sorted_and_have_values,
    a_filter_chooses_keys,
    a_large_bucket_has_all_its_keys,
}

async fn keys_are_sorted_and_have_values(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    assert!(bucket.keys(">").await?.is_empty());
    for key in ["c", "a", "b", "d", "a", "e"] {
        bucket.put(key, &text(key)).await?;
    }
    bucket.delete("b").await?;
    bucket.purge("d").await?;
    assert_eq!(bucket.keys(">").await?, ["a", "c", "e"]);
    bucket.put("b", &text("back")).await?;
    assert_eq!(bucket.keys(">").await?, ["a", "b", "c", "e"]);
    Ok(())
}

async fn a_filter_chooses_keys(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    for key in ["squad.red", "squad.red.size", "squad.blue", "team.red"] {
        bucket.put(key, &text("x")).await?;
    }
    for (filter, expected) in [
        ("squad.>", vec!["squad.blue", "squad.red", "squad.red.size"]),
        ("squad.*", vec!["squad.blue", "squad.red"]),
        ("*.red", vec!["squad.red", "team.red"]),
        ("team.red", vec!["team.red"]),
        ("none.>", vec![]),
    ] {
        assert_eq!(bucket.keys(filter).await?, expected, "{filter}");
    }
    Ok(())
}

async fn a_large_bucket_has_all_its_keys(bus: &Bus) -> Result<()> {
    let bucket = texts(bus).await;
    let mut expected: Vec<_> = (0..1_500).map(|number| format!("k.{number}")).collect();
    for key in &expected {
        bucket.put(key, &text("x")).await?;
    }
    expected.sort();
    assert_eq!(bucket.keys("k.*").await?, expected);
    Ok(())
}

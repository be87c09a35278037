//! What is acknowledged is delivered, whatever happens to the servers.

#![allow(clippy::panic, reason = "a wait that is too long says what it waited for")]

mod cluster;
mod full;
mod ledger;
mod restart;
mod slow;

use std::{future::Future, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use schemas::testing::event::v1::*;
use subwire::{Bus, testing::NatsServer};
use tokio::time::timeout;

use crate::ledger::Ledger;

/// No wait of these tests is longer. Machines that run them are busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// A number that another run can be given: `SUBWIRE_TEST_SEED`.
fn seed() -> u64 {
    let given = std::env::var("SUBWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("SUBWIRE_TEST_SEED={seed}");
    seed
}

fn reading(value: u64) -> Reading {
    Reading {
        id: format!("reading-{value}"),
        place: Some(Place { room: "kitchen".to_owned() }),
        kind: ReadingKind::Temperature.into(),
        value,
    }
}

//! Events on both buses: the same tests, the same results.

#![allow(clippy::panic, reason = "a wait that is too long says what it waited for")]

mod core;
mod durable;
mod provisioning;
mod subjects;
mod unacknowledged;

use std::{future::Future, time::Duration};

use schemas::testing::event::v1::*;
use subwire::{Bus, testing::NatsServer};
use tokio::time::timeout;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// A bus, and whatever it needs to live.
struct Broker {
    bus: Bus,
    _server: Option<NatsServer>,
}

impl Broker {
    async fn memory() -> Self {
        Self { bus: Bus::memory(), _server: None }
    }

    async fn nats() -> Self {
        let server = NatsServer::builder().jetstream().start().await.expect("a server");
        Self { bus: Bus::nats(server.url()).await.expect("connected"), _server: Some(server) }
    }
}

/// Each of these functions is a test on either bus.
macro_rules! on_both_buses {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test($crate::Broker::memory().await).await }
            )+
        }
        mod nats {
            $(#[tokio::test] async fn $test() { super::$test($crate::Broker::nats().await).await }
            )+
        }
    };
}
pub(crate) use on_both_buses;

fn reading(value: u64) -> Reading {
    Reading {
        id: format!("reading-{value}"),
        place: Some(Place { room: "kitchen".to_owned() }),
        kind: ReadingKind::Temperature.into(),
        value,
    }
}

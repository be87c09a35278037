//! Events: published, stored, worked off; beside async-nats by hand.

mod latency;
mod local;
mod publish;
mod work;

use bytes::Bytes;
use subwire::testing::NatsServer;

/// What subwire generates.
pub(crate) mod ours {
    subwire::include_proto!("bench.event.v1");
}

/// Events that may be on their way, on both sides of a comparison.
const WINDOW: usize = 1_024;

pub(crate) async fn run(rounds: usize, seconds: f64) -> anyhow::Result<()> {
    publish::run(rounds).await?;
    work::run(rounds).await?;
    latency::run(seconds).await?;
    local::run(rounds).await
}

async fn broker() -> anyhow::Result<NatsServer> {
    Ok(NatsServer::builder().jetstream().start().await?)
}

fn reading() -> ours::Reading {
    ours::Reading { sensor: "backend-7".to_owned(), published_ns: 0, payload: Bytes::from_static(&[7; 80]) }
}

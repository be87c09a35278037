//! Ten thousand open streams on which nothing happens.

use std::time::Duration;

use subwire::{Bus, testing::NatsServer};

use crate::{
    report::{processor, resident, verdict},
    services::{Kind, Process, ours},
};

const STREAMS: u64 = 10_000;
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("{STREAMS} open idle streams over NATS, watched for {} s", WATCHED.as_secs());
    let nats = NatsServer::start().await?;
    let service = Process::start(Kind::Subwire, &nats.url()).await?;
    let bus = Bus::nats(nats.url()).await?;
    let echo = ours::EchoClient::new(&bus);
    // A first one, so that what every connection needs is there already.
    let _first = echo.many(ours::ManyRequest::default()).await?;
    let before = (resident(None)?, resident(service.id())?);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(echo.many(ours::ManyRequest::default()).await?);
    }
    let after = (resident(None)?, resident(service.id())?);
    let a_stream = |before: u64, after: u64| after.saturating_sub(before) as f64 / STREAMS as f64 / 1024.0;
    let (client, server) = (a_stream(before.0, after.0), a_stream(before.1, after.1));
    verdict("memory of a stream at the client", client, " KiB", "at most 8 KiB", client <= 8.0);
    verdict("memory of a stream at the service", server, " KiB", "at most 8 KiB", server <= 8.0);
    let before = (processor(None)?, processor(service.id())?);
    tokio::time::sleep(WATCHED).await;
    let share = |before: f64, after: f64| (after - before) / WATCHED.as_secs_f64() * 100.0;
    let client = share(before.0, processor(None)?);
    let server = share(before.1, processor(service.id())?);
    verdict("processor of the client", client, " % of a core", "under 1 %", client < 1.0);
    verdict("processor of the service", server, " % of a core", "under 1 %", server < 1.0);
    for stream in &mut streams {
        let still_open = futures_util::FutureExt::now_or_never(stream.message()).is_none();
        anyhow::ensure!(still_open, "a stream ended");
    }
    Ok(())
}

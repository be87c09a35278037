//! Calls that never get their answer leave nothing behind.

use std::{future::IntoFuture, time::Duration};

use futures_util::future::join_all;
use subwire::{Bus, testing::NatsServer};

use crate::{
    report::{resident, verdict},
    services::{Kind, Process, ours},
};

const CALLS: usize = 1_000_000;
const AT_ONCE: usize = 1_000;
/// Long enough that the service keeps up: what an overloaded one holds is another question.
const PATIENCE: Duration = Duration::from_millis(40);

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("{CALLS} calls that time out and {CALLS} that are cancelled, over NATS");
    let nats = NatsServer::start().await?;
    let service = Process::start(Kind::Subwire, &nats.url()).await?;
    let bus = Bus::nats(nats.url()).await?;
    let echo = ours::EchoClient::new(&bus);
    let time_out = async |rounds: usize| {
        for _ in 0..rounds {
            let calls = (0..AT_ONCE).map(|_| echo.ignore(ours::IgnoreRequest {}).timeout(PATIENCE).into_future());
            join_all(calls).await;
        }
    };
    let cancel = async |rounds: usize| {
        for _ in 0..rounds {
            let calls = (0..AT_ONCE).map(|_| {
                let call = echo.ignore(ours::IgnoreRequest {}).into_future();
                async {
                    let _ = tokio::time::timeout(PATIENCE, call).await;
                }
            });
            join_all(calls).await;
        }
    };
    for (name, timing_out) in [("timed-out", true), ("cancelled", false)] {
        let half = async || match timing_out {
            true => time_out(CALLS / AT_ONCE / 2).await,
            false => cancel(CALLS / AT_ONCE / 2).await,
        };
        // What the allocator keeps for such a load, it keeps once; what leaks, leaks in both halves.
        half().await;
        echo.call(ours::CallRequest::default()).await?;
        let before = (resident(None)?, resident(service.id())?);
        half().await;
        echo.call(ours::CallRequest::default()).await?;
        let grown = |before: u64, after: u64| (after as f64 - before as f64) / 1024.0 / 1024.0;
        let client = grown(before.0, resident(None)?);
        let server = grown(before.1, resident(service.id())?);
        verdict(
            &format!("{name} calls, growth of the client in the second half"),
            client,
            " MiB",
            "at most 4 MiB",
            client <= 4.0,
        );
        verdict(
            &format!("{name} calls, growth of the service in the second half"),
            server,
            " MiB",
            "at most 4 MiB",
            server <= 4.0,
        );
    }
    Ok(())
}

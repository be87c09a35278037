//! What a call costs, beside what it costs by hand and with tonic, in one run.
//!
//! Only ratios within a run mean anything: machines differ, and the same machine differs from hour to
//! hour. So what is compared is measured in turns, round after round, and medians are printed.

mod events;
mod idle;
mod leak;
mod load;
mod local;
mod report;
mod services;
mod stream;
mod unary;

use clap::{Parser, Subcommand};

/// What a call costs, beside what it costs by hand and with tonic, in one run.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds of each comparison; the median counts.
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// How long each measurement of a round takes, in seconds.
    #[arg(long, default_value_t = 2.0, global = true)]
    seconds: f64,
}

#[derive(Subcommand)]
enum What {
    /// Unary calls over NATS: by hand, subwire, tonic.
    Unary,
    /// Calls in one process: the server called directly, and the in-memory bus.
    Local,
    /// A server stream of small messages: subwire over NATS, tonic without a broker.
    Stream,
    /// Ten thousand open streams on which nothing happens.
    Idle,
    /// A million calls that time out, a million that are cancelled.
    Leak,
    /// Events published, stored and worked off: subwire and async-nats by hand.
    Events,
    /// A service to call: what the benchmarks start for themselves.
    #[command(hide = true)]
    Serve { kind: services::Kind, address: String },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { what, rounds, seconds } = Arguments::parse();
    let all = what.is_none();
    let wanted = |one: fn(&What) -> bool| all || what.as_ref().is_some_and(one);
    if let Some(What::Serve { kind, address }) = &what {
        return services::serve(*kind, address).await;
    }
    if wanted(|what| matches!(what, What::Local)) {
        local::run(rounds, seconds).await?;
    }
    if wanted(|what| matches!(what, What::Unary)) {
        unary::run(rounds, seconds).await?;
    }
    if wanted(|what| matches!(what, What::Stream)) {
        stream::run(rounds).await?;
    }
    if wanted(|what| matches!(what, What::Events)) {
        events::run(rounds, seconds).await?;
    }
    if wanted(|what| matches!(what, What::Idle)) {
        idle::run().await?;
    }
    if wanted(|what| matches!(what, What::Leak)) {
        leak::run().await?;
    }
    Ok(())
}

//! One server stream of 85-byte messages: ours through the broker, tonic's without one.

use std::time::Instant;

use subwire::{Bus, testing::NatsServer};

use crate::{
    report::{median, verdict},
    services::{Kind, Process, ours, theirs},
    unary::connect,
};

const MESSAGES: u64 = 5_000_000;

pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    println!("a server stream of {MESSAGES} messages of 85 bytes, {rounds} rounds");
    let nats = NatsServer::start().await?;
    let url = nats.url();
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _subwire = Process::start(Kind::Subwire, &url).await?;
    let _tonic = Process::start(Kind::Tonic, &free.to_string()).await?;
    let bus = Bus::nats(url.as_str()).await?;
    let echo = ours::EchoClient::new(&bus);
    let mut tonic = connect(&free.to_string()).await?;
    let (mut our_rates, mut their_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let mut stream = echo.many(ours::ManyRequest { messages: MESSAGES }).await?;
        let mut seen = 0;
        while stream.message().await?.is_some() {
            seen += 1;
        }
        anyhow::ensure!(seen == MESSAGES, "{seen} of {MESSAGES} messages came");
        let ours = MESSAGES as f64 / started.elapsed().as_secs_f64();

        let started = Instant::now();
        let mut stream = tonic.many(theirs::ManyRequest { messages: MESSAGES }).await?.into_inner();
        let mut seen = 0;
        while stream.message().await?.is_some() {
            seen += 1;
        }
        anyhow::ensure!(seen == MESSAGES, "{seen} of {MESSAGES} messages came");
        let theirs = MESSAGES as f64 / started.elapsed().as_secs_f64();
        our_rates.push(ours);
        their_rates.push(theirs);
        ratios.push(ours / theirs);
    }
    println!("  subwire over NATS            {:>6.2} million messages/s", median(our_rates) / 1e6);
    println!("  tonic, no broker             {:>6.2} million messages/s", median(their_rates) / 1e6);
    let ratio = median(ratios);
    verdict("against tonic", ratio, "x", "1.0x, floor 0.6x", ratio >= 1.0);
    Ok(())
}

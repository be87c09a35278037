//! One server stream, of messages of several sizes: ours through the broker, tonic's without one.

use std::time::Instant;

use subwire::{Bus, testing::NatsServer};
use tonic::transport;

use crate::{
    report::{median, verdict},
    services::{Kind, Process, ours, theirs},
    unary::connect,
};

/// How many messages, and how large their text is, in bytes. The first are 85 bytes long, and have a goal.
const SIZES: [(u64, u32); 3] = [(5_000_000, 69), (1_000_000, 1_000), (300_000, 4_000)];

pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    let nats = NatsServer::start().await?;
    let url = nats.url();
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _subwire = Process::start(Kind::Subwire, &url).await?;
    let _tonic = Process::start(Kind::Tonic, &free.to_string()).await?;
    let bus = Bus::nats(url.as_str()).await?;
    let echo = ours::EchoClient::new(&bus);
    let mut tonic = connect(&free.to_string()).await?;
    for (messages, text_bytes) in SIZES {
        println!("a server stream of {messages} messages with a text of {text_bytes} bytes, {rounds} rounds");
        let (mut our_rates, mut their_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = subwire_rate(&echo, messages, text_bytes).await?;
            let theirs = tonic_rate(&mut tonic, messages, text_bytes).await?;
            our_rates.push(ours);
            their_rates.push(theirs);
            ratios.push(ours / theirs);
        }
        println!("  subwire over NATS            {:>6.2} million messages/s", median(our_rates) / 1e6);
        println!("  tonic, no broker             {:>6.2} million messages/s", median(their_rates) / 1e6);
        let ratio = median(ratios);
        match (messages, text_bytes) == SIZES[0] {
            true => verdict("against tonic", ratio, "x", "1.0x, floor 0.6x", ratio >= 1.0),
            false => println!("  against tonic                {ratio:>6.2} x"),
        }
    }
    Ok(())
}

/// Messages a second of one stream.
async fn subwire_rate(echo: &ours::EchoClient, messages: u64, text_bytes: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut stream = echo.many(ours::ManyRequest { messages, text_bytes }).await?;
    let mut seen = 0;
    while stream.message().await?.is_some() {
        seen += 1;
    }
    anyhow::ensure!(seen == messages, "{seen} of {messages} messages came");
    Ok(messages as f64 / started.elapsed().as_secs_f64())
}

/// Messages a second of one stream.
async fn tonic_rate(
    echo: &mut theirs::echo_service_client::EchoServiceClient<transport::Channel>,
    messages: u64,
    text_bytes: u32,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut stream = echo.many(theirs::ManyRequest { messages, text_bytes }).await?.into_inner();
    let mut seen = 0;
    while stream.message().await?.is_some() {
        seen += 1;
    }
    anyhow::ensure!(seen == messages, "{seen} of {messages} messages came");
    Ok(messages as f64 / started.elapsed().as_secs_f64())
}

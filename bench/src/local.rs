//! Calls that never leave the process.

use std::time::Instant;

use subwire::{Bus, Server};

use crate::{
    load::{Measured, drive},
    report::{median, print, verdict},
    services::{Echo, ours},
};

const CALLS: u32 = 1_000_000;

pub(crate) async fn run(rounds: usize, seconds: f64) -> anyhow::Result<()> {
    println!("in one process, {rounds} rounds");
    let echo = ours::EchoClient::new(ours::EchoServer::new(Echo));
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..CALLS {
            echo.call(request()).await?;
        }
        times.push(started.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    let ns = median(times);
    verdict("the server called directly, with its deadline", ns, " ns a call", "at most 400 ns", ns <= 400.0);

    let mut times = Vec::new();
    for _ in 0..rounds {
        let messages = 3_000_000;
        let started = Instant::now();
        let mut stream = echo.many(ours::ManyRequest { messages, text_bytes: 69 }).await?;
        while stream.message().await?.is_some() {}
        times.push(started.elapsed().as_nanos() as f64 / messages as f64);
    }
    println!("         a streamed message, called directly: {:.0} ns", median(times));

    let bus = Bus::memory();
    let _running = Server::builder(&bus).max_in_flight(100_000).add(ours::EchoServer::new(Echo)).start().await?;
    let echo = ours::EchoClient::new(&bus);
    for callers in [1, 64, 512] {
        let mut measured: Vec<Measured> = Vec::new();
        for _ in 0..rounds {
            let echo = echo.clone();
            let call = move || {
                let echo = echo.clone();
                async move {
                    echo.call(request()).await?;
                    Ok(())
                }
            };
            measured.push(drive(callers, seconds, call).await?);
        }
        print("in-memory bus", callers, &measured);
        if callers == 64 {
            let per_second = median(measured.iter().map(|measured| measured.per_second).collect());
            verdict("the in-memory bus at 64 callers", per_second / 1e3, " k/s", "500 k/s", per_second >= 500e3);
        }
    }
    Ok(())
}

fn request() -> ours::CallRequest {
    ours::CallRequest { prompt: "Tell me about NATS messaging, in general".to_owned(), max_tokens: 30 }
}

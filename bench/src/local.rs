//! Calls that never leave the process.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use subwire::{Bus, Server};

use crate::{
    load::{Measured, drive},
    report::{median, print, verdict},
    services::{Echo, ours},
};

const CALLS: u32 = 1_000_000;
const MESSAGES: u64 = 3_000_000;

pub(crate) async fn run(rounds: usize, seconds: f64) -> anyhow::Result<()> {
    println!("in one process, {rounds} rounds");
    let echo = ours::EchoClient::new(ours::EchoServer::new(Echo));
    let (mut calls, mut messages) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        calls.push(call_ns(&echo).await?);
        messages.push(message_ns(&echo).await?);
    }
    let ns = median(calls);
    verdict("the server called directly, with its deadline", ns, " ns a call", "at most 400 ns", ns <= 400.0);
    println!("         a streamed message, called directly: {:.0} ns", median(messages));
    in_memory(rounds, seconds).await
}

/// A call, in nanoseconds.
async fn call_ns(echo: &ours::EchoClient) -> anyhow::Result<f64> {
    let started = Instant::now();
    for _ in 0..CALLS {
        echo.call(request()).await?;
    }
    Ok(started.elapsed().as_nanos() as f64 / f64::from(CALLS))
}

/// A message of a stream, in nanoseconds.
async fn message_ns(echo: &ours::EchoClient) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut stream = echo.many(ours::ManyRequest { messages: MESSAGES, text_bytes: 69 }).await?;
    while stream.message().await?.is_some() {}
    Ok(started.elapsed().as_nanos() as f64 / MESSAGES as f64)
}

async fn in_memory(rounds: usize, seconds: f64) -> anyhow::Result<()> {
    let bus = Bus::memory();
    let _running = Server::builder(&bus).max_in_flight(100_000).add(ours::EchoServer::new(Echo)).start().await?;
    let echo = ours::EchoClient::new(&bus);
    let mut round_trips = Vec::new();
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
            round_trips.push(round_trip_ns());
        }
        print("in-memory bus", callers, &measured);
        if callers == 64 {
            let per_second = median(measured.iter().map(|measured| measured.per_second).collect());
            verdict("the in-memory bus at 64 callers", per_second / 1e3, " k/s", "500 k/s", per_second >= 500e3);
        }
    }
    println!("         from one core to the other and back, in between: {:.0} ns", median(round_trips));
    Ok(())
}

/// What it takes one thread to hear from another, in nanoseconds. Whoever hands work from core to core, as the
/// in-memory bus does, is as fast as this lets him be; on a shared machine it may change by the minute.
fn round_trip_ns() -> f64 {
    const TRIPS: u32 = 100_000;
    let ball = AtomicU32::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for player in [0, 1] {
            let ball = &ball;
            scope.spawn(move || {
                for trip in 0..TRIPS {
                    while ball.load(Ordering::Acquire) != 2 * trip + player {
                        spin_loop();
                    }
                    ball.store(2 * trip + player + 1, Ordering::Release);
                }
            });
        }
    });
    started.elapsed().as_nanos() as f64 / f64::from(TRIPS)
}

fn request() -> ours::CallRequest {
    ours::CallRequest { prompt: "Tell me about NATS messaging, in general".to_owned(), max_tokens: 30 }
}

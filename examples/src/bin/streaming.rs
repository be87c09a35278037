//! The four kinds of call, and how a slow reader holds back a fast writer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use demo::numbers::v1::{
    AverageRequest, AverageResponse, CountRequest, CountResponse, NumbersClient, NumbersServer, NumbersService,
    SquareRequest, SquareResponse, SumRequest, SumResponse,
};
use subwire::{Bus, Context, Result, Server, Status, Streaming};

subwire::include_protos!();

/// More numbers than one would want to keep in memory for a reader who is busy.
const MANY: u64 = 400_000;

#[derive(Debug, Default)]
struct Numbers {
    /// How many numbers `count` has got rid of: the program looks at it from outside.
    counted: Arc<AtomicU64>,
}

impl NumbersService for Numbers {
    async fn square(&self, _: Context, request: SquareRequest) -> Result<SquareResponse> {
        let square = request.number.checked_mul(request.number);
        Ok(SquareResponse { square: square.ok_or_else(|| Status::out_of_range("the square is too large"))? })
    }

    async fn count(&self, _: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        let counted = self.counted.clone();
        Ok(Streaming::produce(async move |numbers| {
            for number in 1..=request.up_to {
                // Waits while the reader is behind: nothing piles up, here or on the way.
                numbers.send(CountResponse { number }).await?;
                counted.store(number, Ordering::Relaxed);
            }
            Ok(())
        }))
    }

    async fn sum(&self, _: Context, mut requests: Streaming<SumRequest>) -> Result<SumResponse> {
        let mut sum = 0_i64;
        while let Some(request) = requests.message().await? {
            sum = sum.checked_add(request.number).ok_or_else(|| Status::out_of_range("the sum is too large"))?;
        }
        Ok(SumResponse { sum })
    }

    async fn average(&self, _: Context, mut requests: Streaming<AverageRequest>) -> Result<Streaming<AverageResponse>> {
        Ok(Streaming::produce(async move |averages| {
            let (mut sum, mut count) = (0.0, 0.0);
            while let Some(request) = requests.message().await? {
                sum += request.number;
                count += 1.0;
                averages.send(AverageResponse { average: sum / count }).await?;
            }
            Ok(())
        }))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bus = Bus::from_env().await?;
    let service = Numbers::default();
    let counted = service.counted.clone();
    let running = Server::builder(&bus).add(NumbersServer::new(service)).start().await?;
    let numbers = NumbersClient::new(&bus);

    let square = numbers.square(SquareRequest { number: 12 }).await?.square;
    println!("unary: the square of 12 is {square}");

    let mut count = numbers.count(CountRequest { up_to: 5 }).await?;
    print!("server streaming:");
    while let Some(CountResponse { number }) = count.message().await? {
        print!(" {number}");
    }
    println!();

    let hundred = Streaming::from_iter((1..=100).map(|number| SumRequest { number }));
    println!("client streaming: 1 to 100 make {}", numbers.sum(hundred).await?.sum);

    let (tell, told) = Streaming::channel();
    let mut averages = numbers.average(told).await?;
    print!("bidirectional:");
    for number in [10.0, 20.0, 60.0] {
        tell.send(AverageRequest { number }).await?;
        let AverageResponse { average } = averages.message().await?.context("an average for each number")?;
        print!(" {number} makes the average {average};");
    }
    // The end of the requests, upon which the service ends the answers.
    drop(tell);
    println!(" end: {}", averages.message().await?.is_none());

    flow_control(&numbers, &counted).await?;

    running.stop().await?;
    bus.close().await?;
    Ok(())
}

/// Reads a little, pauses, and reads the rest, with an eye on how far ahead the service is.
async fn flow_control(numbers: &NumbersClient, counted: &AtomicU64) -> anyhow::Result<()> {
    let mut count = numbers.count(CountRequest { up_to: MANY }).await?;
    for _ in 0..10 {
        count.message().await?;
    }
    let ahead = stands_still(counted).await;
    println!("flow control: 10 of {MANY} are read, and the service waits after {ahead}");

    let (mut read, mut furthest) = (10, 0);
    while let Some(CountResponse { number }) = count.message().await? {
        read = number;
        furthest = furthest.max(counted.load(Ordering::Relaxed).saturating_sub(number));
    }
    println!("flow control: all {read} are read, and the service was never more than {furthest} ahead");
    Ok(())
}

/// The number at which the service has stopped to wait.
async fn stands_still(counted: &AtomicU64) -> u64 {
    loop {
        let before = counted.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        if before > 0 && counted.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

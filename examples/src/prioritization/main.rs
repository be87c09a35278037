//! What to do first: tickets go into a work queue, scorers give them urgency and score by fixed rules,
//! and the results come back by the id of the request. And the same as a call, for who cannot wait.
//!
//! The schema is `proto/ops/prioritization/v1/prioritization.proto`.

mod backlog;
mod requester;
mod rules;
mod scorer;

use anyhow::{Context, Result, ensure};
use examples::beside;
use requester::Requester;
use schemas::ops::prioritization::v1::{
    Kind, PrioritizationClient, PrioritizationServer, PrioritizeRequest, Priority, PriorityRequest, PriorityResult,
    Ticket, consumer, method, specs, stream,
};
use scorer::Scorer;
use subwire::{Bus, Delivery, Server, Streams, Worker};

/// Tickets that are scored at one time.
const CONCURRENCY: usize = 4;

#[tokio::main]
async fn main() -> Result<()> {
    let bus = Bus::from_env().await?;
    println!("Connected to {}", bus.describe());
    Streams::new(&bus).apply(specs()).await?;

    let scorer = Scorer::new(&bus);
    let queue = scorer.clone();
    let worker = Worker::builder(&bus)
        .handle(&consumer::PRIORITY_SCORER, async move |_: Delivery, request: PriorityRequest| {
            queue.score(request).await
        })
        .concurrency(CONCURRENCY);
    let results = beside(|stop| worker.run(stop), queued(&bus)).await?;

    called(&bus, scorer, &results).await?;
    bus.close().await?;
    Ok(())
}

/// Sends all tickets to the queue and prints what comes of them, the most urgent first.
async fn queued(bus: &Bus) -> Result<Vec<PriorityResult>> {
    let requester = Requester::new(bus);
    let refused = requester.request([Ticket { kind: Kind::Unspecified.into(), ..Ticket::default() }]).await;
    println!("A ticket of no kind: {}", refused.err().context("there is no subject for it")?.code());

    let requests = requester.request(backlog::tickets()).await?;
    println!(
        "Queued in {}: {} requests, {} of them sent twice and stored once",
        stream::PRIORITY_REQUESTS.name,
        requests.published.stored,
        requests.published.duplicates
    );
    let mut results = requester.results(requests).await?;
    // They come in any order.
    results.sort_by(|one, other| score(other).cmp(&score(one)).then_with(|| one.title.cmp(&other.title)));
    println!("Results in {}:", stream::PRIORITY_RESULTS.name);
    for PriorityResult { title, priority, .. } in &results {
        println!("  {}", describe(title, priority.as_ref()));
    }
    Ok(results)
}

/// Asks for each ticket with a call, and compares.
async fn called(bus: &Bus, scorer: Scorer, queued: &[PriorityResult]) -> Result<()> {
    let running = Server::builder(bus).add(PrioritizationServer::new(scorer)).start().await?;
    let client = PrioritizationClient::new(bus);
    for ticket in backlog::tickets() {
        let title = ticket.title.clone();
        // Within the 30 s of the schema, or it is an error.
        let answer = client.prioritize(PrioritizeRequest { ticket: Some(ticket) }).await?;
        let result = queued.iter().find(|result| result.title == title).context(title)?;
        ensure!(answer.priority == result.priority, "queue and call differ: {result:?}, {answer:?}");
    }
    println!("Called {}: the same priorities", method::PRIORITIZE.subject);
    running.stop().await?;
    Ok(())
}

fn score(result: &PriorityResult) -> u32 {
    result.priority.as_ref().map_or(0, |priority| priority.score)
}

/// ` 60 high     totals are off by a cent (a defect +25, ..)`
fn describe(title: &str, priority: Option<&Priority>) -> String {
    let Some(priority) = priority else { return format!("{title} has no priority") };
    let urgency = priority.urgency().as_str_name().trim_start_matches("URGENCY_").to_lowercase();
    format!("{:>3} {urgency:<8} {title} ({})", priority.score, priority.reasons.join(", "))
}

//! [`Requester`]: sends tickets to the queue, and finds their results by id.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use examples::run_id;
use schemas::ops::prioritization::v1::{PriorityRequest, PriorityResult, PriorityResultFilter, Ticket, stream};
use subwire::{Bus, Events, Published, Replay, Streams};
use tokio::time::timeout;

/// How long all results together may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends tickets to the queue, and finds their results by id.
#[derive(Debug)]
pub(crate) struct Requester {
    bus: Bus,
}

/// Tickets that are in the queue.
#[derive(Debug)]
pub(crate) struct Requests {
    /// What became of sending them.
    pub(crate) published: Published,
    /// Those without a result.
    open: BTreeSet<String>,
    /// The first place at which a result of theirs can be.
    from: u64,
}

impl Requester {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { bus: bus.clone() }
    }

    /// Sends tickets to the queue; `Ok` means that all are in it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a ticket without a kind: there is no subject for it.
    pub(crate) async fn request(&self, tickets: impl IntoIterator<Item = Ticket>) -> subwire::Result<Requests> {
        // Others ask too, and have asked before: ids tell whose result is whose.
        let run = run_id();
        let from = Streams::new(&self.bus).info(&stream::PRIORITY_RESULTS.name).await?.last_sequence + 1;
        let requests: Vec<_> = (1..)
            .zip(tickets)
            .map(|(number, ticket)| PriorityRequest { request_id: format!("{run}-{number}"), ticket: Some(ticket) })
            .collect();

        let mut pipeline = Events::new(&self.bus).pipeline();
        for request in &requests {
            pipeline.publish(request).await?;
        }
        // Somebody who is not sure whether a request has arrived sends it again. It has an id: no harm is done.
        if let Some(first) = requests.first() {
            pipeline.publish(first).await?;
        }
        let published = pipeline.finish().await?;
        Ok(Requests { published, open: requests.into_iter().map(|request| request.request_id).collect(), from })
    }

    /// Waits for the result of each request.
    pub(crate) async fn results(&self, mut requests: Requests) -> Result<Vec<PriorityResult>> {
        let filter = PriorityResultFilter::new();
        let mut stored = Replay::of(&self.bus, filter).from_sequence(requests.from).open().await?;
        let mut results = Vec::new();
        let all = async {
            while !requests.open.is_empty() {
                let result = stored.next().await.context("the results end")??.event;
                if requests.open.remove(&result.request_id) {
                    results.push(result);
                }
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, all).await.context("some requests have no result")??;
        Ok(results)
    }
}

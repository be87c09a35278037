//! [`Scorer`]: gives priorities, to those who wait and to those who do not.

use schemas::ops::prioritization::v1::{
    PrioritizationService, PrioritizeRequest, PrioritizeResponse, PriorityRequest, PriorityResult,
};
use subwire::{Bus, Context, Events, Result, Status};

use crate::rules;

/// Gives priorities. The same rules for the queue and for calls.
#[derive(Debug, Clone)]
pub(crate) struct Scorer {
    events: Events,
}

impl Scorer {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { events: Events::new(bus) }
    }

    /// Handles a ticket of the queue: its result is stored before the queue forgets the ticket.
    ///
    /// Should that be done twice, because a scorer died in between, the result is stored once: it has
    /// the id of the request.
    pub(crate) async fn score(self, request: PriorityRequest) -> Result<()> {
        let PriorityRequest { request_id, ticket } = request;
        // An error of this kind is not tried again: the request becomes a dead letter.
        let ticket = ticket.ok_or_else(no_ticket)?;
        let priority = Some(rules::priority(&ticket));
        self.events.publish(&PriorityResult { request_id, title: ticket.title, priority }).await?;
        Ok(())
    }
}

impl PrioritizationService for Scorer {
    async fn prioritize(&self, _: Context, request: PrioritizeRequest) -> Result<PrioritizeResponse> {
        let ticket = request.ticket.ok_or_else(no_ticket)?;
        Ok(PrioritizeResponse { priority: Some(rules::priority(&ticket)) })
    }
}

fn no_ticket() -> Status {
    Status::invalid_argument("there is no ticket").with_field_violation("ticket", "must be set")
}

//! [`Squad`]: what the members of a squad can say to one another.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use schemas::agents::squad::v1::{AgentMessage, AgentStatus, StatusType, TaskEvent, TaskProgress};
use subwire::{Bus, Event, Events, Result};

/// The role that everybody has.
pub(crate) const EVERYBODY: &str = "all";

/// What the members of a squad can say to one another. A clone speaks for the same squad.
///
/// Everything said has an id that follows from what it is about, so that a member that handles a message
/// a second time says nothing twice: the stream stores an id once.
#[derive(Debug, Clone)]
pub(crate) struct Squad {
    id: Arc<str>,
    events: Events,
    /// The ids of what was said: what is said again was said already.
    said: Arc<Mutex<HashSet<String>>>,
}

impl Squad {
    pub(crate) fn new(bus: &Bus, id: &str) -> Self {
        Self { id: id.into(), events: Events::new(bus), said: Arc::default() }
    }

    /// Tells it from other squads on the same bus.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// How many events of this squad are in the stream, or on their way there.
    pub(crate) fn said(&self) -> u64 {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Says something to a role, or to one who has it. Its id need only be unique in the squad.
    pub(crate) async fn send(&self, message: AgentMessage) -> Result<()> {
        let message_id = self.unique(&message.message_id);
        self.publish(&AgentMessage { message_id, squad_id: self.id.to_string(), ..message }).await
    }

    /// Says something to everybody.
    pub(crate) async fn broadcast(&self, message: AgentMessage) -> Result<()> {
        self.send(AgentMessage { recipient_role: EVERYBODY.to_owned(), ..message }).await
    }

    /// Tells how a member is.
    pub(crate) async fn tell_status(&self, agent_id: &str, status: StatusType) -> Result<()> {
        let status = AgentStatus {
            status_id: self.unique(&format!("{agent_id} {}", status.as_str_name())),
            squad_id: self.id.to_string(),
            agent_id: agent_id.to_owned(),
            status_type: status.into(),
        };
        self.publish(&status).await
    }

    /// Tells how a task goes.
    pub(crate) async fn tell_progress(&self, task_id: &str, event: TaskEvent, agent_id: &str) -> Result<()> {
        let progress = TaskProgress {
            progress_id: self.unique(&format!("{task_id} {}", event.as_str_name())),
            squad_id: self.id.to_string(),
            task_id: task_id.to_owned(),
            event: event.into(),
            agent_id: agent_id.to_owned(),
        };
        self.publish(&progress).await
    }

    fn unique(&self, id: &str) -> String {
        format!("{} {id}", self.id)
    }

    async fn publish(&self, event: &impl Event) -> Result<()> {
        // Before it is published: an answer to it may be here before its acknowledgement.
        let id = event.id().map(str::to_owned);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).extend(id);
        self.events.publish(event).await?;
        Ok(())
    }
}

//! [`Member`]: an agent with a role, an inbox, and work to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemas::agents::squad::v1::{AgentMessage, AgentMessageFilter, MessageType, StatusType, TaskEvent};
use subwire::{Bus, ConsumerSpec, Deliver, Delivery, Filter, Result, Worker, WorkerBuilder};
use tokio::sync::watch;

use crate::squad::{EVERYBODY, Squad};

/// An inbox that nobody has opened for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// An agent with a role, an inbox, and work to do. A clone is the same agent.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: &'static str,
    pub(crate) role: &'static str,
    squad: Squad,
    /// By task: what was reported to this member.
    reports: Arc<watch::Sender<BTreeMap<String, String>>>,
}

impl Member {
    pub(crate) fn new(squad: &Squad, id: &'static str, role: &'static str) -> Self {
        Self { id, role, squad: squad.clone(), reports: Arc::new(watch::Sender::default()) }
    }

    /// The inbox: what is said to the role, and to everybody, from now on. It waits while the member is busy.
    pub(crate) fn inbox(&self, stream: &str) -> Result<ConsumerSpec> {
        let said_to = |role: &str| Filter::from(AgentMessageFilter::new().recipient_role(role)).subject();
        let filters = [said_to(self.role)?, said_to(EVERYBODY)?];
        Ok(ConsumerSpec {
            filters: filters.map(|subject| subject.to_string().into()).to_vec().into(),
            deliver: Deliver::New,
            max_deliver: Some(3),
            inactive_threshold: Some(FORGOTTEN),
            ..ConsumerSpec::new(stream.to_owned(), format!("inbox-{}-{}", self.squad.id(), self.id))
        })
    }

    /// What reads the inbox.
    pub(crate) fn worker(&self, bus: &Bus, inbox: &ConsumerSpec) -> WorkerBuilder {
        let member = self.clone();
        Worker::builder(bus).handle(inbox, async move |_: Delivery, message: AgentMessage| member.handle(message).await)
    }

    pub(crate) async fn join(&self) -> Result<()> {
        self.squad.tell_status(self.id, StatusType::Joined).await
    }

    pub(crate) async fn leave(&self) -> Result<()> {
        self.squad.tell_status(self.id, StatusType::Left).await
    }

    /// Gives a task to one of a role.
    pub(crate) async fn assign(&self, number: u32, (role, id): (&str, &str), text: &str) -> Result<()> {
        let task_id = format!("{}-{number}", self.squad.id());
        self.squad.tell_progress(&task_id, TaskEvent::Created, self.id).await?;
        let message = self.message(MessageType::Assignment, &task_id, text);
        self.squad.send(AgentMessage { recipient_role: role.to_owned(), recipient_id: id.to_owned(), ..message }).await
    }

    /// Tells everybody something.
    pub(crate) async fn announce(&self, text: &str) -> Result<()> {
        self.squad.broadcast(self.message(MessageType::Note, "", text)).await
    }

    /// What was reported, when it is about so many tasks.
    pub(crate) async fn reports(&self, tasks: usize) -> BTreeMap<String, String> {
        let mut reports = self.reports.subscribe();
        // An error would mean that the sender is gone, and it is ours.
        reports.wait_for(|reports| reports.len() >= tasks).await.map(|reports| reports.clone()).unwrap_or_default()
    }

    /// Handles a message of the inbox. Doing it twice is like doing it once.
    async fn handle(self, message: AgentMessage) -> Result<()> {
        let mine = message.recipient_id.is_empty() || message.recipient_id == self.id;
        if message.squad_id != self.squad.id() || !mine {
            return Ok(());
        }
        let task_id = message.task_id.as_str();
        match message.message_type() {
            MessageType::Assignment => {
                self.squad.tell_progress(task_id, TaskEvent::Started, self.id).await?;
                let done = format!("{} by {}", message.text, self.id);
                self.squad.tell_progress(task_id, TaskEvent::Completed, self.id).await?;
                self.pass_on("tester", self.message(MessageType::Review, task_id, &done)).await
            }
            MessageType::Review => {
                let found = format!("{}, found good by {}", message.text, self.id);
                self.pass_on("architect", self.message(MessageType::Report, task_id, &found)).await
            }
            MessageType::Report => {
                self.reports.send_modify(|reports| drop(reports.insert(message.task_id, message.text)));
                Ok(())
            }
            MessageType::Note | MessageType::Unspecified => Ok(()),
        }
    }

    async fn pass_on(&self, role: &str, message: AgentMessage) -> Result<()> {
        self.squad.send(AgentMessage { recipient_role: role.to_owned(), ..message }).await
    }

    fn message(&self, message_type: MessageType, task_id: &str, text: &str) -> AgentMessage {
        AgentMessage {
            message_id: format!("{} {} {task_id}", self.id, message_type.as_str_name()),
            sender_id: self.id.to_owned(),
            message_type: message_type.into(),
            task_id: task_id.to_owned(),
            text: text.to_owned(),
            ..AgentMessage::default()
        }
    }
}

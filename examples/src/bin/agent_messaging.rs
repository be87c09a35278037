//! Agents that talk to one another: notifications that nobody waits for, and queries with an answer.
//!
//! Each agent listens on `agent.<its id>.*`. The schema is `proto/agents/messaging/v1/messaging.proto`.

use std::collections::HashMap;

use schemas::agents::messaging::v1::{AgentAnswer, AgentMessage, AgentMessageFilter, MessageType};
use subwire::{Bus, Code, Filter, Received, Result, Status, Subscriber, bus::Subject};
use tokio::{sync::oneshot, task::JoinSet};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bus = Bus::from_env().await?;
    println!("Connected to {}", bus.describe());

    // What each agent knows.
    let planner = Agent::connect(&bus, "planner", &[("deadline", "Friday")]).await?;
    let coder = Agent::connect(&bus, "coder", &[("language", "Rust"), ("estimate", "three days")]).await?;
    let tester = Agent::connect(&bus, "tester", &[("coverage", "91 %")]).await?;
    for agent in [&planner, &coder, &tester] {
        println!("{} listens on {}", agent.id, agent.subject);
    }

    println!("Queries:");
    for (asker, asked, word) in
        [(&planner, "coder", "estimate"), (&coder, "planner", "deadline"), (&tester, "coder", "salary")]
    {
        println!("  {} asks {asked} for the {word}: {}", asker.id, asker.ask(asked, word).await?);
    }

    planner.notify("coder", "begin with the parser").await?;
    planner.notify("coder", "then the printer").await?;
    coder.notify("tester", "the parser can be tested").await?;
    // Fire and forget: that there is no such agent is no error.
    coder.notify("designer", "is anybody there?").await?;

    println!("Heard until they left:");
    for agent in [coder, tester] {
        let id = agent.id.clone();
        println!("  {id}: {}", agent.disconnect().await?.join("; "));
    }

    // The broker knows at once that nobody listens: no time is spent on waiting.
    let refused = planner.ask("coder", "estimate").await;
    println!("planner asks coder, who has left: {}", refused.map_or_else(|status| status.code(), |_| Code::Ok));
    planner.disconnect().await?;
    bus.close().await?;
    println!("All agents are disconnected");
    Ok(())
}

/// Somebody with a subject, who hears what is sent there, and speaks to others.
///
/// Dropping it is leaving without a word; [`disconnect`](Self::disconnect) is the polite way.
#[derive(Debug)]
struct Agent {
    id: String,
    subject: Subject,
    bus: Bus,
    leave: oneshot::Sender<()>,
    /// One task, which ends with what was heard.
    listening: JoinSet<Vec<String>>,
}

impl Agent {
    /// Begins to listen. When it returns, whatever is sent to the agent is heard.
    async fn connect(bus: &Bus, id: &str, knowledge: &[(&'static str, &'static str)]) -> Result<Self> {
        let filter = Filter::from(AgentMessageFilter::new().agent_id(id));
        let subject = filter.subject()?;
        let messages = bus.subscribe(filter).await?;
        let (leave, left) = oneshot::channel();
        let ears = Ears { id: id.to_owned(), bus: bus.clone(), knowledge: knowledge.iter().copied().collect() };
        let mut listening = JoinSet::new();
        listening.spawn(ears.listen(messages, left));
        Ok(Self { id: id.to_owned(), subject, bus: bus.clone(), leave, listening })
    }

    /// Tells another agent something. `Ok` means that it was said, not that anybody heard it.
    async fn notify(&self, agent: &str, text: &str) -> Result<()> {
        self.bus.publish(&self.message(agent, MessageType::Notification, text)).await
    }

    /// Asks another agent something and waits for the answer.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is no such agent, `DEADLINE_EXCEEDED` when it does not answer.
    async fn ask(&self, agent: &str, text: &str) -> Result<String> {
        let answer: AgentAnswer = self.bus.request(&self.message(agent, MessageType::Query, text)).await?;
        Ok(answer.text)
    }

    /// Hears what has been sent by now and no more, and returns what was heard.
    async fn disconnect(mut self) -> Result<Vec<String>> {
        // Fails if the listening is over already, as then the bus was closed.
        let _ = self.leave.send(());
        match self.listening.join_next().await {
            Some(Ok(heard)) => Ok(heard),
            _ => Err(Status::internal(format!("{} broke off", self.id))),
        }
    }

    fn message(&self, agent: &str, message_type: MessageType, text: &str) -> AgentMessage {
        AgentMessage {
            agent_id: agent.to_owned(),
            message_type: message_type.into(),
            sender_id: self.id.clone(),
            text: text.to_owned(),
        }
    }
}

/// The part of an agent that listens.
struct Ears {
    id: String,
    bus: Bus,
    knowledge: HashMap<&'static str, &'static str>,
}

impl Ears {
    async fn listen(self, mut messages: Subscriber<AgentMessage>, mut left: oneshot::Receiver<()>) -> Vec<String> {
        let mut heard = Vec::new();
        let mut leaving = false;
        loop {
            let message = tokio::select! {
                _ = &mut left, if !leaving => {
                    leaving = true;
                    messages.drain();
                    continue;
                }
                message = messages.next() => message,
            };
            match message {
                Some(Ok(message)) => heard.extend(self.hear(message).await),
                // What nobody can make sense of is no reason to stop listening.
                Some(Err(status)) => heard.push(status.to_string()),
                None => return heard,
            }
        }
    }

    /// Answers a query; a notification is returned.
    async fn hear(&self, message: Received<AgentMessage>) -> Option<String> {
        let AgentMessage { sender_id, text, .. } = &message.event;
        if message.event.message_type() != MessageType::Query {
            return Some(format!("{sender_id} says \"{text}\""));
        }
        let known = self.knowledge.get(text.as_str()).copied().unwrap_or("I do not know");
        let answer = AgentAnswer { agent_id: self.id.clone(), text: known.to_owned() };
        // Whoever asks and does not wait for the answer is told here.
        message
            .respond(&self.bus, &answer)
            .await
            .err()
            .map(|status| format!("{sender_id} cannot be answered: {status}"))
    }
}

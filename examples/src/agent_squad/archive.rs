//! [`SquadArchive`]: what is said in a squad, in PostgreSQL as well.

use std::time::Duration;

use anyhow::{Context, Result};
use schemas::agents::squad::v1::{AgentMessage, AgentStatus, TaskEvent, TaskProgress, consumer};
use subwire::{Bus, Dispatch, Specs, Worker, WorkerBuilder};
use subwire_archive::{Archive, Facts};
use tokio::time::{sleep, timeout};

use crate::{PATIENCE, member::Member, squad::Squad};

/// Events that are written together.
const CONCURRENCY: usize = 256;

/// Between two looks at how far the archive is.
const LOOK: Duration = Duration::from_millis(50);

/// What is said in a squad, in PostgreSQL as well as in the stream.
#[derive(Debug)]
pub(crate) struct SquadArchive(Archive);

impl SquadArchive {
    /// `None` unless `SUBWIRE_ARCHIVE_URL` says where it is.
    pub(crate) async fn from_env() -> Result<Option<Self>> {
        Ok(Archive::from_env().await?.map(Self))
    }

    /// What copies the stream, from wherever it has come to.
    pub(crate) fn worker(&self, bus: &Bus, specs: &Specs) -> Result<WorkerBuilder> {
        let archive = &self.0;
        let messages = archive
            .of(|event: &AgentMessage| facts(&event.squad_id, &event.sender_id, event.message_type().as_str_name()));
        let statuses = archive
            .of(|event: &AgentStatus| facts(&event.squad_id, &event.agent_id, event.status_type().as_str_name()));
        let tasks =
            archive.of(|event: &TaskProgress| facts(&event.squad_id, &event.agent_id, event.event().as_str_name()));
        let handler = Dispatch::new().on(messages).on(statuses).on(tasks);
        let name = &consumer::AGENT_ARCHIVE.name;
        let consumer = specs.consumers.iter().find(|spec| spec.name == *name).context("the schema has one")?;
        Ok(Worker::builder(bus).handle(consumer, handler).concurrency(CONCURRENCY))
    }

    /// Waits until it has everything, and prints some of it.
    pub(crate) async fn print(&self, squad: &Squad, members: &[Member]) -> Result<()> {
        let all = async {
            while self.count(squad, members).await? < squad.said() {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, all).await.context("the archive does not get everything")??;
        println!("Archive of {} events, tasks completed in it:", self.count(squad, members).await?);
        for member in members {
            let completed = self.0.events::<TaskProgress>().agent(agent(squad.id(), member.id));
            let completed = completed.kind(TaskEvent::Completed.as_str_name()).count().await?;
            if completed > 0 {
                println!("  {} {completed}", member.id);
            }
        }
        Ok(())
    }

    async fn count(&self, squad: &Squad, members: &[Member]) -> Result<u64> {
        let mut count = 0;
        for member in members {
            count += self.0.records().agent(agent(squad.id(), member.id)).count().await?;
        }
        Ok(count)
    }
}

fn facts(squad_id: &str, agent_id: &str, kind: &str) -> Facts {
    Facts::new().agent(agent(squad_id, agent_id)).kind(kind)
}

/// Every squad has an agent of this name.
fn agent(squad_id: &str, agent_id: &str) -> String {
    format!("{squad_id}/{agent_id}")
}

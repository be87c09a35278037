//! [`Statistics`]: how often what is said in a squad.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use schemas::agents::squad::v1::{AgentMessage, AgentStatus, TaskProgress};
use subwire::{Delivery, Dispatch, Outcome};
use tokio::sync::watch;

/// How often what is said in a squad. A clone counts together with the others.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    squad_id: Arc<str>,
    tally: Arc<watch::Sender<Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    /// By `message.assignment` and the like.
    counts: BTreeMap<String, u64>,
    /// What has been counted: a message may be handed out again.
    counted: HashSet<u64>,
}

impl Statistics {
    pub(crate) fn new(squad_id: &str) -> Self {
        Self { squad_id: squad_id.into(), tally: Arc::new(watch::Sender::default()) }
    }

    /// What to do with each event of the stream.
    pub(crate) fn handler(&self) -> Dispatch {
        let (messages, statuses, tasks) = (self.clone(), self.clone(), self.clone());
        Dispatch::new()
            .on(async move |cx: Delivery, event: AgentMessage| messages.count(&cx, &event.squad_id))
            .on(async move |cx: Delivery, event: AgentStatus| statuses.count(&cx, &event.squad_id))
            .on(async move |cx: Delivery, event: TaskProgress| tasks.count(&cx, &event.squad_id))
    }

    fn count(&self, cx: &Delivery, squad_id: &str) -> Outcome {
        if *squad_id == *self.squad_id {
            let mut tokens = cx.subject().as_str().split('.');
            // `agent.message.backend.assignment`: the kind of event, and its type.
            let what = [tokens.nth(1), tokens.nth(1)].map(Option::unwrap_or_default).join(".");
            self.tally.send_modify(|tally| {
                if tally.counted.insert(cx.sequence()) {
                    *tally.counts.entry(what).or_default() += 1;
                }
            });
        }
        Outcome::Done
    }

    /// The counts, when so many events have been counted.
    pub(crate) async fn of(&self, events: u64) -> BTreeMap<String, u64> {
        let mut tally = self.tally.subscribe();
        let all = tally.wait_for(|tally| tally.counts.values().sum::<u64>() >= events).await;
        // An error would mean that the sender is gone, and it is ours.
        all.map(|tally| tally.counts.clone()).unwrap_or_default()
    }
}

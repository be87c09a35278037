//! [`Difference`]: where something is not what it should be.

use std::{
    fmt::{self, Debug},
    time::{Duration, SystemTime},
};

use crate::jetstream::{ConsumerSpec, Retention, StreamInfo, StreamSpec};

/// How long a stream knows ids when neither its spec nor its age says: nats-server's own default.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// One setting that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name in the spec.
    pub setting: &'static str,
    /// What it is.
    pub from: String,
    /// What it should be.
    pub to: String,
    /// What changing it deletes, if it does.
    pub loss: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.setting, self.from, self.to)?;
        match &self.loss {
            Some(loss) => write!(f, " ({loss})"),
            None => Ok(()),
        }
    }
}

/// Collects what differs.
struct Differences(Vec<Difference>);

impl Differences {
    fn add<T: PartialEq + Debug>(&mut self, setting: &'static str, from: &T, to: &T) {
        self.lossy(setting, from, to, None);
    }

    fn lossy<T: PartialEq + Debug>(&mut self, setting: &'static str, from: &T, to: &T, loss: Option<String>) {
        if from != to {
            self.0.push(Difference { setting, from: format!("{from:?}"), to: format!("{to:?}"), loss });
        }
    }
}

pub(super) fn of_streams(info: &StreamInfo, spec: &StreamSpec) -> Vec<Difference> {
    let now = &info.spec;
    let mut found = Differences(Vec::new());
    found.add("subjects", &sorted(now), &sorted(spec));
    found.add("description", &now.description, &spec.description);
    let retention = (info.messages > 0 && spec.retention != Retention::Limits)
        .then(|| "messages that nobody waits for would go".to_owned());
    found.lossy("retention", &now.retention, &spec.retention, retention);
    found.add("storage", &now.storage, &spec.storage);
    found.add("replicas", &now.replicas, &spec.replicas);
    let beyond = |have: u64, limit: Option<u64>, what: &str| {
        let beyond = have.checked_sub(limit?).filter(|beyond| *beyond > 0)?;
        Some(format!("{beyond} of its {have} {what} would go"))
    };
    let loss = beyond(info.messages, spec.max_messages, "messages");
    found.lossy("max_messages", &now.max_messages, &spec.max_messages, loss);
    let loss = beyond(info.bytes, spec.max_bytes, "bytes");
    found.lossy("max_bytes", &now.max_bytes, &spec.max_bytes, loss);
    // How many each subject has is not known here.
    let shrinks = match (now.max_messages_per_subject, spec.max_messages_per_subject) {
        (Some(now), Some(then)) => then < now,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let loss = (shrinks && info.messages > 0).then(|| "the oldest messages of full subjects would go".to_owned());
    found.lossy("max_messages_per_subject", &now.max_messages_per_subject, &spec.max_messages_per_subject, loss);
    let age = info.first_time.and_then(|first| SystemTime::now().duration_since(first).ok());
    let loss = age.zip(spec.max_age).filter(|(age, limit)| info.messages > 0 && age > limit);
    let loss = loss.map(|_| "the messages that are older would go".to_owned());
    found.lossy("max_age", &now.max_age, &spec.max_age, loss);
    found.add("max_message_bytes", &now.max_message_bytes, &spec.max_message_bytes);
    found.add("discard", &now.discard, &spec.discard);
    found.add("discard_new_per_subject", &now.discard_new_per_subject, &spec.discard_new_per_subject);
    found.add("duplicate_window", &duplicate_window(now), &duplicate_window(spec));
    found.add("allow_direct", &now.allow_direct, &spec.allow_direct);
    found.add("allow_message_ttl", &now.allow_message_ttl, &spec.allow_message_ttl);
    found.add("allow_atomic_publish", &now.allow_atomic_publish, &spec.allow_atomic_publish);
    found.add("allow_rollup", &now.allow_rollup, &spec.allow_rollup);
    found.add("deny_delete", &now.deny_delete, &spec.deny_delete);
    found.add("republish", &now.republish, &spec.republish);
    found.0
}

/// What it is when it is left to the server.
fn duplicate_window(spec: &StreamSpec) -> Duration {
    let window = spec.duplicate_window.unwrap_or(DUPLICATE_WINDOW);
    spec.max_age.map_or(window, |age| match spec.duplicate_window {
        Some(_) => window,
        None => window.min(age),
    })
}

fn sorted(spec: &StreamSpec) -> Vec<&str> {
    let mut subjects: Vec<&str> = spec.subjects.iter().map(AsRef::as_ref).collect();
    subjects.sort_unstable();
    subjects
}

pub(super) fn of_consumers(now: &ConsumerSpec, spec: &ConsumerSpec, stream: &StreamInfo) -> Vec<Difference> {
    let mut found = Differences(Vec::new());
    found.add("description", &now.description, &spec.description);
    let filters = |spec: &ConsumerSpec| {
        let mut filters: Vec<String> = spec.filters.iter().map(|filter| filter.clone().into_owned()).collect();
        filters.sort_unstable();
        filters
    };
    // A stream of this retention deletes what none of its consumers wants any more.
    let narrower = !spec.filters.is_empty()
        && (now.filters.is_empty() || now.filters.iter().any(|filter| !spec.filters.contains(filter)));
    let loss = (narrower && stream.messages > 0 && stream.spec.retention == Retention::Interest)
        .then(|| "messages that nobody waits for would go".to_owned());
    found.lossy("filters", &filters(now), &filters(spec), loss);
    found.add("deliver", &now.deliver, &spec.deliver);
    found.add("ack", &now.ack, &spec.ack);
    // With a backoff the server takes its first wait for `ack_wait`.
    let ack_wait = |spec: &ConsumerSpec| spec.backoff.first().copied().unwrap_or(spec.ack_wait);
    found.add("ack_wait", &ack_wait(now), &ack_wait(spec));
    found.add("max_deliver", &now.max_deliver, &spec.max_deliver);
    found.add("backoff", &now.backoff, &spec.backoff);
    found.add("max_ack_pending", &now.max_ack_pending, &spec.max_ack_pending);
    found.add("replay", &now.replay, &spec.replay);
    found.add("headers_only", &now.headers_only, &spec.headers_only);
    found.add("inactive_threshold", &now.inactive_threshold, &spec.inactive_threshold);
    found.0
}

//! [`StreamConfig`]: a [`StreamSpec`] as JetStream writes it.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::nanos;
use crate::jetstream::{Discard, Republish, Retention, Storage, StreamSpec};

/// A [`StreamSpec`] as JetStream writes it. Every field is always written, so that an update takes
/// back what the spec says no more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    name: String,
    subjects: Option<Vec<String>>,
    description: String,
    #[serde(with = "RetentionName")]
    retention: Retention,
    #[serde(with = "StorageName")]
    storage: Storage,
    num_replicas: u8,
    max_msgs: i64,
    max_msgs_per_subject: i64,
    max_bytes: i64,
    #[serde(with = "nanos")]
    max_age: Duration,
    max_msg_size: i64,
    #[serde(with = "DiscardName")]
    discard: Discard,
    discard_new_per_subject: bool,
    #[serde(with = "nanos")]
    duplicate_window: Duration,
    allow_direct: bool,
    allow_msg_ttl: bool,
    allow_atomic: bool,
    allow_rollup_hdrs: bool,
    deny_delete: bool,
    republish: Option<RepublishConfig>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RepublishConfig {
    #[serde(default)]
    src: String,
    dest: String,
    #[serde(default)]
    headers_only: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Retention", rename_all = "lowercase")]
enum RetentionName {
    Limits,
    Interest,
    WorkQueue,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Storage", rename_all = "lowercase")]
enum StorageName {
    File,
    Memory,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Discard", rename_all = "lowercase")]
enum DiscardName {
    Old,
    New,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self::from(&StreamSpec::new("", [""; 0]))
    }
}

impl From<&StreamSpec> for StreamConfig {
    fn from(spec: &StreamSpec) -> Self {
        Self {
            name: spec.name.clone().into_owned(),
            subjects: Some(spec.subjects.iter().map(|subject| subject.clone().into_owned()).collect()),
            description: spec.description.clone().into_owned(),
            retention: spec.retention,
            storage: spec.storage,
            num_replicas: spec.replicas,
            max_msgs: limit(spec.max_messages),
            max_msgs_per_subject: limit(spec.max_messages_per_subject),
            max_bytes: limit(spec.max_bytes),
            max_age: spec.max_age.unwrap_or_default(),
            max_msg_size: limit(spec.max_message_bytes.map(u64::from)),
            discard: spec.discard,
            discard_new_per_subject: spec.discard_new_per_subject,
            duplicate_window: spec.duplicate_window.unwrap_or_default(),
            allow_direct: spec.allow_direct,
            allow_msg_ttl: spec.allow_message_ttl,
            allow_atomic: spec.allow_atomic_publish,
            allow_rollup_hdrs: spec.allow_rollup,
            deny_delete: spec.deny_delete,
            republish: spec.republish.as_ref().map(|republish| RepublishConfig {
                src: republish.source.clone().into_owned(),
                dest: republish.destination.clone().into_owned(),
                headers_only: republish.headers_only,
            }),
        }
    }
}

impl From<StreamConfig> for StreamSpec {
    fn from(config: StreamConfig) -> Self {
        Self {
            name: Cow::Owned(config.name),
            subjects: config.subjects.unwrap_or_default().into_iter().map(Cow::Owned).collect(),
            description: Cow::Owned(config.description),
            retention: config.retention,
            storage: config.storage,
            replicas: config.num_replicas,
            max_messages: limited(config.max_msgs),
            max_messages_per_subject: limited(config.max_msgs_per_subject),
            max_bytes: limited(config.max_bytes),
            max_age: some(config.max_age),
            max_message_bytes: limited(config.max_msg_size).and_then(|bytes| u32::try_from(bytes).ok()),
            discard: config.discard,
            discard_new_per_subject: config.discard_new_per_subject,
            duplicate_window: some(config.duplicate_window),
            allow_direct: config.allow_direct,
            allow_message_ttl: config.allow_msg_ttl,
            allow_atomic_publish: config.allow_atomic,
            allow_rollup: config.allow_rollup_hdrs,
            deny_delete: config.deny_delete,
            republish: config.republish.map(|republish| Republish {
                source: Cow::Owned(republish.src),
                destination: Cow::Owned(republish.dest),
                headers_only: republish.headers_only,
            }),
        }
    }
}

/// JetStream says -1 for "no limit".
fn limit(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// 0 means the same, where a server leaves the field out.
fn limited(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}

pub(super) fn some(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// What is, with what shall be written over it. Fields that a spec does not know stay: where a stream
/// is placed, what it is compressed with.
pub(super) fn merge(mut now: Map<String, Value>, wanted: &impl Serialize) -> Map<String, Value> {
    if let Ok(Value::Object(wanted)) = serde_json::to_value(wanted) {
        now.extend(wanted);
    }
    now
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> StreamSpec {
        StreamSpec {
            description: "all orders".into(),
            retention: Retention::WorkQueue,
            storage: Storage::Memory,
            replicas: 3,
            max_messages: Some(1),
            max_messages_per_subject: Some(2),
            max_bytes: Some(3),
            max_age: Some(Duration::from_secs(4)),
            max_message_bytes: Some(5),
            discard: Discard::New,
            discard_new_per_subject: true,
            duplicate_window: Some(Duration::from_millis(1_500)),
            allow_direct: true,
            allow_message_ttl: true,
            allow_atomic_publish: true,
            allow_rollup: true,
            deny_delete: true,
            republish: Some(Republish { source: "a".into(), destination: "b".into(), headers_only: true }),
            ..StreamSpec::new("orders", ["order.>", "refund.>"])
        }
    }

    #[test]
    fn a_spec_comes_back_as_it_was() {
        for spec in [StreamSpec::new("orders", ["order.>"]), full()] {
            let text = serde_json::to_string(&StreamConfig::from(&spec)).expect("JSON");
            let config: StreamConfig = serde_json::from_str(&text).expect("JSON");
            assert_eq!(StreamSpec::from(config), spec);
        }
    }

    #[test]
    fn it_is_written_as_jetstream_reads_it() {
        let config = serde_json::to_value(StreamConfig::from(&full())).expect("JSON");
        for (field, value) in [
            ("retention", json!("workqueue")),
            ("storage", json!("memory")),
            ("discard", json!("new")),
            ("max_age", json!(4_000_000_000u64)),
            ("duplicate_window", json!(1_500_000_000u64)),
            ("republish", json!({"src": "a", "dest": "b", "headers_only": true})),
        ] {
            assert_eq!(config[field], value, "{field}");
        }
        let unlimited = serde_json::to_value(StreamConfig::from(&StreamSpec::new("a", ["b"]))).expect("JSON");
        assert_eq!((&unlimited["max_msgs"], &unlimited["republish"]), (&json!(-1), &json!(null)));
    }

    #[test]
    fn an_update_leaves_what_a_spec_does_not_know() {
        let now = json!({"name": "a", "compression": "s2", "max_msgs": 5, "republish": {"dest": "b"}});
        let Value::Object(now) = now else { return };
        let merged = merge(now, &StreamConfig::from(&StreamSpec::new("a", ["b"])));
        assert_eq!(
            (&merged["compression"], &merged["max_msgs"], &merged["republish"]),
            (&json!("s2"), &json!(-1), &json!(null)),
        );
    }

    #[test]
    fn a_server_may_leave_out_what_it_has_nothing_to_say_of() {
        let config: StreamConfig = serde_json::from_str(r#"{"name":"a","later":1}"#).expect("JSON");
        assert_eq!(StreamSpec::from(config), StreamSpec::new("a", [""; 0]));
    }
}

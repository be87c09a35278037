//! [`ConsumerConfig`]: a [`ConsumerSpec`] as JetStream writes it.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    nanos,
    stream_config::some,
    times::{from_rfc3339, to_rfc3339},
};
use crate::{
    jetstream::{AckPolicy, ConsumerSpec, Deliver, ReplayPolicy, spec::MAX_DELIVER_RESERVE},
    limits,
};

/// A [`ConsumerSpec`] as JetStream writes it, but for the stream. Every field is always written, so that
/// an update takes back what the spec says no more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerConfig {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    durable_name: String,
    description: String,
    /// One filter goes here, several into the next: the server takes one of the two.
    filter_subject: String,
    filter_subjects: Option<Vec<String>>,
    deliver_policy: DeliverName,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_time: Option<String>,
    #[serde(with = "AckName")]
    ack_policy: AckPolicy,
    #[serde(with = "nanos")]
    ack_wait: Duration,
    max_deliver: i64,
    backoff: Option<Vec<Nanos>>,
    max_ack_pending: i64,
    #[serde(with = "ReplayName")]
    replay_policy: ReplayPolicy,
    headers_only: bool,
    #[serde(with = "nanos")]
    inactive_threshold: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DeliverName {
    #[default]
    All,
    Last,
    LastPerSubject,
    New,
    ByStartSequence,
    ByStartTime,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AckPolicy", rename_all = "lowercase")]
enum AckName {
    /// Those that acknowledge all up to one are made elsewhere, and can be read like these.
    #[serde(alias = "all")]
    Explicit,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReplayPolicy", rename_all = "lowercase")]
enum ReplayName {
    Instant,
    Original,
}

#[derive(Debug, Clone, Copy)]
struct Nanos(Duration);

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        nanos::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        nanos::deserialize(deserializer).map(Self)
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self { max_deliver: -1, ..Self::from(&ConsumerSpec::new("", "")) }
    }
}

impl From<&ConsumerSpec> for ConsumerConfig {
    fn from(spec: &ConsumerSpec) -> Self {
        let (deliver_policy, opt_start_seq, opt_start_time) = match spec.deliver {
            Deliver::All => (DeliverName::All, None, None),
            Deliver::Last => (DeliverName::Last, None, None),
            Deliver::LastPerSubject => (DeliverName::LastPerSubject, None, None),
            Deliver::New => (DeliverName::New, None, None),
            Deliver::FromSequence(sequence) => (DeliverName::ByStartSequence, Some(sequence), None),
            Deliver::FromTime(time) => (DeliverName::ByStartTime, None, Some(to_rfc3339(time))),
        };
        let filters = || spec.filters.iter().map(|filter| filter.clone().into_owned());
        let several = spec.filters.len() > 1;
        let filter_subject = filter(spec).unwrap_or_default().to_owned();
        let forgotten = spec.inactive_threshold.is_some();
        let acks = spec.ack == AckPolicy::Explicit;
        Self {
            name: spec.name.clone().into_owned(),
            // With it the server would never forget the consumer.
            durable_name: if forgotten { String::new() } else { spec.name.clone().into_owned() },
            description: spec.description.clone().into_owned(),
            filter_subject,
            filter_subjects: several.then(|| filters().collect()),
            deliver_policy,
            opt_start_seq,
            opt_start_time,
            ack_policy: spec.ack,
            ack_wait: if acks { spec.ack_wait } else { Duration::ZERO },
            max_deliver: spec.max_deliver.map_or(-1, |attempts| i64::from(attempts) + i64::from(MAX_DELIVER_RESERVE)),
            backoff: Some(spec.backoff.iter().copied().map(Nanos).collect()),
            // Refused beside a consumer that acknowledges nothing.
            max_ack_pending: if acks { i64::from(spec.max_ack_pending) } else { 0 },
            replay_policy: spec.replay,
            headers_only: spec.headers_only,
            inactive_threshold: spec.inactive_threshold.unwrap_or_default(),
        }
    }
}

/// The one filter of a consumer that has one. The last message of each subject cannot be asked for
/// without: there it is one for all.
pub(super) fn filter(spec: &ConsumerSpec) -> Option<&str> {
    match spec.filters.as_ref() {
        [] => (spec.deliver == Deliver::LastPerSubject).then_some(ALL),
        [filter] => Some(filter),
        _ => None,
    }
}

/// The filter that every subject passes.
const ALL: &str = ">";

impl ConsumerConfig {
    /// The spec of the consumer that `stream` has under this name.
    pub(super) fn into_spec(self, stream: String, name: String) -> ConsumerSpec {
        let all = self.deliver_policy == DeliverName::LastPerSubject && self.filter_subject == ALL;
        let one = Some(self.filter_subject).filter(|filter| !filter.is_empty() && !all);
        let filters = one.into_iter().chain(self.filter_subjects.unwrap_or_default());
        ConsumerSpec {
            name: Cow::Owned(name),
            stream: Cow::Owned(stream),
            description: Cow::Owned(self.description),
            filters: filters.map(Cow::Owned).collect(),
            deliver: match self.deliver_policy {
                DeliverName::All => Deliver::All,
                DeliverName::Last => Deliver::Last,
                DeliverName::LastPerSubject => Deliver::LastPerSubject,
                DeliverName::New => Deliver::New,
                DeliverName::ByStartSequence => Deliver::FromSequence(self.opt_start_seq.unwrap_or(1)),
                DeliverName::ByStartTime => {
                    let time = self.opt_start_time.as_deref().and_then(from_rfc3339);
                    Deliver::FromTime(time.unwrap_or(SystemTime::UNIX_EPOCH))
                }
            },
            ack: self.ack_policy,
            ack_wait: some(self.ack_wait).unwrap_or(limits::ACK_WAIT),
            // One that was made elsewhere may have less than the reserve, and still one attempt.
            max_deliver: u32::try_from(self.max_deliver)
                .ok()
                .filter(|attempts| *attempts > 0)
                .map(|attempts| attempts.saturating_sub(MAX_DELIVER_RESERVE).max(1)),
            backoff: self.backoff.unwrap_or_default().into_iter().map(|Nanos(wait)| wait).collect(),
            max_ack_pending: u32::try_from(self.max_ack_pending)
                .ok()
                .filter(|pending| *pending > 0)
                .unwrap_or(limits::ACK_PENDING),
            replay: self.replay_policy,
            headers_only: self.headers_only,
            inactive_threshold: some(self.inactive_threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> ConsumerSpec {
        ConsumerSpec {
            description: "bills".into(),
            filters: vec!["a".into(), "b".into()].into(),
            deliver: Deliver::FromSequence(7),
            ack_wait: Duration::from_secs(5),
            max_deliver: Some(3),
            backoff: vec![Duration::from_secs(1), Duration::from_secs(2)].into(),
            max_ack_pending: 9,
            replay: ReplayPolicy::Original,
            headers_only: true,
            inactive_threshold: Some(Duration::from_secs(60)),
            ..ConsumerSpec::new("orders", "billing")
        }
    }

    fn there_and_back(spec: &ConsumerSpec) -> ConsumerSpec {
        let text = serde_json::to_string(&ConsumerConfig::from(spec)).expect("JSON");
        let config: ConsumerConfig = serde_json::from_str(&text).expect("JSON");
        config.into_spec(spec.stream.clone().into_owned(), spec.name.clone().into_owned())
    }

    #[test]
    fn a_spec_comes_back_as_it_was() {
        let plain = ConsumerSpec::new("orders", "billing");
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_732_176_000, 123_456_789);
        for spec in [
            full(),
            ConsumerSpec { filters: vec!["a".into()].into(), ..plain.clone() },
            ConsumerSpec { deliver: Deliver::FromTime(time), ..plain.clone() },
            ConsumerSpec { deliver: Deliver::LastPerSubject, ..plain.clone() },
            ConsumerSpec { ack: AckPolicy::None, ..plain.clone() },
            plain,
        ] {
            assert_eq!(there_and_back(&spec), spec);
        }
    }

    #[test]
    fn it_is_written_as_jetstream_reads_it() {
        let config = serde_json::to_value(ConsumerConfig::from(&full())).expect("JSON");
        for (field, value) in [
            ("name", json!("billing")),
            ("durable_name", json!(null)),
            ("filter_subject", json!("")),
            ("filter_subjects", json!(["a", "b"])),
            ("deliver_policy", json!("by_start_sequence")),
            ("opt_start_seq", json!(7)),
            ("ack_policy", json!("explicit")),
            ("max_deliver", json!(3 + MAX_DELIVER_RESERVE)),
            ("backoff", json!([1_000_000_000, 2_000_000_000])),
            ("replay_policy", json!("original")),
        ] {
            assert_eq!(config.get(field).cloned().unwrap_or_default(), value, "{field}");
        }
        let plain = serde_json::to_value(ConsumerConfig::from(&ConsumerSpec::new("a", "b"))).expect("JSON");
        assert_eq!((&plain["durable_name"], &plain["max_deliver"]), (&json!("b"), &json!(-1)));
    }

    #[test]
    fn a_consumer_that_was_made_elsewhere_can_be_read() {
        let text = r#"{"ack_policy":"all","max_deliver":1,"deliver_policy":"new","max_waiting":512}"#;
        let config: ConsumerConfig = serde_json::from_str(text).expect("JSON");
        let spec = config.into_spec("s".to_owned(), "c".to_owned());
        assert_eq!((spec.max_deliver, spec.deliver, spec.ack), (Some(1), Deliver::New, AckPolicy::Explicit));
    }
}

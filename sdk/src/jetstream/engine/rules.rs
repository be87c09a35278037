//! What a stream and a consumer can be, and what of it can change.

use std::{borrow::Cow, time::Duration};

use super::{refusal::Refusal, republish::Republisher};
use crate::{
    jetstream::{
        AckPolicy, ConsumerSpec, Deliver, Discard, Retention, StreamSpec, error::number, spec::MAX_DELIVER_RESERVE,
    },
    limits,
    wire::pattern,
};

/// Servers that can keep a copy.
const REPLICAS_MAX: u8 = 5;

/// How long ids are known when nobody says.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The least that the server takes for a time.
const TIME_MIN: Duration = Duration::from_millis(100);

/// Subjects that belong to the server.
const RESERVED: [&str; 4] = ["$JS.>", "$JSC.>", "$NRG.>", "$SYS.>"];

/// The spec as the stream has it: what is left open is filled in.
///
/// # Errors
/// It cannot be.
pub(super) fn stream(spec: &StreamSpec) -> Result<StreamSpec, Refusal> {
    let mut spec = spec.clone();
    check_name(&spec.name, "stream")?;
    if spec.subjects.is_empty() {
        spec.subjects = Cow::Owned(vec![spec.name.clone()]);
    }
    for (index, subject) in spec.subjects.iter().enumerate() {
        if !pattern::is_legal(subject) {
            return Err(Refusal::stream_config("invalid subject"));
        }
        if subject == ">" {
            return Err(Refusal::stream_config("capturing all subjects requires no-ack to be true"));
        }
        let is_event = ["$JS.EVENT.>", "$SYS.ACCOUNT.>"].iter().any(|events| pattern::covers(events, subject));
        if !is_event && RESERVED.iter().any(|reserved| pattern::overlap(reserved, subject)) {
            let why = "subjects that overlap with jetstream api require no-ack to be true";
            return Err(Refusal::stream_config(why));
        }
        if let Some(other) = spec.subjects.iter().take(index).find(|other| pattern::overlap(subject, other)) {
            return Err(Refusal::stream_config(format!("subject {other:?} overlaps with {subject:?}")));
        }
    }
    for most in [&mut spec.max_messages, &mut spec.max_messages_per_subject, &mut spec.max_bytes] {
        *most = most.filter(|most| *most > 0);
    }
    spec.max_message_bytes = spec.max_message_bytes.filter(|most| *most > 0);
    spec.max_age = spec.max_age.filter(|age| !age.is_zero());
    if spec.max_age.is_some_and(|age| age < TIME_MIN) {
        return Err(Refusal::stream_config("max age needs to be >= 100ms"));
    }
    let window = spec.duplicate_window.filter(|window| !window.is_zero());
    let window = window.unwrap_or_else(|| spec.max_age.map_or(DUPLICATE_WINDOW, |age| age.min(DUPLICATE_WINDOW)));
    if spec.max_age.is_some_and(|age| age < window) {
        return Err(Refusal::stream_config("duplicates window can not be larger then max age"));
    }
    if window < TIME_MIN {
        return Err(Refusal::stream_config("duplicates window needs to be >= 100ms"));
    }
    spec.duplicate_window = Some(window);
    if spec.discard_new_per_subject && spec.discard != Discard::New {
        let why = "discard new per subject requires discard new policy to be set";
        return Err(Refusal::stream_config(why));
    }
    if spec.discard_new_per_subject && spec.max_messages_per_subject.is_none() {
        let why = "discard new per subject requires max msgs per subject > 0";
        return Err(Refusal::stream_config(why));
    }
    spec.replicas = spec.replicas.max(1);
    if spec.replicas > REPLICAS_MAX {
        return Err(Refusal::stream_config("maximum replicas is 5"));
    }
    if let Some(republish) = &spec.republish {
        if spec.subjects.iter().any(|subject| pattern::overlap(subject, &republish.destination)) {
            return Err(Refusal::stream_config("stream configuration for republish destination forms a cycle"));
        }
        if Republisher::new(republish).is_none() {
            let (source, destination) = (&republish.source, &republish.destination);
            let why = format!(
                "stream configuration for republish with transform from '{source}' to '{destination}' not valid"
            );
            return Err(Refusal::stream_config(why));
        }
    }
    Ok(spec)
}

fn check_name(name: &str, what: &str) -> Result<(), Refusal> {
    let is_legal = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '*' | '>' | '/' | '\\');
    match !name.is_empty() && name.len() <= 255 && name.chars().all(is_legal) {
        true => Ok(()),
        false => Err(Refusal::new(number::BAD_REQUEST, 400, format!("{name:?} cannot be the name of a {what}"))),
    }
}

/// The spec as the consumer has it.
///
/// # Errors
/// It cannot be.
pub(super) fn consumer(spec: &ConsumerSpec) -> Result<ConsumerSpec, Refusal> {
    let mut spec = spec.clone();
    check_name(&spec.name, "consumer")?;
    spec.max_deliver = spec.max_deliver.filter(|most| *most > 0);
    if spec.max_ack_pending == 0 || spec.ack == AckPolicy::None {
        spec.max_ack_pending = limits::ACK_PENDING;
    }
    if let Some(first) = spec.backoff.first() {
        spec.ack_wait = *first;
    } else if spec.ack_wait.is_zero() {
        spec.ack_wait = limits::ACK_WAIT;
    }
    let attempts = spec.max_deliver.map_or(usize::MAX, |most| most.saturating_add(MAX_DELIVER_RESERVE) as usize);
    if spec.backoff.len() > attempts {
        let why = "max deliver is required to be > length of backoff values";
        return Err(Refusal::new(number::BACKOFF_TOO_LONG, 400, why));
    }
    for (index, filter) in spec.filters.iter().enumerate() {
        if spec.filters.iter().take(index).any(|other| pattern::overlap(filter, other)) {
            return Err(Refusal::new(number::FILTERS_OVERLAP, 400, "consumer subject filters cannot overlap"));
        }
    }
    Ok(spec)
}

/// Whether a work queue takes the consumer.
///
/// # Errors
/// It could take messages from another, or leave some.
pub(super) fn work_queue<'a>(
    spec: &ConsumerSpec,
    stream: &StreamSpec,
    mut others: impl Iterator<Item = &'a ConsumerSpec>,
) -> Result<(), Refusal> {
    if stream.retention != Retention::WorkQueue {
        return Ok(());
    }
    if spec.ack != AckPolicy::Explicit {
        let why = "consumer in pull mode requires explicit ack policy on workqueue stream";
        return Err(Refusal::new(number::PULL_REQUIRES_ACK, 400, why));
    }
    if spec.deliver != Deliver::All {
        let why = "consumer must be deliver all on workqueue stream";
        return Err(Refusal::new(number::WORK_QUEUE_DELIVER_ALL, 400, why));
    }
    if spec.filters.is_empty() {
        return match others.next() {
            None => Ok(()),
            Some(_) => {
                let why = "multiple non-filtered consumers not allowed on workqueue stream";
                Err(Refusal::new(number::WORK_QUEUE_UNFILTERED, 400, why))
            }
        };
    }
    let meets = |other: &ConsumerSpec| {
        other.filters.is_empty()
            || other.filters.iter().any(|other| spec.filters.iter().any(|filter| pattern::overlap(filter, other)))
    };
    match others.any(meets) {
        false => Ok(()),
        true => {
            let why = "filtered consumer not unique on workqueue stream";
            Err(Refusal::new(number::WORK_QUEUE_OVERLAP, 400, why))
        }
    }
}

/// Whether a consumer can become another.
///
/// # Errors
/// Something of it cannot change.
pub(super) fn consumer_change(old: &ConsumerSpec, new: &ConsumerSpec) -> Result<(), Refusal> {
    let fixed = [
        (old.deliver != new.deliver, "deliver policy can not be updated"),
        (old.ack != new.ack, "ack policy can not be updated"),
        (old.replay != new.replay, "replay policy can not be updated"),
    ];
    match fixed.into_iter().find(|(changed, _)| *changed) {
        Some((_, why)) => Err(Refusal::consumer_config(why)),
        None => Ok(()),
    }
}

/// Whether a stream can become another.
///
/// # Errors
/// Something of it cannot change.
pub(super) fn stream_change(old: &StreamSpec, new: &StreamSpec) -> Result<(), Refusal> {
    let fixed = [
        (old.storage != new.storage, "stream configuration update can not change storage type"),
        (
            old.retention != new.retention && [old.retention, new.retention].contains(&Retention::WorkQueue),
            "stream configuration update can not change retention policy to/from workqueue",
        ),
        (old.deny_delete && !new.deny_delete, "stream configuration update can not cancel deny message deletes"),
        (old.allow_message_ttl && !new.allow_message_ttl, "message TTL status can not be disabled"),
    ];
    match fixed.into_iter().find(|(changed, _)| *changed) {
        Some((_, why)) => Err(Refusal::stream_config(why)),
        None => Ok(()),
    }
}

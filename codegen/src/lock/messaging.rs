//! The lines of events, streams and consumers, and which of their attributes are promises.
//!
//! A stream's limits and a consumer's times may change: they are matters of operation. What tells
//! others where to find a message, or what a server cannot change in place, may not.

use std::time::Duration;

use crate::model::{Consumer, Deliver, Discard, Event, Replay, Republish, Retention, Storage, Stream};
use crate::pattern::Pattern;

/// Stands for nothing: no name of a stream or field is spelt like it.
const NONE: &str = "-";

/// Whether a change of this attribute breaks nobody.
pub(super) fn keeps(kind: &str, attribute: &str, was: &str, is: Option<&str>) -> bool {
    let same = is == Some(was);
    match (kind, attribute) {
        ("event", "subject" | "escape") => same,
        // What was not stored, or not deduplicated, or not republished, may be from now on.
        ("event", "stream" | "id") | ("stream", "republish") => same || was == NONE,
        ("stream", "subjects") => same || is.is_some_and(|is| covers(is, was)),
        ("stream", "retention" | "storage") => same,
        ("stream", "allow") => same || was.split(',').all(|one| one == NONE || items(is).any(|item| item == one)),
        ("consumer", "filters" | "deliver" | "ack" | "replay") => same,
        _ => true,
    }
}

/// Whether all that was stored still is.
fn covers(is: &str, was: &str) -> bool {
    let patterns = |list: &str| -> Vec<Pattern> { list.split(',').map(|one| Pattern::new(one.split('.'))).collect() };
    let now = patterns(is);
    patterns(was).iter().all(|was| now.iter().any(|now| now.covers(was)))
}

fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',')
}

pub(super) fn event(event: &Event) -> String {
    let Event { name, subject, escape, .. } = event;
    let stream = event.stream.as_deref().unwrap_or(NONE);
    let id = event.id.as_ref().map_or(NONE, |id| &id.name);
    format!("event {name} subject={subject} stream={stream} id={id} escape={escape}")
}

pub(super) fn stream(stream: &Stream, package: &str) -> String {
    let Stream { name, replicas, .. } = stream;
    let subjects = sorted(&stream.subjects);
    let retention = match stream.retention {
        Retention::Limits => "limits",
        Retention::Interest => "interest",
        Retention::WorkQueue => "work_queue",
    };
    let storage = match stream.storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    };
    let discard = match stream.discard {
        Discard::Old => "old",
        Discard::New => "new",
    };
    let max_messages = or_none(stream.max_messages);
    let max_messages_per_subject = or_none(stream.max_messages_per_subject);
    let max_bytes = or_none(stream.max_bytes);
    let max_message_bytes = or_none(stream.max_message_bytes);
    let max_age = or_none(stream.max_age.map(seconds));
    let duplicate_window = or_none(stream.duplicate_window.map(seconds));
    let allowed = [
        (stream.allow_direct, "direct"),
        (stream.allow_message_ttl, "message_ttl"),
        (stream.allow_atomic_publish, "atomic_publish"),
    ];
    let allow: Vec<&str> = allowed.iter().filter_map(|(yes, name)| yes.then_some(*name)).collect();
    let allow = if allow.is_empty() { NONE.to_owned() } else { allow.join(",") };
    let republish = or_none(stream.republish.as_ref().map(republish));
    format!(
        "stream {name} package={} subjects={subjects} retention={retention} storage={storage} replicas={replicas} \
         max_messages={max_messages} max_messages_per_subject={max_messages_per_subject} max_bytes={max_bytes} \
         max_age={max_age} max_message_bytes={max_message_bytes} discard={discard} \
         duplicate_window={duplicate_window} allow={allow} republish={republish}",
        or_none(Some(package).filter(|package| !package.is_empty())),
    )
}

pub(super) fn consumer(consumer: &Consumer, package: &str) -> String {
    let Consumer { name, stream, max_ack_pending, .. } = consumer;
    let filters = if consumer.filters.is_empty() { ">".to_owned() } else { sorted(&consumer.filters) };
    let deliver = match consumer.deliver {
        Deliver::All => "all".to_owned(),
        Deliver::Last => "last".to_owned(),
        Deliver::LastPerSubject => "last_per_subject".to_owned(),
        Deliver::New => "new".to_owned(),
        Deliver::FromSequence(sequence) => format!("from_sequence:{sequence}"),
        Deliver::FromTime(since_1970) => format!("from_time:{}", seconds(since_1970)),
    };
    let ack_wait = seconds(consumer.ack_wait);
    let max_deliver = or_none(consumer.max_deliver);
    let backoff: Vec<String> = consumer.backoff.iter().copied().map(seconds).collect();
    let backoff = or_none(Some(backoff.join(",")).filter(|list| !list.is_empty()));
    let replay = match consumer.replay {
        Replay::Instant => "instant",
        Replay::Original => "original",
    };
    format!(
        "consumer {stream}/{name} package={} filters={filters} deliver={deliver} ack=explicit ack_wait={ack_wait} \
         max_deliver={max_deliver} backoff={backoff} max_ack_pending={max_ack_pending} replay={replay}",
        or_none(Some(package).filter(|package| !package.is_empty())),
    )
}

fn sorted(subjects: &[String]) -> String {
    let mut subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    subjects.sort_unstable();
    subjects.join(",")
}

fn republish(republish: &Republish) -> String {
    let Republish { source, destination, headers_only } = republish;
    let what = if *headers_only { "headers" } else { "all" };
    format!("{what}:{source}->{destination}")
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// `30s`, `0.5s`: as ProtoJSON spells a duration.
fn seconds(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{nanos:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

//! Rules of durable consumers: what they read, from where, and how often.

use std::collections::HashMap;
use std::time::Duration;

use prost_reflect::FileDescriptor;

use super::setting::Settings;
use super::stream::{OPTIONS, Streams};
use crate::model::{Consumer, Deliver, Replay, Retention};
use crate::naming;
use crate::options::{self, Unfit};
use crate::pattern::Pattern;
use crate::place::{Placed, Report};

/// What is taken when nobody says: the runtime's numbers.
const ACK_WAIT: Duration = Duration::from_secs(30);
const MAX_ACK_PENDING: u32 = 1_000;

/// The last second that a `google.protobuf.Timestamp` may have: of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

/// The consumers that files declare; what breaks a rule of its own is reported.
pub(super) fn build(files: &[FileDescriptor], report: &mut Report<'_>) -> Vec<Placed<Consumer>> {
    let mut consumers = Vec::new();
    for file in files {
        for (index, values) in (0..).zip(options::consumers(file)) {
            let path = vec![OPTIONS, options::CONSUMER_EXTENSION, index];
            let at = Placed { item: (), file: file.clone(), path };
            let item = consumer(&mut Settings::new(&values, &at, "CONSUMER_RANGE", report));
            consumers.push(Placed { item, file: at.file, path: at.path });
        }
    }
    consumers
}

/// A consumer, and what it reads.
type Filtered<'a> = (&'a Placed<Consumer>, Vec<Pattern>);

/// Reports what consumers do to one another, and what their streams do not have.
pub(super) fn check(consumers: &[Placed<Consumer>], streams: &Streams<'_>, report: &mut Report<'_>) {
    let mut by_stream: HashMap<&str, Vec<Filtered<'_>>> = HashMap::new();
    for consumer in consumers {
        let Consumer { name, stream, filters, .. } = &consumer.item;
        let filters: Vec<_> = filters.iter().map(|filter| Pattern::new(filter.split('.'))).collect();
        let earlier = by_stream.entry(stream).or_default();
        if let Some((first, _)) = earlier.iter().find(|(other, _)| other.item.name == *name) {
            let problem = format!(
                "the stream `{}` has a consumer `{}` already ({}); write another name",
                stream.escape_debug(),
                name.escape_debug(),
                first.place(report),
            );
            consumer.refuse("CONSUMER_NAME_UNIQUE", problem, report);
        }
        apart(consumer, &filters, report);
        match streams.get(stream) {
            None if stream.is_empty() => {
                let problem = format!("a consumer reads a stream; {}", streams.instead());
                consumer.refuse("CONSUMER_STREAM", problem, report);
            }
            None if !report.whole => {}
            None => {
                let stream = stream.escape_debug();
                let problem = format!("no file declares the stream `{stream}`; {}", streams.instead());
                consumer.refuse("CONSUMER_STREAM", problem, report);
            }
            Some((stream, stored)) => {
                for filter in filters.iter().filter(|_| !stored.is_empty()) {
                    if !stored.iter().any(|stored| stored.meets(filter)) {
                        let (name, subjects) = (stream.item.name.escape_debug(), stream.item.subjects.join("`, `"));
                        let problem = format!(
                            "`{filter}` is none of the subjects of the stream `{name}` ({}); write part of `{subjects}`",
                            stream.place(report),
                        );
                        consumer.refuse("CONSUMER_FILTER", problem, report);
                    }
                }
                if stream.item.retention == Retention::WorkQueue {
                    work_queue(consumer, &filters, earlier, report);
                }
            }
        }
        earlier.push((consumer, filters));
    }
}

/// No two filters of one consumer overlap: a server refuses that.
fn apart(consumer: &Placed<Consumer>, filters: &[Pattern], report: &mut Report<'_>) {
    for (index, filter) in filters.iter().enumerate() {
        if let Some(other) = filters[..index].iter().find(|other| other.meets(filter)) {
            consumer.refuse("CONSUMER_FILTER", other.overlap(filter), report);
        }
    }
}

/// In a work queue each message has one consumer, which gets it from the start.
fn work_queue(consumer: &Placed<Consumer>, filters: &[Pattern], earlier: &[Filtered<'_>], report: &mut Report<'_>) {
    let Consumer { name, stream, deliver, .. } = &consumer.item;
    let (name, stream) = (name.escape_debug(), stream.escape_debug());
    if *deliver != Deliver::All {
        let problem =
            format!("`{stream}` is a work queue, which hands out every message; write `deliver: DELIVER_ALL`");
        consumer.refuse("CONSUMER_WORK_QUEUE", problem, report);
    }
    let meets = |others: &[Pattern]| {
        let all = filters.is_empty() || others.is_empty();
        all || filters.iter().any(|filter| others.iter().any(|other| other.meets(filter)))
    };
    let mut others = earlier.iter().filter(|(other, _)| other.item.name != consumer.item.name);
    if let Some((other, _)) = others.find(|(_, others)| meets(others)) {
        let problem = format!(
            "`{stream}` is a work queue, and `{name}` and `{}` ({}) would share messages; write filters that do not \
             overlap, or one consumer with several workers",
            other.item.name.escape_debug(),
            other.place(report),
        );
        consumer.refuse("CONSUMER_WORK_QUEUE", problem, report);
    }
}

fn consumer(settings: &mut Settings<'_, '_>) -> Consumer {
    let name = settings.name("CONSUMER_NAME", "worker");
    let max_deliver: Option<u32> = settings.limit("max_deliver");
    let backoff = settings.durations("backoff");
    if let Some(attempts) = max_deliver.filter(|attempts| usize::try_from(*attempts).is_ok_and(|n| n <= backoff.len()))
    {
        let waits = backoff.len();
        let problem = format!(
            "`max_deliver` is {attempts}, and `backoff` has {waits} waits between attempts; write `max_deliver: {}`",
            waits + 1,
        );
        settings.refuse("CONSUMER_RANGE", problem);
    }
    Consumer {
        stream: settings.values().text("stream").unwrap_or_default(),
        description: settings.description(),
        filters: filters(settings),
        deliver: deliver(settings),
        ack_wait: settings.duration("ack_wait", Duration::ZERO).unwrap_or(ACK_WAIT),
        max_deliver,
        backoff,
        max_ack_pending: settings.limit("max_ack_pending").unwrap_or(MAX_ACK_PENDING),
        replay: settings.choice("replay", Replay::Instant, &[Replay::Instant, Replay::Original]),
        constant: naming::constant(&name),
        name,
    }
}

fn filters(settings: &mut Settings<'_, '_>) -> Vec<String> {
    let filters = settings.values().texts("filters");
    let legal = |filter: &String| match Pattern::parse(filter) {
        Ok(_) => true,
        Err(problem) => {
            settings.refuse("CONSUMER_FILTER", problem);
            false
        }
    };
    filters.into_iter().filter(legal).collect()
}

/// Where it begins; the sequence or time is there exactly when the policy asks for it.
fn deliver(settings: &mut Settings<'_, '_>) -> Deliver {
    let values = settings.values();
    let sequence = values.count("start_sequence");
    let time = values.seconds_and_nanos("start_time");
    // The time is read below, once it is known to be wanted.
    let policies = [
        Deliver::All,
        Deliver::Last,
        Deliver::LastPerSubject,
        Deliver::New,
        Deliver::FromSequence(sequence),
        Deliver::FromTime(Duration::ZERO),
    ];
    let policy = settings.choice("deliver", Deliver::All, &policies);
    let wants_sequence = matches!(policy, Deliver::FromSequence(_));
    let wants_time = matches!(policy, Deliver::FromTime(_));
    for (field, wanted, given, policy, example) in [
        ("start_sequence", wants_sequence, sequence > 0, "DELIVER_FROM_SEQUENCE", "start_sequence: 1"),
        ("start_time", wants_time, time.is_some(), "DELIVER_FROM_TIME", "start_time: { seconds: 1700000000 }"),
    ] {
        if wanted && !given {
            settings.refuse("CONSUMER_DELIVER", format!("`{policy}` begins at `{field}`; write `{example}`"));
        } else if given && !wanted {
            let problem = format!("`{field}` is for another policy; write `deliver: {policy}`, or leave it out");
            settings.refuse("CONSUMER_DELIVER", problem);
        }
    }
    match (policy, time) {
        (Deliver::FromTime(_), Some((seconds, nanos))) => {
            let problem = match options::positive(seconds, nanos) {
                Ok(since_1970) if seconds <= MAX_SECONDS => return Deliver::FromTime(since_1970),
                Err(Unfit::Nanos(why)) => format!("`start_time` {why}"),
                _ => "`start_time` is not after 1970 and before 10000; write `seconds: 1700000000`, or so".to_owned(),
            };
            settings.refuse("CONSUMER_DELIVER", problem);
            policy
        }
        _ => policy,
    }
}

//! Rules of streams: what they may store, and that no message is stored twice.

use std::collections::HashMap;
use std::time::Duration;

use prost_reflect::FileDescriptor;

use super::owned::Owned;
use super::setting::Settings;
use crate::model::{Discard, Republish, Retention, Storage, Stream};
use crate::naming;
use crate::options::{self, Values};
use crate::pattern::Pattern;
use crate::place::{Placed, Report};

/// Field number of the options in a file's descriptor.
pub(super) const OPTIONS: i32 = 8;

/// Most servers that can keep a copy.
const MAX_REPLICAS: u8 = 5;

/// Shortest age and window that a server takes.
const MIN_DURATION: Duration = Duration::from_millis(100);

/// Most streams that a message names as what could be written.
const MAX_NAMED: usize = 8;

/// The streams that files declare; what breaks a rule of its own is reported.
pub(super) fn build(files: &[FileDescriptor], report: &mut Report<'_>) -> Vec<Placed<Stream>> {
    let mut streams = Vec::new();
    for file in files {
        for (index, values) in (0..).zip(options::streams(file)) {
            let path = vec![OPTIONS, options::STREAM_EXTENSION, index];
            let at = Placed { item: (), file: file.clone(), path };
            let item = stream(&mut Settings::new(&values, &at, "STREAM_RANGE", report));
            streams.push(Placed { item, file: at.file, path: at.path });
        }
    }
    streams
}

/// All streams, by name and with what they store.
pub(super) struct Streams<'a> {
    all: Vec<(&'a Placed<Stream>, Vec<Pattern>)>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(streams: &'a [Placed<Stream>]) -> Self {
        let mut by_name = HashMap::new();
        for (index, stream) in streams.iter().enumerate() {
            by_name.entry(stream.item.name.as_str()).or_insert(index);
        }
        let pattern = |subject: &String| Pattern::new(subject.split('.'));
        let all = streams.iter().map(|stream| (stream, stream.item.subjects.iter().map(pattern).collect()));
        Self { all: all.collect(), by_name }
    }

    /// A stream and what it stores; nothing when its subjects are not in order.
    pub(super) fn get(&self, name: &str) -> Option<(&'a Placed<Stream>, &[Pattern])> {
        let (stream, stored) = self.all.get(*self.by_name.get(name)?)?;
        Some((stream, stored))
    }

    /// What could be written where a stream is named.
    pub(super) fn instead(&self) -> String {
        let names = self.all.iter().map(|(stream, _)| format!("`{}`", stream.item.name.escape_debug()));
        let names: Vec<String> = names.take(MAX_NAMED).collect();
        match &names[..] {
            [] => "write `option (subwire.v1.stream) = { name: .. subjects: .. };` in a file".to_owned(),
            [one] => format!("write {one}"),
            _ => format!("write one of {}", names.join(", ")),
        }
    }
}

/// Reports what streams do to one another and to calls.
pub(super) fn check(streams: &Streams<'_>, owned: &[Owned], report: &mut Report<'_>) {
    for (index, (stream, stored)) in streams.all.iter().enumerate() {
        let earlier = &streams.all[..index];
        let name = &stream.item.name;
        if let Some((first, _)) = earlier.iter().find(|(other, _)| other.item.name == *name) {
            let (name, place) = (name.escape_debug(), first.place(report));
            let problem = format!("there is a stream `{name}` already ({place}); write another name");
            stream.refuse("STREAM_NAME_UNIQUE", problem, report);
        }
        for (index, subject) in stored.iter().enumerate() {
            if let Some(owner) = owner(subject, owned) {
                let problem = format!(
                    "`{subject}` {owner}, and a stream would acknowledge that as if it answered; write narrower subjects",
                );
                stream.refuse("STREAM_SUBJECT", problem, report);
            }
            if let Some(other) = stored[..index].iter().find(|other| other.meets(subject)) {
                stream.refuse("STREAM_SUBJECT", other.overlap(subject), report);
            }
            let others = earlier.iter().filter(|(other, _)| other.item.name != *name);
            let mut others = others.flat_map(|(other, stored)| stored.iter().map(move |stored| (other, stored)));
            if let Some((other, meeting)) = others.find(|(_, stored)| stored.meets(subject)) {
                let problem = format!(
                    "`{subject}` and `{meeting}` of the stream `{}` ({}) overlap, so that a message would be stored \
                     twice; write narrower subjects",
                    other.item.name.escape_debug(),
                    other.place(report),
                );
                stream.refuse("STREAM_SUBJECT_UNIQUE", problem, report);
            }
        }
        if let Some(republish) = &stream.item.republish {
            for problem in republished(republish, stored, owned) {
                stream.refuse("STREAM_REPUBLISH", problem, report);
            }
        }
    }
}

/// Whose subject it can be, if it is not one of events alone.
fn owner(subject: &Pattern, owned: &[Owned]) -> Option<String> {
    if subject.first().starts_with(['_', '$']) {
        return Some("is the server's or the runtime's".to_owned());
    }
    let owner = owned.iter().find(|owner| owner.pattern.meets(subject))?;
    Some(format!("can be the subject of {owner}"))
}

/// All that is wrong with a copy.
fn republished(republish: &Republish, stored: &[Pattern], owned: &[Owned]) -> Vec<String> {
    let mut problems = Vec::new();
    match Pattern::parse(&republish.source) {
        Ok(source) if !stored.is_empty() && !stored.iter().any(|stored| stored.meets(&source)) => {
            problems.push(format!("the source `{source}` is none of the stream's subjects; leave it out for all"));
        }
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    match destination(&republish.destination) {
        _ if republish.destination.is_empty() => {
            problems.push("a copy goes to another subject; write `destination: \"copy.>\"`".to_owned());
        }
        Ok(destination) => {
            if let Some(owner) = owner(&destination, owned) {
                let destination = republish.destination.escape_debug();
                problems.push(format!("`{destination}` {owner}; write another first token"));
            }
            if let Some(stored) = stored.iter().find(|stored| stored.meets(&destination)) {
                problems.push(format!(
                    "the destination `{}` is stored again by `{stored}`; write another first token",
                    republish.destination.escape_debug(),
                ));
            }
        }
        Err(problem) => problems.push(problem),
    }
    problems
}

/// What a destination can become: any token for each `{{wildcard(1)}}`.
fn destination(text: &str) -> Result<Pattern, String> {
    let graphic = |token: &str| token.chars().all(|c| c.is_ascii_graphic());
    let mapped = |token: &str| token.starts_with("{{") && token.ends_with("}}") && graphic(token);
    let tokens: Vec<&str> = text.split('.').map(|token| if mapped(token) { "*" } else { token }).collect();
    Pattern::parse(&tokens.join("."))
}

fn stream(settings: &mut Settings<'_, '_>) -> Stream {
    let name = settings.name("STREAM_NAME", "orders");
    let max_age = settings.duration("max_age", MIN_DURATION);
    let duplicate_window = settings.duration("duplicate_window", MIN_DURATION);
    if let Some((window, age)) = duplicate_window.zip(max_age).filter(|(window, age)| window > age) {
        let problem = format!(
            "`duplicate_window` is {window:?} and `max_age` {age:?}: an id is not known longer than its message is \
             kept; write a shorter window",
        );
        settings.refuse("STREAM_RANGE", problem);
    }
    let values = settings.values();
    Stream {
        description: settings.description(),
        subjects: subjects(settings),
        retention: settings.choice(
            "retention",
            Retention::Limits,
            &[Retention::Limits, Retention::Interest, Retention::WorkQueue],
        ),
        storage: settings.choice("storage", Storage::File, &[Storage::File, Storage::Memory]),
        replicas: replicas(settings),
        max_messages: settings.limit("max_messages"),
        max_messages_per_subject: settings.limit("max_messages_per_subject"),
        max_bytes: settings.limit("max_bytes"),
        max_age,
        max_message_bytes: settings.limit("max_message_bytes"),
        discard: settings.choice("discard", Discard::Old, &[Discard::Old, Discard::New]),
        duplicate_window,
        allow_direct: values.flag("allow_direct"),
        allow_message_ttl: values.flag("allow_message_ttl"),
        allow_atomic_publish: values.flag("allow_atomic_publish"),
        republish: values.message("republish").as_ref().map(republish),
        constant: naming::constant(&name),
        name,
    }
}

fn subjects(settings: &mut Settings<'_, '_>) -> Vec<String> {
    let subjects = settings.values().texts("subjects");
    if subjects.is_empty() {
        settings.refuse("STREAM_SUBJECT", "a stream stores at least one subject; write `subjects: \"orders.>\"`");
    }
    let legal = |subject: &String| match Pattern::parse(subject) {
        Ok(_) => true,
        Err(problem) => {
            settings.refuse("STREAM_SUBJECT", problem);
            false
        }
    };
    subjects.into_iter().filter(legal).collect()
}

fn replicas(settings: &mut Settings<'_, '_>) -> u8 {
    let replicas = settings.limit::<i64>("replicas").unwrap_or(1);
    match u8::try_from(replicas) {
        Ok(replicas) if replicas <= MAX_REPLICAS => replicas,
        _ => {
            let problem = format!("`replicas` is {replicas}; write 1 to {MAX_REPLICAS}, best an odd number");
            settings.refuse("STREAM_RANGE", problem);
            1
        }
    }
}

fn republish(values: &Values) -> Republish {
    Republish {
        source: values.text("source").unwrap_or_else(|| Pattern::everything().to_string()),
        destination: values.text("destination").unwrap_or_default(),
        headers_only: values.flag("headers_only"),
    }
}

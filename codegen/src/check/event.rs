//! Rules of events: what their subjects are made of, and that each goes to one stream.

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use super::field;
use super::owned::Owned;
use super::stream::Streams;
use super::template::{self, Piece};
use super::token::{self, Methods};
use super::types::all_messages;
use crate::docs;
use crate::externs::Externs;
use crate::model::{Event, EventItems, FieldPath, Token};
use crate::naming;
use crate::options::{self, Values};
use crate::pattern::Pattern;
use crate::place::{Placed, Report};

/// Field number of the options in a message's descriptor.
const OPTIONS: i32 = 7;

/// The events of all files; what breaks a rule of its own is reported.
pub(super) fn build(files: &[FileDescriptor], externs: &Externs, report: &mut Report<'_>) -> Vec<Placed<Event>> {
    let mut events = Vec::new();
    for message in files.iter().flat_map(all_messages) {
        let Some(values) = options::event(&message) else {
            continue;
        };
        let path = [message.path(), &[OPTIONS, options::EVENT_EXTENSION]].concat();
        let mut placed = Placed { item: blank(&message, &values, report), file: message.parent_file(), path };
        if message.parent_message().is_some() {
            let problem = format!(
                "`{}` is inside another message, and an event is read on its own; move it to the top of the file",
                message.full_name(),
            );
            placed.refuse("EVENT_NESTED", problem, report);
        }
        placed.item.tokens = tokens(&placed, &message, externs, report);
        placed.item.id = id(&placed, &message, &values, externs, report);
        events.push(placed);
    }
    events
}

/// Reports what events do to one another, to calls and to streams.
pub(super) fn check(events: &[Placed<Event>], streams: &Streams<'_>, owned: &[Owned], report: &mut Report<'_>) {
    // Those of events whose subject is in order; what is wrong with the others is told already.
    let mut earlier: Vec<(Pattern, &Placed<Event>)> = Vec::with_capacity(events.len());
    for event in events {
        let pattern = pattern(&event.item);
        if let Some(pattern) = &pattern {
            subject(event, pattern, &earlier, owned, report);
        }
        if let Some(name) = &event.item.stream {
            stream(event, name, pattern.as_ref(), streams, report);
        }
        earlier.extend(pattern.map(|pattern| (pattern, event)));
    }
}

fn subject(
    event: &Placed<Event>,
    pattern: &Pattern,
    earlier: &[(Pattern, &Placed<Event>)],
    owned: &[Owned],
    report: &mut Report<'_>,
) {
    let Event { name, subject, .. } = &event.item;
    if let Some(owner) = owned.iter().find(|owner| owner.pattern.meets(pattern)) {
        let problem = format!("`{subject}` can be the subject of {owner}; write another one");
        event.refuse("EVENT_SUBJECT", problem, report);
    }
    if let Some((_, other)) = earlier.iter().find(|(other, _)| other.meets(pattern)) {
        let problem = format!(
            "`{name}` on `{subject}` and `{}` on `{}` ({}) can have one subject, and a reader could not tell them \
             apart; write another token in one of them",
            other.item.name,
            other.item.subject,
            other.place(report),
        );
        event.refuse("EVENT_SUBJECT_UNIQUE", problem, report);
    }
}

fn stream(
    event: &Placed<Event>,
    name: &str,
    pattern: Option<&Pattern>,
    streams: &Streams<'_>,
    report: &mut Report<'_>,
) {
    let Some((stream, stored)) = streams.get(name) else {
        if report.whole {
            let problem = format!("no file declares the stream `{}`; {}", name.escape_debug(), streams.instead());
            event.refuse("EVENT_STREAM", problem, report);
        }
        return;
    };
    let Some(pattern) = pattern.filter(|_| !stored.is_empty()) else {
        return;
    };
    if !stored.iter().any(|stored| stored.covers(pattern)) {
        let problem = format!(
            "the stream `{}` ({}) does not store all of `{}`; add `subjects: \"{pattern}\"` to it",
            name.escape_debug(),
            stream.place(report),
            event.item.subject,
        );
        event.refuse("EVENT_STREAM", problem, report);
    }
}

fn blank(message: &MessageDescriptor, values: &Values, report: &Report<'_>) -> Event {
    let comment = || docs::first_paragraph(report.places.comment(message.parent_file().name(), message.path()));
    Event {
        name: message.full_name().to_owned(),
        subject: values.text("subject").unwrap_or_default(),
        tokens: Vec::new(),
        stream: values.text("stream"),
        id: None,
        escape: values.flag("escape"),
        description: values.text("description").unwrap_or_else(comment),
        rust: EventItems { message: naming::upper_camel(message.name()), filter: String::new() },
    }
}

fn pattern(event: &Event) -> Option<Pattern> {
    let pattern = event.pattern();
    (!pattern.is_empty()).then(|| Pattern::new(pattern.split('.')))
}

/// The pieces of the subject; none when something is wrong with it.
fn tokens(
    event: &Placed<Event>,
    message: &MessageDescriptor,
    externs: &Externs,
    report: &mut Report<'_>,
) -> Vec<Token> {
    let package = message.package_name().split('.').next().unwrap_or_default();
    let own = if matches!(package, "" | "svc") || package.starts_with('_') { "events" } else { package };
    let pieces = match template::parse(&event.item.subject, own) {
        Ok(pieces) => pieces,
        Err(problems) => {
            for problem in problems {
                event.refuse("EVENT_SUBJECT", problem, report);
            }
            return Vec::new();
        }
    };
    let mut methods = Methods::default();
    let mut tokens = Vec::with_capacity(pieces.len());
    let mut whole = true;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => tokens.push(Token::Literal(text.to_owned())),
            Piece::Field(path) => match token::subject_field(message, path, externs, &mut methods) {
                Ok(field) => tokens.push(Token::Field(field)),
                Err(problem) => {
                    event.refuse("EVENT_FIELD", problem, report);
                    whole = false;
                }
            },
        }
    }
    if whole { tokens } else { Vec::new() }
}

fn id(
    event: &Placed<Event>,
    message: &MessageDescriptor,
    values: &Values,
    externs: &Externs,
    report: &mut Report<'_>,
) -> Option<FieldPath> {
    let path = values.text("id")?;
    let is_string = |field: &FieldDescriptor| matches!(field.kind(), Kind::String);
    let found = field::resolve(message, &path, externs, is_string).and_then(|(path, field)| {
        let problem = || format!("`{}` is no string, and an id is one; write a string field", field.full_name());
        if is_string(&field) { Ok(path) } else { Err(problem()) }
    });
    match found {
        Ok(path) => Some(path),
        Err(problem) => {
            event.refuse("EVENT_ID", problem, report);
            None
        }
    }
}

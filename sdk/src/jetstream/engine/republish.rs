//! [`Republisher`]: what a stream publishes when it has stored a message.

use std::borrow::Cow;

use super::{
    clock::{self, Nanos},
    stream::State,
};
use crate::{
    bus::{Message, Subject},
    jetstream::{Republish, header},
    wire::pattern,
};

/// What a stream publishes when it has stored a message: the spec's words, understood.
#[derive(Debug, PartialEq)]
pub(super) struct Republisher {
    source: Cow<'static, str>,
    destination: Vec<Part>,
    headers_only: bool,
}

#[derive(Debug, PartialEq)]
enum Part {
    Literal(String),
    /// What the wildcard of this number met, from 0.
    Wildcard(usize),
    /// What `>` met.
    Rest,
}

impl Republisher {
    /// `None` for words that have no meaning, or one that only nats-server knows.
    pub(super) fn new(spec: &Republish) -> Option<Self> {
        let source = match spec.source.is_empty() {
            true => Cow::Borrowed(">"),
            false => spec.source.clone(),
        };
        if !pattern::is_legal(&source) {
            return None;
        }
        let wildcards = source.split('.').filter(|token| *token == "*").count();
        let has_rest = source.split('.').any(|token| token == ">");
        let mut destination = Vec::new();
        for token in spec.destination.split('.') {
            destination.push(match token {
                ">" => Part::Rest,
                _ => part(token).filter(|part| !matches!(part, Part::Wildcard(place) if *place >= wildcards))?,
            });
        }
        let rests = destination.iter().filter(|part| **part == Part::Rest).count();
        let ends_so = destination.last() == Some(&Part::Rest);
        let is_legal = rests == usize::from(has_rest) && ends_so == has_rest;
        is_legal.then_some(Self { source, destination, headers_only: spec.headers_only })
    }

    /// Where a message of this subject is published again.
    fn destination(&self, subject: &str) -> Option<Subject> {
        if !pattern::matches(&self.source, subject) {
            return None;
        }
        let mut wildcards = Vec::new();
        let mut tokens = subject.split('.');
        for token in self.source.split('.') {
            match token {
                ">" => break,
                "*" => wildcards.extend(tokens.next()),
                _ => drop(tokens.next()),
            }
        }
        let rest: Vec<_> = tokens.collect();
        let parts = self.destination.iter().map(|part| match part {
            Part::Literal(text) => Cow::Borrowed(text.as_str()),
            Part::Wildcard(place) => Cow::Borrowed(wildcards.get(*place).copied().unwrap_or_default()),
            Part::Rest => Cow::Owned(rest.join(".")),
        });
        Some(Subject::trusted(parts.collect::<Vec<_>>().join(".")))
    }
}

/// `{{wildcard(1)}}`, `$1`, or a literal token.
fn part(token: &str) -> Option<Part> {
    let number = match token.strip_prefix("{{").and_then(|token| token.strip_suffix("}}")) {
        Some(function) => function.trim().strip_prefix("wildcard(")?.strip_suffix(')')?.trim(),
        None => match token.strip_prefix('$').filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(number) => number,
            None if token.is_empty() || token == "*" || token.contains(char::is_whitespace) => return None,
            None => return Some(Part::Literal(token.to_owned())),
        },
    };
    Some(Part::Wildcard(number.parse::<usize>().ok()?.checked_sub(1)?))
}

impl State {
    /// Publishes a message again that is stored in this place; `last` is where the one before of its
    /// subject is.
    pub(super) fn republish(&mut self, message: &Message, sequence: u64, last: u64, now: Nanos) {
        let Some(republish) = &self.republish else { return };
        let Some(subject) = republish.destination(message.subject.as_str()) else { return };
        let mut copy = Message::new(subject, message.payload.clone()).with_headers(message.headers.clone());
        copy.headers.append(header::STREAM, self.spec.name.as_ref());
        copy.headers.append(header::SUBJECT, message.subject.as_str());
        copy.headers.append(header::SEQUENCE, sequence.to_string());
        let time = prost_types::Timestamp::from(clock::to_system(now));
        copy.headers.append(header::TIME, time.to_string());
        copy.headers.append(header::LAST_SEQUENCE, last.to_string());
        if republish.headers_only {
            copy.headers.append(header::SIZE, message.payload.len().to_string());
            copy.payload = bytes::Bytes::new();
        }
        self.outbox.push(copy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &'static str, destination: &'static str, subject: &str, expected: Option<&str>) {
        let spec = Republish { source: source.into(), destination: destination.into(), headers_only: false };
        let found = Republisher::new(&spec).and_then(|republisher| republisher.destination(subject));
        assert_eq!(found.as_ref().map(Subject::as_str), expected, "{source} to {destination}, {subject}");
    }

    #[test]
    fn a_destination_is_made_of_what_the_wildcards_met() {
        check("a.*", "b.{{wildcard(1)}}", "a.x", Some("b.x"));
        check("a.*.*", "b.$2.{{ wildcard(1) }}", "a.x.y", Some("b.y.x"));
        check("a.>", "b.>", "a.x.y", Some("b.x.y"));
        check("", "b.>", "a.x", Some("b.a.x"));
        check("a.*", "b", "a.x", Some("b"));
        check("a.*", "b", "c.x", None);
        check("a.*.>", "$1.>", "a.x.y.z", Some("x.y.z"));
    }

    #[test]
    fn words_without_a_meaning_are_refused() {
        for (source, destination) in [
            ("a.*", "b.*"),
            ("a.>", "b"),
            ("a.*", "b.>"),
            ("a.*", "b.$2"),
            ("a.*", "b.{{foo(1)}}"),
            ("a..b", "b"),
            ("a", "b..c"),
            ("a", "*"),
            ("a", ""),
            ("a.>", ">.b"),
        ] {
            let spec = Republish { source: source.into(), destination: destination.into(), headers_only: false };
            assert_eq!(Republisher::new(&spec), None, "{source} to {destination}");
        }
    }
}

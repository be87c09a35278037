//! `api.lock`: the schema in one line for each thing that others rely on.
//!
//! The file is checked in, so that a reviewer sees what changes on the wire, and so that a change
//! that breaks others is refused. Lines are sorted; each starts with what it is and its full name:
//!
//! ```text
//! consumer orders/billing package=shop.orders.v1 filters=order.placed deliver=all ack=explicit ..
//! event shop.orders.v1.Placed subject=order.placed.{shop} stream=orders id=order_id escape=false
//! field ai.llm.v1.InferRequest.prompt number=1 type=string label=singular
//! method ai.llm.v1.LlmService/Infer subject=svc.ai.llm.v1.infer kind=unary request=.. response=..
//! service ai.llm.v1.LlmService subject=svc.ai.llm.v1 version=1.0.0
//! stream orders package=shop.orders.v1 subjects=order.> retention=limits storage=file ..
//! value ai.llm.v1.Role.ROLE_USER number=1
//! ```

mod messaging;

use std::collections::BTreeMap;
use std::fmt;

use crate::check::Version;
use crate::model::{Enum, Idempotency, Kind, Label, Message, Method, Schema, Service};

const HEADER: &str = "# What others rely on, from the .proto files. Do not edit: run `cargo xtask schema`.\n";

/// The lock of a schema.
pub fn render(schema: &Schema) -> String {
    let mut lines = Vec::new();
    for package in &schema.packages {
        package.service.iter().for_each(|found| service(found, &mut lines));
        package.messages.iter().for_each(|found| message(found, &mut lines));
        package.enums.iter().for_each(|found| enumeration(found, &mut lines));
        lines.extend(package.events.iter().map(messaging::event));
        lines.extend(package.streams.iter().map(|stream| messaging::stream(stream, &package.name)));
        lines.extend(package.consumers.iter().map(|consumer| messaging::consumer(consumer, &package.name)));
    }
    lines.sort();
    let mut text = HEADER.to_owned();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What a line can be about.
const KINDS: [&str; 7] = ["consumer", "event", "field", "method", "service", "stream", "value"];

/// The lines that no lock has, from 1, with what they say: the marks of a merge that is not done.
pub fn malformed(lock: &str) -> Vec<(usize, String)> {
    let numbered = (1..).zip(lock.lines().map(str::trim));
    let wrong = numbered.filter(|(_, line)| lines(line).any(|line| !KINDS.contains(&line.kind)));
    wrong.map(|(number, line)| (number, line.to_owned())).collect()
}

/// Something that others rely on and that is no longer as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakage {
    /// The line of the old lock.
    pub old: String,
    /// The line that took its place; none when it was removed.
    pub new: Option<String>,
    /// What happened, and what to do instead.
    pub message: String,
}

impl fmt::Display for Breakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What `new` breaks of what `old` promises; empty for a change that only adds.
///
/// Packages `v<N>alpha<M>` and `v<N>beta<M>` promise nothing.
pub fn check(old: &str, new: &Schema) -> Vec<Breakage> {
    let packages: Vec<&str> = new.packages.iter().map(|package| package.name.as_str()).collect();
    let new = render(new);
    let now: BTreeMap<(&str, &str), Line<'_>> = lines(&new).map(|line| (line.key(), line)).collect();
    let released = lines(old).filter(|line| line.is_released(&packages));
    released.filter_map(|line| breakage(&line, now.get(&line.key()))).collect()
}

/// The lines in which the lock differs from the schema, `-` for old and `+` for new ones.
///
/// Not empty means that the lock has to be written again, whether anything broke or not.
pub fn drift(old: &str, new: &Schema) -> Vec<String> {
    let new = render(new);
    let (before, after): (Vec<_>, Vec<_>) = (lines(old).collect(), lines(&new).collect());
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {}", line.text));
    let come = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {}", line.text));
    gone.chain(come).collect()
}

fn breakage(old: &Line<'_>, new: Option<&Line<'_>>) -> Option<Breakage> {
    let (kind, name) = old.key();
    let Some(new) = new else {
        let instead = match kind {
            "event" | "stream" | "consumer" => "keep it until nobody uses it, or make a new version",
            _ => "keep it and mark it `deprecated`, or make a new version",
        };
        let message = format!("{kind} {name} was removed; {instead}");
        return Some(Breakage { old: old.text.to_owned(), new: None, message });
    };
    let changed = old.attributes().filter(|(attribute, was)| !keeps(kind, attribute, was, new.attribute(attribute)));
    let changes: Vec<String> = changed
        .map(|(attribute, value)| {
            let now = new.attribute(attribute).unwrap_or("nothing");
            format!("{attribute} was `{value}` and is `{now}`")
        })
        .collect();
    (!changes.is_empty()).then(|| Breakage {
        old: old.text.to_owned(),
        new: Some(new.text.to_owned()),
        message: format!("{kind} {name}: {}; change it back, or add another {kind}", changes.join(", ")),
    })
}

/// Whether nobody can tell the new value of an attribute from the old one, to their harm.
fn keeps(kind: &str, attribute: &str, was: &str, is: Option<&str>) -> bool {
    match (kind, attribute) {
        ("service", "version") => is == Some(was) || is.is_some_and(|is| is_later(was, is)),
        ("method", "idempotency") => is == Some(was) || is.is_some_and(|is| promises_more(was, is)),
        ("field", "label") => is == Some(was) || is_presence_only(was, is),
        ("event" | "stream" | "consumer", _) => messaging::keeps(kind, attribute, was, is),
        _ => is == Some(was),
    }
}

/// Whether the version of a service does not go down.
fn is_later(was: &str, is: &str) -> bool {
    let versions = semver::Version::parse(was).ok().zip(semver::Version::parse(is).ok());
    versions.is_some_and(|(was, is)| was.cmp_precedence(&is).is_le())
}

/// Whether a method may be called again as before: who repeats a call relies on that.
fn promises_more(was: &str, is: &str) -> bool {
    let promise =
        |idempotency| ["unknown", "idempotent", "no_side_effects"].iter().position(|word| *word == idempotency);
    promise(was).zip(promise(is)).is_some_and(|(was, is)| was < is)
}

/// `optional` is the same on the wire as no label.
fn is_presence_only(old: &str, new: Option<&str>) -> bool {
    let plain = |label| matches!(label, "singular" | "optional");
    plain(old) && new.is_some_and(plain)
}

/// `kind name attribute=value ..`
#[derive(PartialEq)]
struct Line<'a> {
    text: &'a str,
    kind: &'a str,
    name: &'a str,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn key(&self) -> (&'a str, &'a str) {
        (self.kind, self.name)
    }

    /// Whether it is of a package that keeps what it promises: any but alpha and beta versions.
    ///
    /// `packages` are those there are: a message or field may be called like a version, too.
    fn is_released(&self, packages: &[&str]) -> bool {
        let around = |package: &&&str| self.name.strip_prefix(**package).is_some_and(|rest| rest.starts_with('.'));
        let known = || packages.iter().filter(around).max_by_key(|package| package.len()).copied();
        let version = match self.attribute("package").or_else(known) {
            Some(package) => package.rsplit('.').next().and_then(Version::parse),
            // A package that is gone: it ends before the first name of a type, which has a capital.
            None => {
                let is_small = |part: &&str| part.starts_with(|c: char| c.is_ascii_lowercase());
                self.name.split(['.', '/']).take_while(is_small).filter_map(Version::parse).last()
            }
        };
        version.is_none_or(|version| version.pre.is_none())
    }

    fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.rest.split(' ').filter_map(|part| part.split_once('='))
    }

    fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut attributes = self.attributes();
        attributes.find_map(|(attribute, value)| (attribute == name).then_some(value))
    }
}

/// The lines of a lock, in whatever line endings it was checked out.
fn lines(lock: &str) -> impl Iterator<Item = Line<'_>> {
    let lines = lock.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|text| {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        Line { text, kind, name, rest }
    })
}

fn service(service: &Service, lines: &mut Vec<String>) {
    let Service { full_name, subject, version, .. } = service;
    lines.push(format!("service {full_name} subject={subject} version={version}"));
    lines.extend(service.methods.iter().map(method));
}

fn method(method: &Method) -> String {
    let Method { path, subject, .. } = method;
    let (request, response) = (&method.request.proto, &method.response.proto);
    let kind = match method.kind {
        Kind::Unary => "unary",
        Kind::ServerStreaming => "server_streaming",
        Kind::ClientStreaming => "client_streaming",
        Kind::BidiStreaming => "bidi_streaming",
    };
    let idempotency = match method.idempotency {
        Idempotency::Unknown => "unknown",
        Idempotency::NoSideEffects => "no_side_effects",
        Idempotency::Idempotent => "idempotent",
    };
    format!(
        "method {path} subject={subject} kind={kind} request={request} response={response} idempotency={idempotency}"
    )
}

fn message(message: &Message, lines: &mut Vec<String>) {
    for field in &message.fields {
        let label = match &field.label {
            Label::Singular => "singular",
            Label::Optional => "optional",
            Label::Repeated => "repeated",
            Label::Map => "map",
            Label::Oneof(name) => &format!("oneof:{name}"),
        };
        let (name, number, kind) = (&field.name, field.number, &field.kind);
        lines.push(format!("field {}.{name} number={number} type={kind} label={label}", message.name));
    }
}

fn enumeration(found: &Enum, lines: &mut Vec<String>) {
    let line = |(name, number): &(String, i32)| format!("value {}.{name} number={number}", found.name);
    lines.extend(found.values.iter().map(line));
}

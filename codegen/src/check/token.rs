//! From a field to a token of a subject.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::field;
use crate::externs::Externs;
use crate::model::{SubjectField, TokenKind};
use crate::naming;

/// The field at `path`, as a token; an error says why it is none.
pub(super) fn subject_field(
    message: &MessageDescriptor,
    path: &str,
    externs: &Externs,
    methods: &mut Methods,
) -> Result<SubjectField, String> {
    let fits = |field: &FieldDescriptor| scalar(field).is_some() || matches!(field.kind(), Kind::Enum(_));
    let (path, field) = field::resolve(message, path, externs, fits)?;
    let kind = match scalar(&field) {
        Some(kind) => kind,
        None => match field.kind() {
            Kind::Enum(found) => TokenKind::Enumeration {
                prefix: prefix(&found)?,
                rust: externs.path_from(message.package_name(), found.full_name()),
            },
            kind => return Err(no_token(&field, &kind, externs)),
        },
    };
    let method = methods.name(&path.name);
    Ok(SubjectField { path, kind, method })
}

/// What a field of a plain type is as a token.
fn scalar(field: &FieldDescriptor) -> Option<TokenKind> {
    match field.kind() {
        Kind::String => Some(TokenKind::Text),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some(TokenKind::Number("i32")),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some(TokenKind::Number("i64")),
        Kind::Uint32 | Kind::Fixed32 => Some(TokenKind::Number("u32")),
        Kind::Uint64 | Kind::Fixed64 => Some(TokenKind::Number("u64")),
        Kind::Bool => Some(TokenKind::Flag),
        _ => None,
    }
}

fn no_token(field: &FieldDescriptor, kind: &Kind, externs: &Externs) -> String {
    let (what, instead) = match kind {
        Kind::Message(inner) if externs.is_plain(inner.full_name()) => {
            ("a message", "a plain field, with `optional` if it may be absent".to_owned())
        }
        Kind::Message(inner) => {
            let inner = inner.fields().find(|inner| !inner.is_list() && scalar(inner).is_some());
            let inner = inner.map_or("field".to_owned(), |inner| inner.name().to_owned());
            ("a message", format!("one of its fields, `{{{}.{inner}}}`", field.name()))
        }
        Kind::Bytes => ("bytes", "a string field".to_owned()),
        _ => ("a number with a fraction", "an integer field".to_owned()),
    };
    format!("`{}` is {what}, which is no token of a subject; write {instead}", field.full_name())
}

/// What the values of an enum start with, `MESSAGE_TYPE_`; else nothing.
///
/// An error names two values that would be one token, or one number that would be either of two: prost names it by the
/// value that comes first, and a new order is no change of the lock.
fn prefix(found: &EnumDescriptor) -> Result<String, String> {
    let prefix = format!("{}_", naming::shouty(found.name()));
    let mut values = found.values();
    let stripped = values.any(|value| value.name().starts_with(&prefix));
    let prefix = if stripped { prefix } else { String::new() };
    let mut tokens: HashMap<String, EnumValueDescriptor> = HashMap::new();
    let mut numbers: HashMap<i32, (String, EnumValueDescriptor)> = HashMap::new();
    for value in found.values() {
        let token = value.name().strip_prefix(&prefix).unwrap_or(value.name()).to_ascii_lowercase();
        let (name, number, of) = (value.name().to_owned(), value.number(), found.full_name());
        if token.is_empty() {
            return Err(format!("of `{name}` of `{of}` nothing is left for a token; write another name"));
        }
        let earlier = tokens.insert(token.clone(), value.clone());
        if let Some(other) = earlier.filter(|other| other.number() != number) {
            let other = other.name();
            return Err(format!(
                "`{other}` and `{name}` of `{of}` would both be the token `{token}`; write another name"
            ));
        }
        let earlier = numbers.insert(number, (token.clone(), value));
        if let Some((one, other)) = earlier.filter(|(one, _)| *one != token) {
            let other = other.name();
            return Err(format!(
                "`{other}` and `{name}` of `{of}` are one number, {number}, whose token would be `{one}` or `{token}`; \
                 write one of them only",
            ));
        }
    }
    Ok(prefix)
}

/// The methods of one filter: each field has its own.
#[derive(Default)]
pub(super) struct Methods {
    /// The field of each method.
    taken: HashMap<String, String>,
}

impl Methods {
    /// `sender_role` for `sender.role`, or with a number when that is another field's already.
    fn name(&mut self, path: &str) -> String {
        let plain = naming::snake(&path.replace('.', "_"));
        // What every filter has.
        let first = match plain.as_str() {
            "new" | "clone" | "default" | "from" | "into" | "try_from" | "try_into" => format!("{plain}_"),
            _ => plain.clone(),
        };
        let numbered = (2u32..).map(|number| format!("{}{number}", plain.trim_start_matches("r#")));
        let free = |name: &String| self.taken.get(name).is_none_or(|owner| owner == path);
        let name = std::iter::once(first).chain(numbered).find(free).unwrap_or_default();
        self.taken.insert(name.clone(), path.to_owned());
        name
    }
}

//! From the path of a field in an option to the field.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::externs::Externs;
use crate::model::FieldPath;
use crate::naming;

/// Most fields that a message names as what could be written.
const MAX_NAMED: usize = 8;

/// Finds `sender.role` in a message; every field on the way has one value at most, as a Rust field.
///
/// An error says what is wrong with which field. `fits` is asked for fields that could be meant.
pub(super) fn resolve(
    message: &MessageDescriptor,
    path: &str,
    externs: &Externs,
    fits: impl Fn(&FieldDescriptor) -> bool,
) -> Result<(FieldPath, FieldDescriptor), String> {
    let (around, last) = path.rsplit_once('.').map_or(("", path), |(around, last)| (around, last));
    let mut found = FieldPath {
        name: path.to_owned(),
        around: Vec::new(),
        field: String::new(),
        optional: false,
        deprecated: false,
    };
    let mut message = message.clone();
    for part in around.split('.').filter(|_| path.contains('.')) {
        let field = one(&message, part, |field| matches!(field.kind(), Kind::Message(_)))?;
        let kind = field.kind();
        let Some(inner) = kind.as_message() else {
            let name = field.full_name();
            return Err(format!("`{name}` is no message and has no fields; end the path with it"));
        };
        if externs.is_plain(inner.full_name()) {
            let (name, inner) = (field.full_name(), inner.full_name());
            return Err(format!("`{name}` is a `{inner}`, a plain value in Rust; write a field of a plain type"));
        }
        message = inner.clone();
        found.deprecated |= is_deprecated(&field);
        found.around.push(naming::snake(field.name()));
    }
    let field = one(&message, last, fits)?;
    found.deprecated |= is_deprecated(&field);
    found.field = naming::snake(field.name());
    found.optional = field.supports_presence() && field.cardinality() != Cardinality::Required;
    Ok((found, field))
}

/// The field of this name, which has one value.
fn one(
    message: &MessageDescriptor,
    name: &str,
    fits: impl Fn(&FieldDescriptor) -> bool,
) -> Result<FieldDescriptor, String> {
    let Some(field) = message.get_field_by_name(name) else {
        let (message, instead) = (message.full_name(), instead(message, fits));
        return Err(format!("`{message}` has no field `{}`; {instead}", name.escape_debug()));
    };
    match why_not_one(&field) {
        None => Ok(field),
        Some(why) => Err(format!("`{}` {why}; {}", field.full_name(), instead(message, fits))),
    }
}

fn is_deprecated(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated())
}

/// Why a field is not one value, or is not a field in Rust.
fn why_not_one(field: &FieldDescriptor) -> Option<String> {
    if field.is_map() {
        return Some("is a map, and one value is needed".to_owned());
    }
    if field.is_list() {
        return Some("is repeated, and one value is needed".to_owned());
    }
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic())?;
    Some(format!("is in the oneof `{}`, so that it may be another field", oneof.name()))
}

/// The fields that could be meant.
fn instead(message: &MessageDescriptor, fits: impl Fn(&FieldDescriptor) -> bool) -> String {
    let fields = message.fields().filter(|field| why_not_one(field).is_none() && fits(field));
    let names: Vec<String> = fields.map(|field| format!("`{}`", field.name())).take(MAX_NAMED).collect();
    match &names[..] {
        [] => "give it a field that fits, and write that".to_owned(),
        [one] => format!("write {one}"),
        _ => format!("write one of {}", names.join(", ")),
    }
}

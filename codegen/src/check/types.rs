//! The model of messages and enums.

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use prost_types::EnumValueDescriptorProto;

use crate::externs::Externs;
use crate::model::{Enum, Field, Label, Message};
use crate::place::Report;

/// Field numbers of what is mentioned: of a field its type, of a method what goes in and comes out.
const TYPE_NAME: i32 = 6;
const INPUT: i32 = 2;
const OUTPUT: i32 = 3;

/// The messages of a file with the nested ones, outermost first, without map entries.
pub(super) fn all_messages(file: &FileDescriptor) -> Vec<MessageDescriptor> {
    let mut found = Vec::new();
    let mut open: Vec<_> = file.messages().collect();
    open.reverse();
    while let Some(message) = open.pop() {
        if !message.is_map_entry() {
            let nested: Vec<_> = message.child_messages().collect();
            open.extend(nested.into_iter().rev());
            found.push(message);
        }
    }
    found
}

/// The enums of a file with the nested ones.
pub(super) fn all_enums(file: &FileDescriptor) -> Vec<EnumDescriptor> {
    let nested = all_messages(file);
    let nested = nested.iter().flat_map(MessageDescriptor::child_enums);
    file.enums().chain(nested).collect()
}

/// Reports types that neither exist in Rust nor are generated: those inside a message that exists without them.
pub(super) fn exist(file: &FileDescriptor, externs: &Externs, report: &mut Report<'_>) {
    let messages = all_messages(file);
    for message in messages.iter().filter(|message| !externs.covers(message.full_name())) {
        for field in message.fields() {
            let path = [field.path(), &[TYPE_NAME]].concat();
            exists(field.kind(), file, &path, externs, report);
        }
    }
    for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for (number, message) in [(INPUT, method.input()), (OUTPUT, method.output())] {
            let path = [method.path(), &[number]].concat();
            exists(Kind::Message(message), file, &path, externs, report);
        }
    }
}

fn exists(kind: Kind, file: &FileDescriptor, path: &[i32], externs: &Externs, report: &mut Report<'_>) {
    let (name, mut around) = match &kind {
        Kind::Message(entry) if entry.is_map_entry() => {
            if let Some(value) = entry.get_field(2) {
                exists(value.kind(), file, path, externs, report);
            }
            return;
        }
        Kind::Message(message) => (message.full_name(), message.parent_message()),
        Kind::Enum(found) => (found.full_name(), found.parent_message()),
        _ => return,
    };
    if externs.covers(name) {
        return;
    }
    while let Some(message) = around {
        if externs.covers(message.full_name()) {
            let message = message.full_name();
            let problem = format!("the runtime has `{message}` without `{name}`; write a type of your own");
            report.add(file, path, "TYPE_EXISTS", problem);
            return;
        }
        around = message.parent_message();
    }
}

pub(super) fn messages(file: &FileDescriptor) -> Vec<Message> {
    let messages = all_messages(file);
    let model = |message: &MessageDescriptor| Message {
        name: message.full_name().to_owned(),
        fields: fields_in_order(message).iter().map(field).collect(),
    };
    messages.iter().map(model).collect()
}

pub(super) fn enums(file: &FileDescriptor) -> Vec<Enum> {
    let model = |found: EnumDescriptor| Enum { name: found.full_name().to_owned(), values: values(&found) };
    all_enums(file).into_iter().map(model).collect()
}

fn values(found: &EnumDescriptor) -> Vec<(String, i32)> {
    let written = found.enum_descriptor_proto().value.iter();
    let pair = |value: &EnumValueDescriptorProto| (value.name().to_owned(), value.number());
    written.map(pair).collect()
}

/// The fields as they are written; reflection has them by number.
fn fields_in_order(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let written = &message.descriptor_proto().field;
    written.iter().filter_map(|field| message.get_field_by_name(field.name())).collect()
}

fn field(field: &FieldDescriptor) -> Field {
    let (kind, label) = if field.is_map() { (map_kind(field), Label::Map) } else { (kind(field), label(field)) };
    Field { name: field.name().to_owned(), number: field.number(), kind, label }
}

fn label(field: &FieldDescriptor) -> Label {
    if field.is_list() {
        return Label::Repeated;
    }
    match field.containing_oneof() {
        Some(oneof) if oneof.is_synthetic() => Label::Optional,
        Some(oneof) => Label::Oneof(oneof.name().to_owned()),
        None => Label::Singular,
    }
}

fn map_kind(field: &FieldDescriptor) -> String {
    let entry = field.kind();
    let part = |number| entry.as_message()?.get_field(number);
    let kind = |number| part(number).as_ref().map(kind).unwrap_or_default();
    format!("map<{},{}>", kind(1), kind(2))
}

fn kind(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(found) => found.full_name().to_owned(),
        _ => {
            let scalar = field.field_descriptor_proto().r#type().as_str_name();
            scalar.trim_start_matches("TYPE_").to_ascii_lowercase()
        }
    }
}

//! The shape of descriptors: what a parser guarantees and a foreign descriptor set may not.
//!
//! Code generation relies on it: a name that is no identifier could end up as code, and
//! prost-build panics on a map entry without `key` and `value`.

use prost_reflect::{FileDescriptor, Syntax};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};

use crate::naming;
use crate::place::Report;

/// Field numbers on the way to places in a `FileDescriptorProto`.
const PACKAGE: i32 = 2;
const MESSAGE: i32 = 4;
const ENUM: i32 = 5;
const SERVICE: i32 = 6;
const NAME: i32 = 1;

/// Checks one file; of what is built in, some is proto2.
pub(super) fn check(file: &FileDescriptor, report: &mut Report<'_>) {
    let proto = file.file_descriptor_proto();
    let mut walk = Walk { file, report, path: Vec::new() };
    if !proto.package().is_empty() {
        for part in proto.package().split('.') {
            walk.name(PACKAGE, part);
        }
    }
    for (index, message) in proto.message_type.iter().enumerate() {
        walk.at(MESSAGE, index, |walk| walk.message(message, true));
    }
    for (index, found) in proto.enum_type.iter().enumerate() {
        walk.at(ENUM, index, |walk| walk.enumeration(found));
    }
    for (index, service) in proto.service.iter().enumerate() {
        walk.at(SERVICE, index, |walk| {
            walk.name(NAME, service.name());
            for (index, method) in service.method.iter().enumerate() {
                walk.at(2, index, |walk| walk.name(NAME, method.name()));
            }
        });
    }
}

struct Walk<'a, 'r> {
    file: &'a FileDescriptor,
    report: &'a mut Report<'r>,
    path: Vec<i32>,
}

impl Walk<'_, '_> {
    /// Goes down to one element of a repeated field.
    fn at(&mut self, field: i32, index: usize, visit: impl FnOnce(&mut Self)) {
        self.path.push(field);
        self.path.push(i32::try_from(index).unwrap_or(i32::MAX));
        visit(self);
        self.path.truncate(self.path.len() - 2);
    }

    fn name(&mut self, field: i32, name: &str) {
        if !naming::is_identifier(name) {
            let message = format!("`{}` is no name that Rust can have; write letters and digits", name.escape_debug());
            self.path.push(field);
            self.report.add(self.file, &self.path, "NAME_IDENTIFIER", message);
            self.path.pop();
        }
    }

    fn shape(&mut self, message: impl Into<String>) {
        let rule = "DESCRIPTOR_SHAPE";
        self.report.add(self.file, &self.path, rule, message);
    }

    /// Whether the rules of proto3 hold: proto2 is refused as such.
    fn is_proto3(&self) -> bool {
        self.file.syntax() == Syntax::Proto3
    }

    fn message(&mut self, message: &DescriptorProto, outermost: bool) {
        self.name(NAME, message.name());
        if is_map_entry(message) && (outermost || !is_well_formed_entry(message)) {
            self.shape("a map entry that no `map<K, V>` made; write a map field");
        }
        for (index, field) in message.field.iter().enumerate() {
            self.at(2, index, |walk| walk.field(field, message));
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            self.at(3, index, |walk| walk.message(nested, false));
        }
        for (index, found) in message.enum_type.iter().enumerate() {
            self.at(4, index, |walk| walk.enumeration(found));
        }
        for index in 0..message.extension_range.len() {
            if self.is_proto3() {
                self.at(5, index, |walk| walk.shape("an extension range in proto3; leave it out"));
            }
        }
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            self.at(8, index, |walk| walk.name(NAME, oneof.name()));
        }
    }

    fn field(&mut self, field: &FieldDescriptorProto, message: &DescriptorProto) {
        self.name(NAME, field.name());
        if !self.is_proto3() {
            return;
        }
        if field.r#type() == Type::Group || field.label() == Label::Required {
            self.shape("a group or a required field in proto3; write a message or a plain field");
        }
        if field.default_value.is_some() {
            self.shape("a default value in proto3; leave it out");
        }
        if field.oneof_index.is_some() && field.label() == Label::Repeated {
            self.shape("a repeated field in a oneof; write a message that has it");
        }
        if field.proto3_optional() && field.oneof_index.is_none() {
            self.shape("an optional field without its oneof; write `optional`");
        }
        let (is_message, is_enum) = match self.kind(field) {
            Some(prost_reflect::Kind::Message(found)) => {
                let own = message
                    .nested_type
                    .iter()
                    .any(|entry| is_map_entry(entry) && field.type_name().rsplit('.').next() == entry.name.as_deref());
                if found.is_map_entry() && (!own || field.label() != Label::Repeated) {
                    self.shape("a map entry used as a message; write a map field");
                }
                (true, false)
            }
            Some(prost_reflect::Kind::Enum(_)) => (false, true),
            _ => (false, false),
        };
        if is_message != (field.r#type() == Type::Message) || is_enum != (field.r#type() == Type::Enum) {
            self.shape("a field whose type is not what its type name means");
        }
    }

    /// What the field's type name resolves to.
    fn kind(&self, field: &FieldDescriptorProto) -> Option<prost_reflect::Kind> {
        let pool = self.file.parent_pool();
        let name = field.type_name.as_deref()?.strip_prefix('.')?;
        let message = pool.get_message_by_name(name).map(prost_reflect::Kind::Message);
        message.or_else(|| pool.get_enum_by_name(name).map(prost_reflect::Kind::Enum))
    }

    fn enumeration(&mut self, found: &EnumDescriptorProto) {
        self.name(NAME, found.name());
        for (index, value) in found.value.iter().enumerate() {
            self.at(2, index, |walk| walk.name(NAME, value.name()));
        }
    }
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

/// Two fields, `key = 1` of a type that can be one and `value = 2`, and nothing else.
fn is_well_formed_entry(entry: &DescriptorProto) -> bool {
    let [key, value] = &entry.field[..] else {
        return false;
    };
    let plain = |field: &FieldDescriptorProto| field.label() == Label::Optional && field.oneof_index.is_none();
    let unfit = [Type::Message, Type::Enum, Type::Group, Type::Bytes, Type::Float, Type::Double];
    (key.name(), key.number(), value.name(), value.number()) == ("key", 1, "value", 2)
        && plain(key)
        && plain(value)
        && !unfit.contains(&key.r#type())
        && entry.nested_type.is_empty()
        && entry.enum_type.is_empty()
        && entry.oneof_decl.is_empty()
}

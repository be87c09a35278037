//! Turns arbitrary descriptors into valid ones.

use std::collections::HashSet;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

const PACKAGE: &str = "a.b.v1";

/// The same files without what a parser would refuse; names stay as far as they are unique.
pub(crate) fn repair(mut files: Vec<FileDescriptorProto>) -> Vec<FileDescriptorProto> {
    let mut repair = Repair::default();
    let mut previous = None;
    for file in &mut files {
        // All in one package, and each file sees those before it.
        file.name = Some(repair.unique("file ", file.name()));
        file.package = Some(PACKAGE.to_owned());
        file.syntax = Some("proto3".to_owned());
        file.dependency = previous.iter().cloned().collect();
        file.public_dependency = previous.iter().map(|_| 0).collect();
        previous = file.name.clone();
        repair.file(file);
    }
    files
}

#[derive(Default)]
struct Repair {
    used: HashSet<String>,
    messages: Vec<String>,
    count: usize,
}

impl Repair {
    fn file(&mut self, file: &mut FileDescriptorProto) {
        file.message_type.push(DescriptorProto { name: Some("M".to_owned()), ..Default::default() });
        file.message_type.iter_mut().for_each(|message| self.message(PACKAGE, message));
        file.enum_type.iter_mut().for_each(|found| self.enumeration(PACKAGE, found));
        file.message_type.iter_mut().for_each(|message| self.types(message));
        for service in &mut file.service {
            service.name = Some(self.unique(PACKAGE, service.name()));
            let scope = format!("{PACKAGE}.{}", service.name());
            for method in &mut service.method {
                method.name = Some(self.unique(&scope, method.name()));
                method.input_type = Some(self.any_message());
                method.output_type = Some(self.any_message());
            }
        }
    }

    fn message(&mut self, scope: &str, message: &mut DescriptorProto) {
        message.name = Some(self.unique(scope, message.name()));
        message.options = None;
        let scope = format!("{scope}.{}", message.name());
        self.messages.push(format!(".{scope}"));
        message.oneof_decl.truncate(1);
        for oneof in &mut message.oneof_decl {
            oneof.name = Some(self.unique(&scope, oneof.name()));
        }
        let has_oneof = !message.oneof_decl.is_empty();
        for (number, field) in (1..).zip(&mut message.field) {
            self.field(&scope, number, has_oneof, field);
        }
        if message.field.iter().all(|field| field.oneof_index.is_none()) {
            message.oneof_decl.clear();
        }
        message.nested_type.iter_mut().for_each(|nested| self.message(&scope, nested));
        message.enum_type.iter_mut().for_each(|found| self.enumeration(&scope, found));
    }

    fn field(&mut self, scope: &str, number: i32, has_oneof: bool, field: &mut FieldDescriptorProto) {
        let label = if field.label() == Label::Repeated { Label::Repeated } else { Label::Optional };
        field.number = Some(number);
        field.name = Some(format!("{}x{number}", self.unique(scope, field.name())));
        field.default_value = None;
        field.proto3_optional = None;
        field.oneof_index = field.oneof_index.filter(|_| has_oneof && label == Label::Optional).map(|_| 0);
        field.label = Some(label.into());
    }

    fn enumeration(&mut self, scope: &str, found: &mut EnumDescriptorProto) {
        found.name = Some(self.unique(scope, found.name()));
        if found.value.is_empty() {
            found.value.push(EnumValueDescriptorProto { number: Some(0), ..Default::default() });
        }
        for value in &mut found.value {
            value.name = Some(self.unique(scope, value.name()));
        }
    }

    /// Fields with a type name get a message, the others a scalar.
    fn types(&mut self, message: &mut DescriptorProto) {
        for field in &mut message.field {
            let scalar = match field.r#type() {
                Type::Group | Type::Message | Type::Enum => Type::String,
                scalar => scalar,
            };
            field.type_name = field.type_name.take().map(|_| self.any_message());
            let kind = if field.type_name.is_some() { Type::Message } else { scalar };
            field.r#type = Some(kind.into());
        }
        message.nested_type.iter_mut().for_each(|nested| self.types(nested));
    }

    fn unique(&mut self, scope: &str, name: &str) -> String {
        let mut unique = if name.is_empty() { "n".to_owned() } else { name.to_owned() };
        while !self.used.insert(format!("{scope}.{unique}")) {
            self.count += 1;
            unique = format!("{name}n{}", self.count);
        }
        unique
    }

    fn any_message(&mut self) -> String {
        self.count += 7;
        self.messages[self.count % self.messages.len()].clone()
    }
}

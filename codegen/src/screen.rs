//! What a foreign descriptor set must not have, because the libraries that read it would panic.
//!
//! protoc and protox never write such a set; it is here for the bytes of somebody else.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption,
};

/// Deepest nesting of messages in messages that is read; protox stops at 32.
const MAX_NESTING: usize = 64;

type Refused = Option<&'static str>;

/// Why prost-reflect cannot be given this file, if so.
pub(crate) fn refuse(file: &FileDescriptorProto) -> Refused {
    if file.name().is_empty() {
        return Some("a file without a name");
    }
    if !matches!(file.syntax.as_deref(), None | Some("proto2" | "proto3")) {
        return Some("a syntax that is neither proto2 nor proto3; write `syntax = \"proto3\";`");
    }
    let services = file.service.iter().find_map(|service| {
        let methods = service.method.iter().filter_map(|method| method.options.as_ref());
        let mut methods = methods.map(|options| &options.uninterpreted_option);
        let own = service.options.as_ref().map(|options| &options.uninterpreted_option);
        uninterpreted(own).or_else(|| methods.find_map(|options| uninterpreted(Some(options))))
    });
    uninterpreted(file.options.as_ref().map(|options| &options.uninterpreted_option))
        .or(services)
        .or_else(|| file.extension.iter().find_map(in_field))
        .or_else(|| file.enum_type.iter().find_map(in_enum))
        .or_else(|| file.message_type.iter().find_map(|message| in_message(message, 0)))
}

fn in_message(message: &DescriptorProto, depth: usize) -> Refused {
    if depth > MAX_NESTING {
        return Some("messages nested too deeply; write fewer levels");
    }
    let oneofs = message.oneof_decl.iter().filter_map(|oneof| oneof.options.as_ref());
    let ranges = message.extension_range.iter().filter_map(|range| range.options.as_ref());
    let oneofs = oneofs.map(|options| &options.uninterpreted_option);
    let ranges = ranges.map(|options| &options.uninterpreted_option);
    uninterpreted(message.options.as_ref().map(|options| &options.uninterpreted_option))
        .or_else(|| oneofs.chain(ranges).find_map(|options| uninterpreted(Some(options))))
        .or_else(|| message.field.iter().chain(&message.extension).find_map(in_field))
        .or_else(|| message.enum_type.iter().find_map(in_enum))
        .or_else(|| message.nested_type.iter().find_map(|nested| in_message(nested, depth + 1)))
}

fn in_field(field: &FieldDescriptorProto) -> Refused {
    uninterpreted(field.options.as_ref().map(|options| &options.uninterpreted_option))
}

fn in_enum(found: &EnumDescriptorProto) -> Refused {
    let values = found.value.iter().filter_map(|value| value.options.as_ref());
    let mut values = values.map(|options| &options.uninterpreted_option);
    uninterpreted(found.options.as_ref().map(|options| &options.uninterpreted_option))
        .or_else(|| values.find_map(|options| uninterpreted(Some(options))))
}

fn uninterpreted(options: Option<&Vec<UninterpretedOption>>) -> Refused {
    let any = options.is_some_and(|options| !options.is_empty());
    any.then_some("an option that its compiler did not interpret")
}

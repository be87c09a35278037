//! Arbitrary descriptor sets: code or an error, never a panic, and nothing outside a directory.

mod messaging;
mod repair;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, MethodDescriptorProto, MethodOptions, OneofDescriptorProto,
    ServiceDescriptorProto, ServiceOptions, SourceCodeInfo,
};

use crate::repair::repair;

/// What has to hold whatever the bytes are; the fuzz target asks for the same.
fn check(bytes: &[u8]) -> Result<(), subwire_build::Error> {
    let files = subwire_build::generate_from_descriptors(bytes)?;
    for (name, content) in &files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        assert!(name.chars().all(plain) && !name.starts_with('.'), "{name}");
        if name.ends_with(".rs") {
            let text = std::str::from_utf8(content).expect("text");
            let parsed = syn::parse_file(text);
            assert!(parsed.is_ok(), "{name}: {:?}\n{text}", parsed.err());
        }
    }
    assert!(files == subwire_build::generate_from_descriptors(bytes)?, "not the same twice");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        subwire_build::generate_from_descriptors(&bytes).ok();
    }

    #[test]
    fn arbitrary_descriptors_do_no_harm(files in vec(file(any_name().boxed(), any_number()), 1..4)) {
        check(&FileDescriptorSet { file: files }.encode_to_vec()).ok();
    }

    #[test]
    fn valid_descriptors_are_compiled_or_break_a_rule(
        files in vec(file(plain_name().boxed(), (1..30i32).boxed()), 1..4),
    ) {
        let set = FileDescriptorSet { file: repair(files) };
        if let Err(error) = check(&set.encode_to_vec()) {
            let ours = |rule: &str| rule != "INTERNAL" && rule != "DESCRIPTOR_SHAPE";
            prop_assert!(error.problems().iter().all(|problem| ours(problem.rule)), "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comments_and_options_cannot_become_code(
        comment in "\\PC*|[ `~<>\\[\\]()*/\\\\\"'#!a-z\n\r\t]{0,80}",
        text in any::<String>(),
    ) {
        check(&valid_with(&comment, &text)).expect("a valid schema");
    }
}

/// A valid service that carries a comment everywhere and a text as its description.
fn valid_with(comment: &str, text: &str) -> Vec<u8> {
    let paths = [&[4, 0][..], &[4, 0, 2, 0], &[5, 0], &[5, 0, 2, 0], &[6, 0], &[6, 0, 2, 0]];
    let location = |path: &&[i32]| Location {
        path: path.to_vec(),
        span: vec![0, 0, 1],
        leading_comments: Some(comment.to_owned()),
        trailing_comments: Some(comment.to_owned()),
        leading_detached_comments: vec![comment.to_owned()],
    };
    let field = FieldDescriptorProto {
        name: Some("text".into()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..Default::default()
    };
    let method = MethodDescriptorProto {
        name: Some("Get".into()),
        input_type: Some(".a.b.v1.M".into()),
        output_type: Some(".a.b.v1.M".into()),
        ..Default::default()
    };
    let value = EnumValueDescriptorProto { name: Some("E_A".into()), number: Some(0), options: None };
    let file = FileDescriptorProto {
        name: Some("a.proto".into()),
        package: Some("a.b.v1".into()),
        syntax: Some("proto3".into()),
        dependency: vec!["subwire/v1/options.proto".into()],
        message_type: vec![DescriptorProto { name: Some("M".into()), field: vec![field], ..Default::default() }],
        enum_type: vec![EnumDescriptorProto { name: Some("E".into()), value: vec![value], ..Default::default() }],
        source_code_info: Some(SourceCodeInfo { location: paths.iter().map(location).collect() }),
        ..Default::default()
    };
    let service = ServiceDescriptorProto { name: Some("S".into()), method: vec![method], options: None };
    // By hand, because prost's types have no room for an extension.
    let options = nested(50500, &nested(2, text.as_bytes()));
    let service = [service.encode_to_vec(), nested(3, &options)].concat();
    let file = [file.encode_to_vec(), nested(6, &service)].concat();
    [OPTIONS.encode_to_vec(), nested(1, &file)].concat()
}

/// A length-delimited field.
fn nested(tag: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::bytes::encode(tag, &bytes.to_vec(), &mut field);
    field
}

/// The files that define our options, from a schema that imports them.
static OPTIONS: LazyLock<FileDescriptorSet> = LazyLock::new(|| {
    let schema = subwire_build::Config::new().load(&["tests/golden/options"]).expect("a schema");
    let files = schema.pool.file_descriptor_protos();
    let options = files.filter(|file| file.name() != "options.proto");
    FileDescriptorSet { file: options.cloned().collect() }
});

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => plain_name(),
        1 => any::<String>(),
        1 => prop::sample::select(vec![
            "", ".", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "\u{0}", "\n", "\"]", "*/", "//", "r#x", "é",
            "\u{202e}", "_", "__", "0", "0a", "a b", "{}", "};fn main(){}", "google.protobuf", "google.rpc",
        ]).prop_map(str::to_owned),
    ]
}

fn plain_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "A",
        "B",
        "C",
        "Foo",
        "foo",
        "Foo_Bar",
        "FooBar",
        "Method",
        "Self",
        "self",
        "type",
        "Result",
        "Option",
        "key",
        "value",
        "Echo",
        "EchoService",
        "EchoClient",
        "SERVICE",
        "crate",
        "_x",
        "x1",
        "a",
        "b",
        "v1",
        "Service",
    ])
    .prop_map(str::to_owned)
}

fn any_number() -> BoxedStrategy<i32> {
    prop_oneof![3 => 1..30i32, 1 => any::<i32>()].boxed()
}

/// A reference to one of the types that may be there, absolute or not.
fn type_name(name: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => name.clone().prop_map(|name| format!(".a.b.v1.{name}")),
        1 => name.clone(),
        1 => (name.clone(), name).prop_map(|(outer, inner)| format!(".a.b.v1.{outer}.{inner}")),
        1 => Just(".google.protobuf.Any".to_owned()),
    ]
}

fn field(name: BoxedStrategy<String>, number: BoxedStrategy<i32>) -> impl Strategy<Value = FieldDescriptorProto> {
    let kind = (of(0..20i32), of(prop_oneof![3 => 1..2i32, 1 => 0..5i32]), of(type_name(name.clone())));
    let oneof = (of(prop_oneof![3 => 0..2i32, 1 => -1..5i32]), of(any::<bool>()), of("[a-z\"\\\\]{0,4}"));
    (name, number, kind, oneof).prop_map(|(name, number, (kind, label, type_name), (oneof, optional, default))| {
        let named = matches!(kind, Some(10 | 11 | 14) | None);
        FieldDescriptorProto {
            name: Some(name),
            number: Some(number),
            label,
            r#type: kind,
            type_name: type_name.filter(|_| named),
            oneof_index: oneof.filter(|_| number % 4 == 0),
            proto3_optional: optional.filter(|_| number % 5 == 0),
            default_value: default.filter(|_| number % 11 == 0),
            ..Default::default()
        }
    })
}

fn enumeration(name: BoxedStrategy<String>) -> impl Strategy<Value = EnumDescriptorProto> {
    (name.clone(), vec(name, 0..4)).prop_map(|(enum_name, values)| EnumDescriptorProto {
        value: (0..)
            .zip(values)
            .map(|(number, name)| EnumValueDescriptorProto {
                name: Some(format!("{enum_name}_{name}")),
                number: Some(number),
                options: None,
            })
            .collect(),
        name: Some(enum_name),
        ..Default::default()
    })
}

fn message(name: BoxedStrategy<String>, number: BoxedStrategy<i32>) -> BoxedStrategy<DescriptorProto> {
    let oneofs = vec(name.clone(), 0..3);
    let parts = (name.clone(), vec(field(name.clone(), number), 0..5), oneofs, prop::bool::weighted(0.1));
    let leaf = parts.prop_map(|(name, mut field, oneofs, map_entry)| {
        // Numbers and names mostly differ, so that some sets are valid.
        for (index, field) in (1..).zip(&mut field) {
            if field.number() > 0 {
                field.number = Some(index);
                field.name = Some(format!("{}_{index}", field.name()));
            }
        }
        let oneof = |name: String| OneofDescriptorProto { name: Some(format!("o_{name}")), options: None };
        DescriptorProto {
            name: Some(name),
            field,
            oneof_decl: oneofs.into_iter().map(oneof).collect(),
            options: map_entry.then(|| MessageOptions { map_entry: Some(true), ..Default::default() }),
            ..Default::default()
        }
    });
    leaf.prop_recursive(3, 8, 3, move |inner| {
        (inner.clone(), vec(inner, 0..3), vec(enumeration(name.clone()), 0..2)).prop_map(
            |(mut message, nested, enums)| {
                message.nested_type = nested;
                message.enum_type = enums;
                message
            },
        )
    })
    .boxed()
}

fn service(name: BoxedStrategy<String>) -> impl Strategy<Value = ServiceDescriptorProto> {
    let types = (type_name(name.clone()), type_name(name.clone()));
    let method = (name.clone(), types, any::<(bool, bool)>(), of(-1..4i32)).prop_map(
        |(name, (input, output), (client, server), idempotency_level)| MethodDescriptorProto {
            name: Some(name),
            input_type: Some(input),
            output_type: Some(output),
            options: Some(MethodOptions { idempotency_level, deprecated: Some(client), ..Default::default() }),
            client_streaming: Some(client),
            server_streaming: Some(server),
        },
    );
    (name, vec(method, 0..4), any::<bool>()).prop_map(|(name, method, deprecated)| ServiceDescriptorProto {
        name: Some(name),
        method,
        options: Some(ServiceOptions { deprecated: Some(deprecated), ..Default::default() }),
    })
}

fn file(name: BoxedStrategy<String>, number: BoxedStrategy<i32>) -> impl Strategy<Value = FileDescriptorProto> {
    let package = prop_oneof![6 => Just("a.b.v1".to_owned()), 1 => name.clone(), 1 => Just(String::new())];
    let syntax = prop_oneof![8 => Just(Some("proto3".to_owned())), 1 => Just(None), 1 => any::<Option<String>>()];
    let location = (vec(0..9i32, 0..6), vec(-1..99i32, 0..5), of(any::<String>()))
        .prop_map(|(path, span, comment)| Location { path, span, leading_comments: comment, ..Default::default() });
    let parts = (
        vec(message(name.clone(), number), 0..4),
        vec(enumeration(name.clone()), 0..2),
        vec(service(name.clone()), 0..2),
        of(vec(location, 0..6)),
    );
    (name, package, syntax, parts).prop_map(|(name, package, syntax, (messages, enums, services, locations))| {
        FileDescriptorProto {
            name: Some(name),
            package: Some(package),
            syntax,
            message_type: messages,
            enum_type: enums,
            service: services,
            source_code_info: locations.map(|location| SourceCodeInfo { location }),
            ..Default::default()
        }
    })
}

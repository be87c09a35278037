//! Arbitrary events, streams and consumers, in options of a foreign descriptor set.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use prost::encoding;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::{OPTIONS, check, nested};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn declared_messaging_is_compiled_or_breaks_a_rule(
        events in vec(event(), 1..3),
        streams in vec(stream(), 0..3),
        consumers in vec(consumer(), 0..3),
    ) {
        if let Err(error) = check(&set(&events, &streams, &consumers)) {
            let ours = |rule: &str| rule != "INTERNAL" && rule != "DESCRIPTOR_SHAPE";
            prop_assert!(error.problems().iter().all(|problem| ours(problem.rule)), "{error}");
        }
    }

    #[test]
    fn arbitrary_bytes_as_options_do_no_harm(
        event in vec(any::<u8>(), 0..40),
        stream in vec(any::<u8>(), 0..40),
        consumer in vec(any::<u8>(), 0..40),
    ) {
        check(&set(&[event], &[stream], &[consumer])).ok();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn legal_messaging_is_compiled(
        texts in vec(any::<String>(), 3),
        (event, stream, consumer) in (legal_event(), legal_stream(), legal_consumer()),
    ) {
        let described = |tag: u32, text: &str, rest: &[u8]| [rest, &nested(tag, text.as_bytes())].concat();
        let event = described(4, &texts[0], &event);
        let stream = described(2, &texts[1], &stream);
        let consumer = described(3, &texts[2], &consumer);
        check(&set(&[event], &[stream], &[consumer])).expect("a legal schema");
    }
}

/// A set of one file, whose first messages have these options.
fn set(events: &[Vec<u8>], streams: &[Vec<u8>], consumers: &[Vec<u8>]) -> Vec<u8> {
    let field = |(name, number, kind): (&str, i32, Type)| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(if name == "many" { Label::Repeated } else { Label::Optional }.into()),
        r#type: Some(kind.into()),
        type_name: match kind {
            Type::Message => Some(".a.b.v1.M0".into()),
            Type::Enum => Some(".a.b.v1.E".into()),
            _ => None,
        },
        ..Default::default()
    };
    let fields = [
        ("text", 1, Type::String),
        ("kind", 2, Type::Enum),
        ("inner", 3, Type::Message),
        ("number", 4, Type::Fixed64),
        ("flag", 5, Type::Bool),
        ("bytes", 6, Type::Bytes),
        ("type", 7, Type::String),
        ("many", 8, Type::String),
    ];
    let value = |(name, number): (&str, i32)| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("a.proto".into()),
        package: Some("a.b.v1".into()),
        syntax: Some("proto3".into()),
        dependency: vec!["subwire/v1/options.proto".into()],
        enum_type: vec![EnumDescriptorProto {
            name: Some("E".into()),
            value: [("E_A", 0), ("E_B", 1)].map(value).into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut bytes = file.encode_to_vec();
    for (index, event) in events.iter().enumerate() {
        let message =
            DescriptorProto { name: Some(format!("M{index}")), field: fields.map(field).into(), ..Default::default() };
        // By hand, because prost's types have no room for an extension.
        let message = [message.encode_to_vec(), nested(7, &nested(50502, event))].concat();
        bytes.extend(nested(4, &message));
    }
    let streams = streams.iter().map(|stream| nested(50503, stream));
    let consumers = consumers.iter().map(|consumer| nested(50504, consumer));
    bytes.extend(nested(8, &streams.chain(consumers).collect::<Vec<_>>().concat()));
    [OPTIONS.encode_to_vec(), nested(1, &bytes)].concat()
}

fn text(tag: u32, text: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    text.prop_map(move |text| nested(tag, text.as_bytes()))
}

fn number(tag: u32, number: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<u8>> {
    number.prop_map(move |number| {
        let mut field = Vec::new();
        encoding::int64::encode(tag, &number, &mut field);
        field
    })
}

fn any_number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..7i64, 1 => any::<i32>().prop_map(i64::from)]
}

/// Seconds and nanos, which a `Duration` and a `Timestamp` share.
fn parts(tag: u32) -> impl Strategy<Value = Vec<u8>> {
    let seconds = prop_oneof![2 => 0..100i64, 1 => any::<i64>()];
    (number(1, seconds), number(2, any_number()))
        .prop_map(move |(seconds, nanos)| nested(tag, &[seconds, nanos].concat()))
}

/// Some of the fields, or all, or one of them twice.
fn some(fields: Vec<BoxedStrategy<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    let optional = |field: BoxedStrategy<Vec<u8>>| prop_oneof![1 => field, 2 => Just(Vec::new())];
    fields.into_iter().map(optional).collect::<Vec<_>>().prop_map(|fields| fields.concat())
}

fn all(fields: Vec<BoxedStrategy<Vec<u8>>>) -> impl Strategy<Value = Vec<u8>> {
    fields.prop_map(|fields| fields.concat())
}

fn words(good: &'static [&'static str], bad: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![6 => select(good), 1 => select(bad)].prop_map(str::to_owned)
}

fn subject(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    let bad = &[
        "",
        "*",
        ">",
        "svc",
        "$JS",
        "_INBOX",
        "{",
        "}",
        "{}",
        "{{text}}",
        "x{text}",
        "{text}{text}",
        "{missing}",
        "{inner}",
        "{inner.}",
        "{many}",
        "{bytes}",
        "a b",
        "\n",
        "\"]",
        "*/",
        "é",
        "\u{202e}",
        "100%",
        "`",
        "\\",
    ];
    let tokens = vec(words(good, bad), 0..4).prop_map(|tokens| tokens.join("."));
    prop_oneof![6 => tokens.prop_map(|rest| format!("x.{rest}")), 1 => any::<String>()]
}

const TOKENS: &[&str] =
    &["a", "b", "{text}", "{kind}", "{number}", "{flag}", "{type}", "{inner.text}", "{inner.inner.kind}"];
const PATTERNS: &[&str] = &["a", "b", "*", ">"];
const NAMES: &[&str] = &["s", "S", "s-1", "type", "7"];
const BAD_NAMES: &[&str] = &["", "-", "a b", "a.b", "../x", "é", "\"]", "\0"];

fn event() -> impl Strategy<Value = Vec<u8>> {
    some(vec![
        text(1, subject(TOKENS)).boxed(),
        text(2, words(NAMES, BAD_NAMES)).boxed(),
        text(3, words(&["text", "type", "inner.text"], &["number", "inner", "", ".", "x\n", "many"])).boxed(),
        text(4, any::<String>()).boxed(),
        number(5, 0..2i64).boxed(),
    ])
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let republish = all(vec![
        text(1, subject(PATTERNS)).boxed(),
        text(2, subject(&["copy", "{{wildcard(1)}}", ">"])).boxed(),
        number(3, 0..2i64).boxed(),
    ]);
    let settings = some(vec![
        number(4, any_number()).boxed(),
        number(5, any_number()).boxed(),
        number(6, any_number()).boxed(),
        number(7, any::<i64>()).boxed(),
        number(8, any_number()).boxed(),
        number(9, any::<i64>()).boxed(),
        parts(10).boxed(),
        number(11, any_number()).boxed(),
        number(12, any_number()).boxed(),
        parts(13).boxed(),
        number(14, 0..2i64).boxed(),
        number(15, 0..2i64).boxed(),
        number(16, 0..2i64).boxed(),
        republish.prop_map(|republish| nested(17, &republish)).boxed(),
    ]);
    all(vec![
        text(1, words(NAMES, BAD_NAMES)).boxed(),
        text(2, any::<String>()).boxed(),
        vec(text(3, subject(PATTERNS)), 0..3).prop_map(|subjects| subjects.concat()).boxed(),
        settings.boxed(),
    ])
}

fn consumer() -> impl Strategy<Value = Vec<u8>> {
    let settings = some(vec![
        text(3, any::<String>()).boxed(),
        vec(text(4, subject(PATTERNS)), 0..3).prop_map(|filters| filters.concat()).boxed(),
        number(5, any_number()).boxed(),
        number(6, any::<i64>()).boxed(),
        parts(7).boxed(),
        parts(8).boxed(),
        number(9, any_number()).boxed(),
        vec(parts(10), 0..3).prop_map(|backoff| backoff.concat()).boxed(),
        number(11, any_number()).boxed(),
        number(12, any_number()).boxed(),
    ]);
    all(vec![text(1, words(NAMES, BAD_NAMES)).boxed(), text(2, words(NAMES, BAD_NAMES)).boxed(), settings.boxed()])
}

fn legal_event() -> impl Strategy<Value = Vec<u8>> {
    let tokens = vec(select(TOKENS), 1..5).prop_map(|tokens| format!("x.{}", tokens.join(".")));
    all(vec![
        text(1, tokens).boxed(),
        text(2, Just("s".to_owned())).boxed(),
        text(3, select(vec!["text", "type", "inner.text"]).prop_map(str::to_owned)).boxed(),
        number(5, 0..2i64).boxed(),
    ])
}

fn legal_stream() -> impl Strategy<Value = Vec<u8>> {
    all(vec![
        text(1, Just("s".to_owned())).boxed(),
        text(3, Just("x.>".to_owned())).boxed(),
        number(4, 0..4i64).boxed(),
        number(5, 0..3i64).boxed(),
        number(6, 0..6i64).boxed(),
        number(7, 0..i64::MAX).boxed(),
        number(11, 0..i64::from(i32::MAX)).boxed(),
        number(12, 0..3i64).boxed(),
        number(14, 0..2i64).boxed(),
    ])
}

fn legal_consumer() -> impl Strategy<Value = Vec<u8>> {
    all(vec![
        text(1, select(NAMES).prop_map(str::to_owned)).boxed(),
        text(2, Just("s".to_owned())).boxed(),
        text(4, select(vec!["x.a", "x.>", "x.*.b"]).prop_map(str::to_owned)).boxed(),
        number(9, 0..i64::from(i32::MAX)).boxed(),
        number(11, 0..i64::from(i32::MAX)).boxed(),
        number(12, 0..3i64).boxed(),
    ])
}

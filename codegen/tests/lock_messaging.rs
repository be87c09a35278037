//! `api.lock` of events, streams and consumers: which changes break others, and which do not.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use subwire_build::{Config, Schema, lock};

const BEFORE: &str = r#"
    import "subwire/v1/options.proto";
    option (subwire.v1.stream) = {
        name: "orders"
        subjects: "order.placed.*"
        subjects: "order.paid.*"
        max_age: { seconds: 60 }
        allow_direct: true
        allow_message_ttl: true
        republish: { destination: "copy.>" }
    };
    option (subwire.v1.stream) = { name: "plain" subjects: "plain.>" };
    option (subwire.v1.consumer) = {
        name: "billing"
        stream: "orders"
        filters: "order.paid.*"
        filters: "order.placed.eu"
        max_deliver: 3
        backoff: { nanos: 1500000 }
    };
    option (subwire.v1.consumer) = { name: "all" stream: "plain" };
    message Placed {
        option (subwire.v1.event) = { subject: "order.placed.{shop}" stream: "orders" id: "id" };
        string id = 1;
        string shop = 2;
    }
    message Tick {
        option (subwire.v1.event) = { subject: "plain.{shop}" };
        string id = 1;
        string shop = 2;
    }
"#;

/// A schema of one file, whose package is `test.shop.<version>`.
fn schema(version: &str, body: &str) -> Schema {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("lock-messaging-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a directory");
    let text = format!("syntax = \"proto3\";\npackage test.shop.{version};\n{body}");
    fs::write(directory.join("shop.proto"), text).expect("a file");
    Config::new().load(&[directory]).expect("a schema")
}

/// What the change of `from` to `to` breaks.
fn check(from: &str, to: &str) -> Vec<String> {
    let before = lock::render(&schema("v1", BEFORE));
    assert!(BEFORE.contains(from), "{from}");
    let after = schema("v1", &BEFORE.replacen(from, to, 1));
    assert!(!lock::drift(&before, &after).is_empty(), "{to}: a change that no lock would show");
    lock::check(&before, &after).iter().map(ToString::to_string).collect()
}

#[test]
fn the_lock_has_a_line_for_everything() {
    let lock = lock::render(&schema("v1", BEFORE));
    let ours = |line: &&str| ["consumer ", "event ", "stream "].iter().any(|kind| line.starts_with(kind));
    let lines: Vec<&str> = lock.lines().filter(ours).collect();
    let expected = [
        "consumer orders/billing package=test.shop.v1 filters=order.paid.*,order.placed.eu deliver=all ack=explicit \
         ack_wait=30s max_deliver=3 backoff=0.0015s max_ack_pending=1000 replay=instant",
        "consumer plain/all package=test.shop.v1 filters=> deliver=all ack=explicit \
         ack_wait=30s max_deliver=- backoff=- max_ack_pending=1000 replay=instant",
        "event test.shop.v1.Placed subject=order.placed.{shop} stream=orders id=id escape=false",
        "event test.shop.v1.Tick subject=plain.{shop} stream=- id=- escape=false",
        "stream orders package=test.shop.v1 subjects=order.paid.*,order.placed.* retention=limits storage=file \
         replicas=1 max_messages=- max_messages_per_subject=- max_bytes=- max_age=60s max_message_bytes=- \
         discard=old duplicate_window=- allow=direct,message_ttl republish=all:>->copy.>",
        "stream plain package=test.shop.v1 subjects=plain.> retention=limits storage=file \
         replicas=1 max_messages=- max_messages_per_subject=- max_bytes=- max_age=- max_message_bytes=- \
         discard=old duplicate_window=- allow=- republish=-",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn matters_of_operation_break_nothing() {
    for (from, to) in [
        ("max_age: { seconds: 60 }", "max_age: { seconds: 30 } max_bytes: 5 max_messages: 5 replicas: 3"),
        ("max_age: { seconds: 60 }", "discard: DISCARD_NEW duplicate_window: { seconds: 5 }"),
        ("max_deliver: 3", "max_deliver: 4 ack_wait: { seconds: 1 } max_ack_pending: 5"),
        ("backoff: { nanos: 1500000 }", ""),
    ] {
        assert_eq!(check(from, to), [""; 0], "{to}");
    }
}

#[test]
fn additions_break_nothing() {
    for (from, to) in [
        ("subjects: \"order.paid.*\"", "subjects: \"order.paid.*\" subjects: \"order.sent.*\""),
        ("subjects: \"order.paid.*\"", "subjects: \"order.paid.>\""),
        ("allow_direct: true", "allow_direct: true allow_atomic_publish: true"),
        ("subjects: \"plain.>\"", "subjects: \"plain.>\" republish: { destination: \"other.>\" }"),
        ("{ subject: \"plain.{shop}\" }", "{ subject: \"plain.{shop}\" stream: \"plain\" id: \"id\" }"),
        ("message Tick", "message Sent { option (subwire.v1.event).subject = \"sent\"; } message Tick"),
        ("message Placed", "option (subwire.v1.consumer) = { name: \"more\" stream: \"plain\" }; message Placed"),
    ] {
        assert_eq!(check(from, to), [""; 0], "{to}");
    }
}

#[test]
fn changes_that_others_notice_break() {
    for (from, to, expected) in [
        ("order.placed.{shop}", "order.paid.{shop}", "subject was `order.placed.{shop}` and is `order.paid.{shop}`"),
        ("stream: \"orders\" id: \"id\" }", "id: \"id\" }", "stream was `orders` and is `-`"),
        ("id: \"id\" }", "id: \"shop\" }", "id was `id` and is `shop`"),
        ("id: \"id\" }", "id: \"id\" escape: true }", "escape was `false` and is `true`"),
        ("option (subwire.v1.event) = { subject: \"plain.{shop}\" };", "", "event test.shop.v1.Tick was removed; keep"),
        ("subjects: \"order.paid.*\"", "subjects: \"order.paid.eu\"", "stream orders: subjects was"),
        ("max_age: {", "retention: RETENTION_INTEREST max_age: {", "retention was `limits` and is `interest`"),
        ("max_age: {", "storage: STORAGE_MEMORY max_age: {", "storage was `file` and is `memory`"),
        ("allow_direct: true", "", "allow was `direct,message_ttl` and is `message_ttl`"),
        ("destination: \"copy.>\"", "destination: \"copies.>\"", "republish was"),
        ("option (subwire.v1.consumer) = { name: \"all\" stream: \"plain\" };", "", "consumer plain/all was removed"),
        ("filters: \"order.paid.*\"", "", "filters was `order.paid.*,order.placed.eu` and is `order.placed.eu`"),
        ("stream: \"plain\"", "stream: \"plain\" filters: \"plain.a\"", "filters was `>` and is `plain.a`"),
        ("max_deliver: 3", "max_deliver: 3 deliver: DELIVER_NEW", "deliver was `all` and is `new`"),
        ("max_deliver: 3", "max_deliver: 3 replay: REPLAY_ORIGINAL", "replay was `instant` and is `original`"),
    ] {
        let broken = check(from, to);
        assert!(matches!(&broken[..], [one] if one.contains(expected)), "{to}: {broken:?}");
    }
}

#[test]
fn a_renamed_stream_breaks_its_consumers_too() {
    let before = lock::render(&schema("v1", BEFORE));
    let after = schema("v1", &BEFORE.replace("\"orders\"", "\"sales\""));
    let broken: Vec<_> = lock::check(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(broken.len(), 3, "{broken:?}");
    assert!(broken[0].starts_with("consumer orders/billing was removed; keep it until nobody uses it"));
}

#[test]
fn a_new_order_is_no_change() {
    let before = lock::render(&schema("v1", BEFORE));
    let filters = "filters: \"order.paid.*\"\n        filters: \"order.placed.eu\"";
    assert!(BEFORE.contains(filters));
    let after = schema("v1", &BEFORE.replace(filters, "filters: [\"order.placed.eu\", \"order.paid.*\"]"));
    assert!(lock::drift(&before, &after).is_empty());
}

#[test]
fn alpha_and_beta_promise_nothing() {
    let before = lock::render(&schema("v1alpha1", BEFORE));
    let after = schema("v1alpha1", &BEFORE.replace("\"orders\"", "\"sales\""));
    assert!(lock::check(&before, &after).is_empty());
    assert!(!lock::drift(&before, &after).is_empty());
}

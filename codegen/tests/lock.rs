//! `api.lock`: what it says, what breaks it, what merely has to be written again.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use subwire_build::{Config, Schema, lock};

const BEFORE: &str = r#"
    service ThingService { rpc Get(Key) returns (Thing); rpc List(Key) returns (stream Thing); }
    message Key { string id = 1; }
    message Thing {
        string name = 1;
        optional int32 size = 2;
        repeated string tags = 3;
        map<string, Color> colors = 4;
        oneof owner { string user = 5; Key team = 6; }
    }
    enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; }
"#;

/// A schema of one file, whose package is `test.thing.<version>`.
fn schema(version: &str, body: &str) -> Schema {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("lock-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a directory");
    let text = format!("syntax = \"proto3\";\npackage test.thing.{version};\n{body}");
    fs::write(directory.join("thing.proto"), text).expect("a file");
    Config::new().load(&[directory]).expect("a schema")
}

/// What the change of `from` to `to` breaks.
fn check(from: &str, to: &str) -> Vec<String> {
    let before = lock::render(&schema("v1", BEFORE));
    assert!(BEFORE.contains(from), "{from}");
    let after = schema("v1", &BEFORE.replace(from, to));
    assert!(!lock::drift(&before, &after).is_empty(), "{from}: a change that no lock would show");
    lock::check(&before, &after).iter().map(ToString::to_string).collect()
}

#[test]
fn the_lock_has_a_line_for_everything() {
    let lines = lock::render(&schema("v1", BEFORE));
    let expected = "\
field test.thing.v1.Key.id number=1 type=string label=singular
field test.thing.v1.Thing.colors number=4 type=map<string,test.thing.v1.Color> label=map
field test.thing.v1.Thing.name number=1 type=string label=singular
field test.thing.v1.Thing.size number=2 type=int32 label=optional
field test.thing.v1.Thing.tags number=3 type=string label=repeated
field test.thing.v1.Thing.team number=6 type=test.thing.v1.Key label=oneof:owner
field test.thing.v1.Thing.user number=5 type=string label=oneof:owner
method test.thing.v1.ThingService/Get subject=svc.test.thing.v1.get kind=unary request=test.thing.v1.Key response=test.thing.v1.Thing idempotency=unknown
method test.thing.v1.ThingService/List subject=svc.test.thing.v1.list kind=server_streaming request=test.thing.v1.Key response=test.thing.v1.Thing idempotency=unknown
service test.thing.v1.ThingService subject=svc.test.thing.v1 version=1.0.0
value test.thing.v1.Color.COLOR_RED number=1
value test.thing.v1.Color.COLOR_UNSPECIFIED number=0
";
    let lines: String = lines.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn what_stays_neither_breaks_nor_drifts() {
    let schema = schema("v1", BEFORE);
    let lock = lock::render(&schema);
    assert!(lock::check(&lock, &schema).is_empty() && lock::drift(&lock, &schema).is_empty());
    let windows = lock.replace('\n', "\r\n");
    assert!(lock::check(&windows, &schema).is_empty() && lock::drift(&windows, &schema).is_empty());
}

#[test]
fn additions_break_nothing() {
    for (from, to) in [
        ("string id = 1;", "string id = 1; string more = 2;"),
        ("COLOR_RED = 1;", "COLOR_RED = 1; COLOR_BLUE = 2;"),
        ("rpc Get(", "rpc Put(Key) returns (Thing); rpc Get("),
        ("message Key", "message Other { string text = 1; } message Key"),
        ("optional int32 size", "int32 size"),
    ] {
        assert_eq!(check(from, to), [""; 0], "{to}");
    }
}

#[test]
fn changes_on_the_wire_break() {
    for (from, to, expected) in [
        ("string name = 1;", "reserved 1; reserved \"name\";", "name was removed; keep it and mark it `deprecated`"),
        ("string name = 1;", "string title = 1;", "field test.thing.v1.Thing.name was removed"),
        ("string name = 1;", "string name = 9;", "number was `1` and is `9`"),
        ("string name = 1;", "bytes name = 1;", "type was `string` and is `bytes`"),
        ("string name = 1;", "repeated string name = 1;", "label was `singular` and is `repeated`"),
        ("COLOR_RED = 1;", "COLOR_RED = 2;", "number was `1` and is `2`"),
        ("COLOR_RED = 1;", "", "value test.thing.v1.Color.COLOR_RED was removed"),
        ("rpc Get(Key) returns (Thing);", "", "method test.thing.v1.ThingService/Get was removed"),
        ("rpc Get(Key)", "rpc Get(Thing)", "request was `test.thing.v1.Key` and is `test.thing.v1.Thing`"),
        ("rpc Get(Key) returns (Thing)", "rpc Get(Key) returns (Key)", "response was"),
        ("rpc Get(Key)", "rpc Get(stream Key)", "kind was `unary` and is `client_streaming`"),
    ] {
        let broken = check(from, to);
        assert!(matches!(&broken[..], [one] if one.contains(expected)), "{to}: {broken:?}");
    }
}

#[test]
fn a_new_subject_breaks_service_and_methods() {
    let before = lock::render(&schema("v1", BEFORE));
    let after = before.replace("svc.test.thing.v1", "svc.elsewhere");
    let broken = lock::check(&after, &schema("v1", BEFORE));
    assert_eq!(broken.len(), 3, "{broken:?}");
}

/// What breaks when the lock of `BEFORE` had said this instead.
fn check_lock(instead_of: &str, said: &str) -> Vec<String> {
    let schema = schema("v1", BEFORE);
    let before = lock::render(&schema);
    assert!(before.contains(instead_of), "{instead_of}");
    lock::check(&before.replacen(instead_of, said, 1), &schema).iter().map(ToString::to_string).collect()
}

#[test]
fn a_method_may_become_idempotent_and_stays_so() {
    for to in ["IDEMPOTENT", "NO_SIDE_EFFECTS"] {
        let to = format!("returns (Thing) {{ option idempotency_level = {to}; }}");
        assert_eq!(check("returns (Thing);", &to), [""; 0], "{to}");
    }
    for was in ["idempotent", "no_side_effects", "once"] {
        let broken = check_lock("idempotency=unknown", &format!("idempotency={was}"));
        let expected = format!("idempotency was `{was}` and is `unknown`");
        assert!(matches!(&broken[..], [one] if one.contains(&expected)), "{was}: {broken:?}");
    }
    let readable = BEFORE.replacen("(Thing);", "(Thing) { option idempotency_level = NO_SIDE_EFFECTS; }", 1);
    let changing = BEFORE.replacen("(Thing);", "(Thing) { option idempotency_level = IDEMPOTENT; }", 1);
    let broken = |before: &str, after: &str| lock::check(&lock::render(&schema("v1", before)), &schema("v1", after));
    assert_eq!(broken(&readable, &changing).len(), 1);
    assert!(broken(&changing, &readable).is_empty());
}

#[test]
fn a_version_of_a_service_may_only_rise() {
    for was in ["0.9.10", "1.0.0-beta.1", "1.0.0"] {
        assert_eq!(check_lock("version=1.0.0", &format!("version={was}")), [""; 0], "{was}");
    }
    for was in ["1.0.1", "2.0.0", "10.0.0-alpha.1"] {
        let broken = check_lock("version=1.0.0", &format!("version={was}"));
        let expected = format!("version was `{was}` and is `1.0.0`");
        assert!(matches!(&broken[..], [one] if one.contains(&expected)), "{was}: {broken:?}");
    }
}

#[test]
fn what_is_called_like_a_beta_version_is_promised_all_the_same() {
    for (version, body, changed) in [
        ("v1", "message Key { string v1beta1 = 1; }", "message Key {}"),
        ("v1", "message Key { string v1beta1 = 1; }", ""),
        ("v1", "message v1beta1 { string id = 1; }", "message v1beta1 {}"),
        ("v1", "message Key { message v1beta1 { string id = 1; } }", ""),
        ("v1", "enum Stage { STAGE_UNSPECIFIED = 0; v1beta1 = 1; }", "enum Stage { STAGE_UNSPECIFIED = 0; }"),
        // No version at all.
        ("types", "message v1beta1 { string id = 1; }", ""),
    ] {
        let broken = lock::check(&lock::render(&schema(version, body)), &schema(version, changed));
        assert!(matches!(&broken[..], [one] if one.message.contains("v1beta1")), "{version}: {body}: {broken:?}");
    }
}

#[test]
fn a_package_that_is_gone_was_promised_unless_it_was_alpha_or_beta() {
    let body = "message Key { string v1 = 1; string v1beta1 = 2; }";
    for (version, count) in [("v1", 2), ("v1beta1", 0), ("v1beta1.v1", 2), ("v1.v1beta1", 0), ("v1beta1.more.v1", 2)] {
        let broken = lock::check(&lock::render(&schema(version, body)), &schema("v2", body));
        assert_eq!(broken.len(), count, "{version}: {broken:?}");
    }
}

#[test]
fn alpha_and_beta_promise_nothing() {
    for version in ["v1alpha1", "v2beta3"] {
        let before = lock::render(&schema(version, BEFORE));
        let after = schema(version, &BEFORE.replace("string name = 1;", ""));
        assert!(lock::check(&before, &after).is_empty());
        assert!(!lock::drift(&before, &after).is_empty());
    }
}

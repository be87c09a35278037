//! A user's crate: its `build.rs` calls `compile`, its code includes what was generated.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How many methods the service of the crate has.
const METHODS: usize = 200;

/// Writes a crate that depends on the two of this workspace, and on nothing else.
fn user_crate() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("user");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let workspace = workspace.canonicalize().expect("the workspace");
    fs::remove_dir_all(&root).ok();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let manifest = "[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
        [dependencies]\nsubwire = { path = \"WORKSPACE/sdk\" }\n\
        [build-dependencies]\nsubwire-build = { path = \"WORKSPACE/codegen\" }\n\
        [workspace]\n";
    let methods: String =
        (0..METHODS).map(|n| format!("  // Number {n}.\n  rpc Do{n}(M) returns (stream M);\n")).collect();
    let proto = format!(
        "// Many.\nsyntax = \"proto3\";\npackage big.one.v1;\nimport \"big/common/v1/c.proto\";\n\
         // One.\nmessage M {{\n  // See [`M`].\n  big.common.v1.C c = 1;\n}}\n// Many.\nservice Big {{\n{methods}}}\n"
    );
    let common = "syntax = \"proto3\";\npackage big.common.v1;\nmessage C { string text = 1; }\n";
    let event = "// Something that happens.\nsyntax = \"proto3\";\npackage big.event.v1;\n\
        import \"subwire/v1/options.proto\";\n\
        option (subwire.v1.stream) = { name: \"big\" subjects: \"big.>\" };\n\
        option (subwire.v1.consumer) = { name: \"reader\" stream: \"big\" };\n\
        // It happens.\nmessage Happened {\n  \
        option (subwire.v1.event) = { subject: \"big.{text}\" stream: \"big\" id: \"text\" };\n  \
        // What.\n  string text = 1;\n}\n";
    let small = "syntax = \"proto3\";\npackage small.one.v1;\nmessage M {}\n\
        service SmallService { rpc Get(M) returns (M); }\n";
    let nameless = "syntax = \"proto3\";\nmessage M { Kind kind = 1; }\nenum Kind { KIND_UNSPECIFIED = 0; }\n";
    let build = "fn main() -> Result<(), subwire_build::Error> {\n    subwire_build::compile(&[\"proto\"])\n}\n";
    let lib = "//! Uses what was generated, with its own lints at their strictest.\n\
        #![deny(warnings, missing_docs, unreachable_pub)]\n\
        subwire::include_protos!();\n\
        /// Common types alone.\n\
        pub mod common {\n    subwire::include_proto!(\"big.common.v1\");\n}\n\
        /// Calls it.\n\
        pub fn last(client: &big::one::v1::BigClient) {\n    \
            drop(client.do199(big::one::v1::M { c: Some(big::common::v1::C { text: String::new() }) }));\n}\n\
        /// Some of the events, and where they are.\n\
        pub fn some() -> (big::event::v1::HappenedFilter, usize) {\n    \
            let specs = big::event::v1::specs();\n    \
            (big::event::v1::HappenedFilter::new().text(\"x\"), specs.streams.len() + specs.consumers.len())\n}\n\
        mod serves {\n    subwire::include_proto!(\"small.one.v1\");\n    struct Own;\n    \
            impl SmallService for Own {\n        \
            async fn get(&self, _: subwire::Context, m: M) -> subwire::Result<M> { Ok(m) }\n    }\n    \
            pub(crate) fn server() -> subwire::Channel { SmallServer::new(Own).into() }\n}\n\
        mod calls {\n    subwire::include_proto!(\"small.one.v1\");\n    \
            pub(crate) fn call(channel: subwire::Channel) { drop(SmallClient::new(channel).get(M {})) }\n}\n\
        mod uses_nothing {\n    subwire::include_proto!(\"_\");\n}\n\
        mod uses_no_event {\n    subwire::include_proto!(\"big.event.v1\");\n}\n\
        /// A server alone, and a client alone.\n\
        pub fn apart() { calls::call(serves::server()) }\n";
    write("Cargo.toml", &manifest.replace("WORKSPACE", &workspace.to_string_lossy()));
    write("build.rs", build);
    write("src/lib.rs", lib);
    write("proto/big/one/v1/big.proto", &proto);
    write("proto/big/common/v1/c.proto", common);
    write("proto/small/one/v1/small.proto", small);
    write("proto/nameless.proto", nameless);
    write("proto/big/event/v1/event.proto", event);
    fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("the lock");
    root
}

fn cargo_build(root: &Path) -> Output {
    // The same target directory as this test's, so that most dependencies are there already.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    Command::new(env!("CARGO"))
        .current_dir(root)
        .arg("build")
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_crate_builds_rebuilds_when_a_proto_changes_and_shows_what_is_wrong() {
    let root = user_crate();
    let first = cargo_build(&root);
    assert!(first.status.success(), "{}", text(&first));

    let again = cargo_build(&root);
    assert!(!text(&again).contains("Compiling user"), "nothing changed: {}", text(&again));

    let proto = root.join("proto/big/one/v1/big.proto");
    let good = fs::read_to_string(&proto).expect("the schema");
    fs::write(&proto, good.replace("rpc Do7(", "rpc DO8(")).expect("a change");
    let refused = cargo_build(&root);
    let line = "proto/big/one/v1/big.proto:29:7: RPC_SUBJECT_UNIQUE: ";
    assert!(!refused.status.success() && text(&refused).contains(line), "{}", text(&refused));

    fs::write(&proto, good.replace("rpc Do7(", "rpc Seven(")).expect("a change");
    let changed = cargo_build(&root);
    assert!(changed.status.success() && text(&changed).contains("Compiling user"), "{}", text(&changed));
}

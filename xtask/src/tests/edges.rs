//! Who may depend on whom: the arrows of ARCHITECTURE.md.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::{ROOT, program};

/// Unmaintained, or a second way to do what is done already: not even through somebody else.
const AVOIDED: [&str; 13] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "backoff",
    "envy",
    "failsafe",
    "figment",
    "instant",
    "metrics",
    "native-tls",
    "openssl",
    "openssl-sys",
    "tower-resilience",
    "utoipa",
];

/// A line in some package's manifest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    /// Only its tests, examples and benches use it.
    dev: bool,
    /// Where `from` is: `services/llm`.
    folder: String,
}

fn edges() -> BTreeSet<Edge> {
    let manifest = format!("{ROOT}/Cargo.toml");
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path", &manifest];
    let output = program::cargo(&arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let root = text(&metadata["workspace_root"]);
    let packages = metadata["packages"].as_array().expect("packages");
    let edges = packages.iter().flat_map(|package| {
        let manifest = Path::new(text(&package["manifest_path"]));
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()).expect("a member");
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        dependencies.iter().map(move |dependency| Edge {
            from: text(&package["name"]).to_owned(),
            to: text(&dependency["name"]).to_owned(),
            dev: dependency["kind"] == "dev",
            folder: folder.to_string_lossy().replace('\\', "/"),
        })
    });
    edges.collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// Fails with every edge that `is_wrong`.
fn check(is_wrong: impl Fn(&Edge) -> bool) {
    let edges = edges();
    assert!(edges.iter().any(|edge| edge.from == "subwire" && edge.to == "tower"), "these are not ours: {edges:?}");
    let wrong: Vec<_> = edges.iter().filter(|edge| is_wrong(edge)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_sdk_knows_neither_the_schemas_nor_the_generator() {
    check(|edge| edge.from == "subwire" && !edge.dev && ["schemas", "subwire-build"].contains(&edge.to.as_str()));
}

#[test]
fn the_generator_knows_neither_the_sdk_nor_the_schemas() {
    check(|edge| edge.from == "subwire-build" && !edge.dev && ["schemas", "subwire"].contains(&edge.to.as_str()));
}

#[test]
fn services_meet_on_the_wire_only() {
    let edges = edges();
    let is_service = |edge: &&Edge| edge.folder.starts_with("services/");
    let services: BTreeSet<_> = edges.iter().filter(is_service).map(|edge| &edge.from).collect();
    check(|edge| services.contains(&edge.from) && services.contains(&edge.to));
}

#[test]
fn only_the_sdk_names_the_nats_client() {
    check(|edge| edge.to == "async-nats" && edge.from != "subwire");
}

#[test]
fn the_archive_knows_nothing_of_ours_but_the_sdk() {
    let edges = edges();
    let ours: BTreeSet<_> = edges.iter().map(|edge| &edge.from).collect();
    check(|edge| edge.from == "subwire-archive" && ours.contains(&edge.to) && edge.to != "subwire");
}

#[test]
fn only_the_archive_names_the_client_of_its_database() {
    let clients = ["deadpool-postgres", "tokio-postgres"];
    check(|edge| clients.contains(&edge.to.as_str()) && edge.from != "subwire-archive");
}

#[test]
fn nobody_names_what_is_avoided() {
    // Others may bring async-trait with them: only our own traits do without.
    check(|edge| edge.to == "async-trait" || AVOIDED.contains(&edge.to.as_str()));
}

#[test]
fn nobody_brings_what_is_avoided() {
    for lock in ["Cargo.lock", "bench/Cargo.lock"] {
        let text = fs::read_to_string(format!("{ROOT}/{lock}")).expect(lock);
        let names = text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let avoided: Vec<_> = names.filter(|name| AVOIDED.contains(name)).collect();
        assert!(avoided.is_empty(), "{lock}: {avoided:?}; `cargo tree --invert` says who brings them");
    }
}

#[test]
fn what_is_avoided_is_banned() {
    let deny = fs::read_to_string(format!("{ROOT}/deny.toml")).expect("deny.toml");
    for name in AVOIDED {
        assert!(deny.contains(&format!("crate = \"{name}\"")), "deny.toml does not ban {name}");
    }
}

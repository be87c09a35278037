//! What can be given to `compile`, and what it writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use subwire_build::Config;

const SERVICE: &str = "syntax = \"proto3\";\npackage ai.llm.v1;\nimport \"ai/common/v1/page.proto\";\n\
    service LlmService { rpc List(ai.common.v1.Page) returns (ai.common.v1.Page); }\n";
const PAGE: &str = "syntax = \"proto3\";\npackage ai.common.v1;\nmessage Page { uint32 size = 1; }\n";

/// An empty directory with two packages below `proto`.
fn project(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("inputs").join(name);
    fs::remove_dir_all(&root).ok();
    for (path, text) in [("proto/ai/llm/v1/llm.proto", SERVICE), ("proto/ai/common/v1/page.proto", PAGE)] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    root
}

fn config(root: &Path) -> Config {
    Config::new().rerun_if_changed(false).out_dir(root.join("out"))
}

fn written(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("out")).expect("the output");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

const ALL: [&str; 4] = ["ai.common.v1.rs", "ai.llm.v1.bin", "ai.llm.v1.rs", "subwire.rs"];

#[test]
fn a_directory_is_its_own_root() {
    let root = project("directory");
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(written(&root), ALL);
}

#[test]
fn the_root_of_a_file_follows_from_its_package() {
    let root = project("file");
    config(&root).compile(&[root.join("proto/ai/llm/v1/llm.proto")]).expect("compiles");
    assert_eq!(written(&root), ALL, "imports are generated too");
}

#[test]
fn a_file_and_its_directory_are_one_input() {
    let root = project("twice");
    let inputs = [root.join("proto"), root.join("proto/ai/llm/v1/llm.proto"), root.join("proto/./ai")];
    config(&root).compile(&inputs).expect("compiles");
}

#[test]
fn imports_are_found_in_include_directories() {
    let root = project("include");
    fs::create_dir_all(root.join("vendor/ai/common/v1")).expect("a directory");
    let (from, to) = ("proto/ai/common/v1/page.proto", "vendor/ai/common/v1/page.proto");
    fs::rename(root.join(from), root.join(to)).expect("moved");
    let error = config(&root).compile(&[root.join("proto")]).expect_err("nowhere");
    assert_eq!(error.problems()[0].rule, "IMPORT_FOUND");
    config(&root).include(root.join("vendor")).compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(written(&root), ALL);
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let root = project("mark");
    for (path, text) in [("proto/ai/llm/v1/llm.proto", SERVICE), ("proto/ai/common/v1/page.proto", PAGE)] {
        fs::write(root.join(path), format!("\u{feff}{text}")).expect("a file");
    }
    config(&root).compile(&[root.join("proto/ai/llm/v1/llm.proto")]).expect("compiles");
    assert_eq!(written(&root), ALL);
    for (text, line, column) in [
        ("\u{feff}syntax = \"proto3\" package ai.common.v1;", 1, 19),
        ("\u{feff}syntax = \"proto3\";\npackage ai.common.v1; message A { B b = 1; }", 2, 35),
        ("\u{feff}syntax = \"proto2\";", 1, 1),
    ] {
        fs::write(root.join("proto/ai/common/v1/page.proto"), text).expect("a file");
        let error = config(&root).compile(&[root.join("proto/ai/common/v1/page.proto")]).expect_err("refused");
        let places: Vec<_> = error.problems().iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(line, column)], "{error}");
    }
}

/// Writes files, each below the root and with the package it names.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, format!("syntax = \"proto3\";\n{text}\n")).expect("a file");
    }
}

#[test]
fn two_files_of_one_import_name_are_refused() {
    let root = project("same_name");
    let files = [
        ("svc1/api.proto", "package shop.orders.v1; message Order {}"),
        ("svc2/api.proto", "package shop.users.v1; message User {"),
    ];
    write(&root, &files);
    let (first, second) = (root.join("svc1/api.proto"), root.join("svc2/api.proto"));
    let text = format!(
        "{}: IMPORT_NAME_UNIQUE: `api.proto` is the import name of `{}` too; compile `{}` in place of both, or give one \
         of them another name",
        second.display(),
        first.display(),
        root.display(),
    );
    let error = config(&root).compile(&[&first, &second]).expect_err("one name");
    assert_eq!(error.to_string(), text);
    let error = config(&root).compile(&[root.join("svc1"), root.join("svc2")]).expect_err("one name");
    assert_eq!(error.to_string(), text);
    write(&root, &[("svc2/api.proto", "package shop.users.v1; message User {}")]);
    let parent = root.join("services");
    fs::create_dir_all(&parent).expect("a directory");
    for service in ["svc1", "svc2"] {
        fs::rename(root.join(service), parent.join(service)).expect("moved");
    }
    config(&root).compile(&[parent]).expect("compiles");
    assert_eq!(written(&root), ["shop.orders.v1.rs", "shop.users.v1.rs", "subwire.rs"]);
}

#[test]
fn imports_are_found_in_the_order_that_is_documented() {
    let root = project("order");
    let files = [
        ("proto/one.proto", "package a.b.v1; import \"x.proto\"; message One { a.x.v1.X x = 1; }"),
        ("first/x.proto", "package a.x.v1; message X { string first = 1; }"),
        ("second/x.proto", "package a.x.v1; message X { string second = 1; }"),
    ];
    write(&root, &files);
    let config = config(&root).include(root.join("first")).include(root.join("second"));
    let has = |field: &str| fs::read_to_string(root.join("out/a.x.v1.rs")).expect("code").contains(field);
    config.compile(&[root.join("proto/one.proto")]).expect("compiles");
    assert!(has("first: ::"), "of two includes the first");
    config.compile(&[root.join("proto/one.proto"), root.join("second/x.proto")]).expect("compiles");
    assert!(has("second: ::"), "what is compiled comes before the includes");
}

#[cfg(unix)]
#[test]
fn links_that_lead_back_are_followed_once() {
    let root = project("links");
    for link in ["proto/back", "proto/ai/back", "proto/ai/llm/v1/back", "proto/ai/llm/v1/other"] {
        std::os::unix::fs::symlink(root.join("proto"), root.join(link)).expect("a link");
    }
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(written(&root), ALL);
}

#[test]
fn extern_packages_are_named_and_not_generated() {
    let root = project("extern");
    let config = config(&root).extern_path("ai.common.v1", "::common::v1");
    config.compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(written(&root), ["ai.llm.v1.bin", "ai.llm.v1.rs", "subwire.rs"]);
    let code = fs::read_to_string(root.join("out/ai.llm.v1.rs")).expect("code");
    assert!(code.contains("request: ::common::v1::Page"), "{code}");
}

#[test]
fn what_would_stay_the_same_is_not_touched() {
    let root = project("untouched");
    let service = root.join("out/ai.llm.v1.rs");
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    let old = SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(&service).expect("the code");
    file.set_modified(old).expect("an older time");
    let modified = || fs::metadata(&service).and_then(|found| found.modified()).expect("a time");
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(modified(), old);
    let more = SERVICE.replace("rpc List", "rpc More(ai.common.v1.Page) returns (ai.common.v1.Page); rpc List");
    fs::write(root.join("proto/ai/llm/v1/llm.proto"), more).expect("a change");
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    assert_ne!(modified(), old);
}

#[test]
fn a_copy_of_a_built_in_file_makes_no_difference() {
    let root = project("vendored");
    let copy = root.join("proto/google/rpc/status.proto");
    fs::create_dir_all(copy.parent().expect("a parent")).expect("a directory");
    fs::write(&copy, "syntax = \"proto3\";\npackage google.rpc;\nmessage Status {}\n").expect("a file");
    config(&root).compile(&[root.join("proto")]).expect("compiles");
    assert_eq!(written(&root), ALL);
}

#[test]
fn a_service_of_two_hundred_methods_is_generated() {
    let root = project("many");
    let methods: String = (0..200).map(|n| format!("  rpc Do{n}(M) returns (stream M);\n")).collect();
    let text = format!("syntax = \"proto3\";\npackage big.one.v1;\nmessage M {{}}\nservice Big {{\n{methods}}}\n");
    fs::create_dir_all(root.join("many")).expect("a directory");
    fs::write(root.join("many/big.proto"), text).expect("a file");
    config(&root).compile(&[root.join("many")]).expect("compiles");
    let code = fs::read_to_string(root.join("out/big.one.v1.rs")).expect("code");
    assert_eq!(code.matches("pub static DO").count(), 200);
}

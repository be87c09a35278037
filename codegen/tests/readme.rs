//! The README's own crate: what it tells a newcomer to write compiles, runs, and says hello.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The blocks that come after a line which names a file, as that file.
fn files(readme: &str) -> Vec<(&str, &str)> {
    let mut files = Vec::new();
    let mut named = None;
    let mut rest = readme;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let path = line.strip_prefix('`').and_then(|line| line.split_once('`')).map(|(path, _)| path);
        if line.starts_with("```") {
            let (block, after) = rest.split_once("\n```").expect("a block that ends");
            files.extend(named.take().map(|path| (path, block)));
            rest = after.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(path) = path.filter(|path| path.contains('.')) {
            named = Some(path);
        }
    }
    files
}

#[test]
fn a_crate_written_from_the_readme_says_hello_and_bills_an_order() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let readme = fs::read_to_string(workspace.join("README.md")).expect("the README");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    fs::remove_dir_all(&root).ok();
    let files = files(&readme);
    let names: Vec<_> = files.iter().map(|(path, _)| *path).collect();
    let hello = ["proto/demo/hello/v1/hello.proto", "Cargo.toml", "build.rs", "src/main.rs"];
    let orders = ["proto/demo/shop/v1/shop.proto", "examples/orders.rs"];
    assert_eq!(names, [&hello[..], &orders].concat());
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text.replace("../subwire", &workspace.to_string_lossy())).expect("a file");
    }
    let manifest = root.join("Cargo.toml");
    let outside = fs::read_to_string(&manifest).expect("the manifest") + "\n[workspace]\n";
    fs::write(manifest, outside).expect("a file");
    fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).expect("the lock");

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let run = |arguments: &[&str]| {
        let mut run = Command::new(env!("CARGO"));
        run.current_dir(&root).args(["run", "--quiet", "--offline"]).args(arguments).env("CARGO_TARGET_DIR", target);
        for name in ["RUSTFLAGS", "MESSAGE_BUS", "NATS_URL", "NATS_CONTEXT"] {
            run.env_remove(name);
        }
        let output = run.output().expect("cargo");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run(&[]), "Hello, world!\n");
    assert_eq!(run(&["--example", "orders"]), "billed order-1 in the eu\n");
}

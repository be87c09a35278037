//! The golden files: what is checked in is what is generated. `calls.rs` and
//! `events.rs` compile and call them.
//!
//! `UPDATE_GOLDEN=1 cargo test -p subwire-build --test golden` rewrites them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn golden_files_are_what_is_generated() {
    let cases = directories(Path::new("tests/golden"));
    assert!(cases.len() > 10, "{cases:?}");
    let mut stale = Vec::new();
    for case in cases {
        let fresh = generate(&case);
        let old = generated_files(&case);
        if fresh == old {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_none() {
            stale.push(case);
            continue;
        }
        for name in old.keys() {
            fs::remove_file(case.join(name)).expect("remove");
        }
        for (name, content) in fresh {
            fs::write(case.join(name), content).expect("write");
        }
    }
    assert!(stale.is_empty(), "stale, run with UPDATE_GOLDEN=1: {stale:?}");
}

#[test]
fn generated_code_is_the_same_each_time() {
    for case in directories(Path::new("tests/golden")) {
        assert!(generate(&case) == generate(&case), "{}", case.display());
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn generate(case: &Path) -> Files {
    let name = case.file_name().expect("a name").to_string_lossy();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("golden-{name}-{:?}", std::thread::current().id()));
    fs::remove_dir_all(&out).ok();
    let config = subwire_build::Config::new().rerun_if_changed(false).out_dir(&out);
    let result = config.compile(&[case]);
    assert!(result.is_ok(), "{name}: {result:?}");
    generated_files(&out)
}

fn generated_files(directory: &Path) -> Files {
    let paths = fs::read_dir(directory).expect("a directory");
    let paths = paths.map(|entry| entry.expect("an entry").path());
    let generated = paths.filter(|path| path.extension().is_some_and(|e| e == "rs" || e == "bin"));
    let file = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(path).expect("read"))
    };
    generated.map(file).collect()
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

//! What every file keeps to.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::ROOT;

/// A file that has more usually holds two nouns.
const LINES_MAX: usize = 500;

/// Every file of ours whose name ends like this, and what is in it; paths start at the root.
fn files(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // `.git` and the like, what is built, and where a fuzzer leaves what it found.
            let is_ours = !name.starts_with('.') && !["target", "artifacts", "corpus"].contains(&name.as_ref());
            match path.is_dir() {
                true if is_ours => walk(&path, found),
                true => {}
                false => found.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    walk(Path::new(ROOT), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)));
    assert!(!paths.is_empty(), "no {extensions:?}");
    let read = |path: PathBuf| {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        (path.strip_prefix(ROOT).expect("below the root").to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

fn is_generated(text: &str) -> bool {
    text.starts_with("// @generated")
}

#[test]
fn a_file_is_one_noun() {
    let long = files(&["rs"]).into_iter().filter(|(_, text)| !is_generated(text));
    let long = long.map(|(path, text)| (text.lines().count(), path)).filter(|(lines, _)| *lines > LINES_MAX);
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let mut left = Vec::new();
    for (path, text) in files(&["rs", "proto", "py", "toml", "sh"]) {
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            if words.any(|word| marks.contains(&word)) {
                left.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    assert!(left.is_empty(), "do it, or open an issue: {left:#?}");
}

#[test]
fn no_test_is_ignored() {
    let ignore = concat!("#[ign", "ore");
    let ignored: Vec<_> = files(&["rs"]).into_iter().filter(|(_, text)| text.contains(ignore)).collect();
    let ignored: Vec<_> = ignored.iter().map(|(path, _)| path).collect();
    assert!(ignored.is_empty(), "{ignored:?}");
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let forbids = "unsafe_code = \"forbid\"";
    for (path, text) in files(&["toml"]) {
        if !path.ends_with("Cargo.toml") || path.starts_with("codegen/fuzz") {
            continue; // a fuzz target is a macro of libFuzzer's
        }
        let inherits = text.contains("[lints]\nworkspace = true");
        assert!(inherits || text.contains(forbids), "{} has no `[lints]`", path.display());
    }
    let root = fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("Cargo.toml");
    assert!(root.contains(forbids), "Cargo.toml");
}

#[test]
fn the_readme_says_how_to_run_and_how_to_test() {
    let readme = fs::read_to_string(format!("{ROOT}/README.md")).expect("README.md");
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "README.md does not mention `{command}`");
    }
}

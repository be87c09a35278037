//! Schemas that are refused, each with exactly what is said about it.
//!
//! `UPDATE_REFUSED=1 cargo test -p subwire-build --test refused` rewrites the expected texts.

use std::fs;
use std::path::{Path, PathBuf};

/// Compiles one case and compares what is printed with the text beside it.
fn check(case: &Path) -> Result<(), String> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    let config = subwire_build::Config::new().rerun_if_changed(false).out_dir(out);
    let Err(error) = config.compile(&[case]) else {
        return Err(format!("{} was not refused", case.display()));
    };
    assert_eq!(format!("{error:?}"), error.to_string(), "a build script prints `Debug`");
    let actual = format!("{error}\n");
    let expected = case.with_extension("txt");
    if std::env::var_os("UPDATE_REFUSED").is_some() {
        fs::write(&expected, actual).map_err(|e| e.to_string())?;
        return Ok(());
    }
    let expected = fs::read_to_string(&expected).unwrap_or_default();
    if actual == expected { Ok(()) } else { Err(format!("expected:\n{expected}actual:\n{actual}")) }
}

#[test]
fn each_case_is_refused_with_its_text() {
    let entries = fs::read_dir("tests/refused").expect("the cases");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|case| case.is_dir() || case.extension().is_some_and(|extension| extension == "proto"));
    cases.sort();
    assert!(cases.len() > 20);
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn problems_are_data() {
    let case = ["tests/refused/same_subject.proto"];
    let error = subwire_build::Config::new().load(&case).expect_err("refused");
    assert_eq!(error.problems().len(), 1, "{error}");
    let problem = &error.problems()[0];
    assert_eq!(problem.path, Path::new(case[0]));
    assert_eq!((problem.line, problem.column, problem.rule), (7, 7, "RPC_SUBJECT_UNIQUE"));
}

#[test]
fn an_input_that_is_missing_is_named() {
    let error = subwire_build::Config::new().load(&["no/such.proto", "src"]).expect_err("refused");
    let rules: Vec<_> = error.problems().iter().map(|problem| problem.rule).collect();
    assert_eq!(rules, ["FILE_FOUND", "FILE_FOUND"]);
}

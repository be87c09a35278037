//! `cargo xtask schema`: proto/api.lock, what others rely on.

use std::{fmt, fs, io, path::Path};

use anyhow::{Context, Result, bail};
use subwire_build::{Config, lock};

use crate::program::{self, Failed};

/// Where the schemas are, and what is locked.
const SCHEMAS: &str = "proto";

const LOCK: &str = "proto/api.lock";

/// buf's, when it has something to say about a schema.
const EXIT_CODE: u8 = 100;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Schema {
    /// Writes nothing; fails when the lock is not what the schemas say.
    #[arg(long)]
    check: bool,
    /// The git revision whose lock must not be broken, `origin/main`; else it is the one on disk.
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
    /// Writes the lock even when it breaks what others rely on.
    #[arg(long, conflicts_with = "check")]
    accept_breaking: bool,
}

/// Something to tell about a line of the lock, as buf tells it.
#[derive(Debug)]
struct Finding<'a> {
    file: &'a str,
    /// From 1.
    line: usize,
    rule: &'static str,
    message: String,
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, message } = self;
        write!(f, "{file}:{line}:1: {rule}: {message}")
    }
}

impl Schema {
    /// What CI asks.
    pub(crate) fn check(against: Option<String>) -> Self {
        Self { check: true, against, ..Self::default() }
    }

    pub(crate) fn run(self) -> Result<()> {
        let schema = load(SCHEMAS)?;
        let lock = read_lock(LOCK, self.accept_breaking)?;
        let promised = match &self.against {
            Some(revision) => (format!("{revision}:{LOCK}"), git_show(revision)?),
            None => (LOCK.to_owned(), lock.clone()),
        };
        let mut malformed = malformed(LOCK, &lock);
        if self.against.is_some() {
            malformed.extend(self::malformed(&promised.0, &promised.1));
        }
        malformed.iter().for_each(|finding| println!("{finding}"));
        if !malformed.is_empty() {
            return failed("proto/api.lock has lines that no lock has");
        }
        let broken = broken(&promised.0, &promised.1, &schema);
        broken.iter().for_each(|finding| println!("{finding}"));
        if !broken.is_empty() && !self.accept_breaking {
            return failed(
                "the schemas break what others rely on; where that is meant, \
                 `cargo xtask schema --accept-breaking` writes the lock",
            );
        }
        if !self.check {
            return write_lock(&lock, &schema);
        }
        let stale = stale(&lock, &schema);
        stale.iter().for_each(|finding| println!("{finding}"));
        if stale.is_empty() {
            return Ok(());
        }
        failed("proto/api.lock is not what the schemas say: run `cargo xtask schema` and commit it")
    }
}

fn failed<T>(message: &str) -> Result<T> {
    Err(Failed { message: message.to_owned(), code: EXIT_CODE }.into())
}

fn load(schemas: impl AsRef<Path>) -> Result<subwire_build::Schema> {
    Config::new().load(&[schemas]).map_err(|error| {
        if error.problems().is_empty() {
            return error.into();
        }
        println!("{error}");
        Failed { message: "the schemas break rules".to_owned(), code: EXIT_CODE }.into()
    })
}

/// Without a lock nothing would be a break, so that the loss of one is the largest.
fn read_lock(path: impl AsRef<Path>, accept_breaking: bool) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context(LOCK),
        Err(_) if accept_breaking => Ok(String::new()),
        Err(_) => failed(
            "there is no proto/api.lock, and without one nothing is a break: `git checkout proto/api.lock` brings it \
             back, and `cargo xtask schema --accept-breaking` writes a first one",
        ),
    }
}

fn git_show(revision: &str) -> Result<String> {
    // To git that would be what is staged.
    if revision.trim().is_empty() {
        bail!("`--against` has no revision; write `--against origin/main`");
    }
    program::output("git", &["show", &format!("{revision}:{LOCK}")])
        .context("where git does not have the revision, fetch it first: `git fetch origin main`")
}

fn write_lock(old: &str, schema: &subwire_build::Schema) -> Result<()> {
    let new = lock::render(schema);
    if old == new {
        println!("{LOCK} is what the schemas say");
        return Ok(());
    }
    fs::write(LOCK, &new).context(LOCK)?;
    for change in lock::drift(old, schema) {
        println!("{change}");
    }
    println!("wrote {LOCK}");
    Ok(())
}

/// What is no line of a lock.
fn malformed<'a>(file: &'a str, lock: &str) -> Vec<Finding<'a>> {
    let findings = lock::malformed(lock).into_iter().map(|(line, text)| {
        let message = format!("`{text}` is no line of a lock; take either side and run `cargo xtask schema`");
        Finding { file, line, rule: "LOCK_MALFORMED", message }
    });
    findings.collect()
}

/// What of `old` is removed, renumbered or retyped. Alpha and beta versions promise nothing.
fn broken<'a>(file: &'a str, old: &str, schema: &subwire_build::Schema) -> Vec<Finding<'a>> {
    let findings = lock::check(old, schema).into_iter().map(|breakage| {
        let line = old.lines().position(|line| line.trim() == breakage.old).unwrap_or_default() + 1;
        Finding { file, line, rule: "WIRE_BREAKING", message: breakage.message }
    });
    findings.collect()
}

/// Where the lock and the schemas differ.
fn stale(old: &str, schema: &subwire_build::Schema) -> Vec<Finding<'static>> {
    let finding = |line, message: String| Finding { file: LOCK, line, rule: "LOCK_STALE", message };
    let changes = lock::drift(old, schema).into_iter().map(|change| {
        let (sign, text) = change.split_once(' ').unwrap_or_default();
        // Lines are sorted, so a new one has a place already.
        let is_here = |line: &str| !line.starts_with('#') && line.trim() >= text;
        let index = old.lines().position(is_here).unwrap_or_else(|| old.lines().count());
        let message = if sign == "-" { "not in the schemas" } else { "not in the lock" };
        finding(index + 1, format!("{message}: {text}"))
    });
    let mut findings: Vec<_> = changes.collect();
    // The same lines in another order, twice, or under another header: somebody wrote it.
    if findings.is_empty() && !old.lines().eq(lock::render(schema).lines()) {
        findings.push(finding(1, "written by hand".to_owned()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::ROOT;

    fn schemas() -> subwire_build::Schema {
        load(PathBuf::from(ROOT).join(SCHEMAS)).expect("schemas that keep the rules")
    }

    fn locked() -> String {
        read_lock(PathBuf::from(ROOT).join(LOCK), false).expect("a lock")
    }

    fn check(lock: &str, expected: &[&str]) {
        let schemas = schemas();
        let broken = broken(LOCK, lock, &schemas);
        let findings = if broken.is_empty() { stale(lock, &schemas) } else { broken };
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(findings, expected, "run `cargo xtask schema`, then commit proto/api.lock");
    }

    #[test]
    fn the_lock_is_what_the_schemas_say() {
        check(&locked(), &[]);
        check(&locked().replace('\n', "\r\n"), &[]);
    }

    #[test]
    fn what_was_promised_and_is_gone_is_a_break() {
        let mut lock = locked();
        let line = lock.lines().count() + 1;
        lock.push_str("value ai.llm.v1.ZZZ number=7\n");
        let expected = format!(
            "proto/api.lock:{line}:1: WIRE_BREAKING: value ai.llm.v1.ZZZ was removed; \
             keep it and mark it `deprecated`, or make a new version"
        );
        check(&lock, &[&expected]);
    }

    #[test]
    fn a_lock_that_is_gone_is_a_break() {
        let nowhere = PathBuf::from(ROOT).join("proto/no.lock");
        let error = read_lock(&nowhere, false).expect_err("no lock");
        assert_eq!(error.downcast_ref::<Failed>().map(|failed| failed.code), Some(EXIT_CODE), "{error}");
        assert_eq!(read_lock(&nowhere, true).expect("a first lock"), "");
    }

    #[test]
    fn the_marks_of_a_merge_are_no_lines() {
        let lock = locked();
        let line = lock.lines().count() + 1;
        let findings: Vec<_> =
            malformed(LOCK, &format!("{lock}<<<<<<< HEAD\n")).iter().map(ToString::to_string).collect();
        let expected = format!(
            "proto/api.lock:{line}:1: LOCK_MALFORMED: `<<<<<<< HEAD` is no line of a lock; \
             take either side and run `cargo xtask schema`"
        );
        assert_eq!(findings, [expected]);
        assert!(malformed(LOCK, &lock).is_empty());
    }

    #[test]
    fn a_revision_that_git_does_not_have_says_what_to_do() {
        for (revision, cure) in [("", "write `--against origin/main`"), ("no-such-revision", "`git fetch origin main`")]
        {
            let error = format!("{:#}", git_show(revision).expect_err(revision));
            assert!(error.contains(cure), "{error}");
        }
    }

    #[test]
    fn what_is_new_has_to_be_locked() {
        let lock = locked();
        let (index, first) = lock.lines().enumerate().find(|(_, line)| !line.starts_with('#')).expect("a line");
        check(
            &lock.replacen(&format!("{first}\n"), "", 1),
            &[&format!("proto/api.lock:{}:1: LOCK_STALE: not in the lock: {first}", index + 1)],
        );
    }

    #[test]
    fn a_lock_that_was_written_by_hand_is_noticed() {
        let lock = locked();
        let last = lock.lines().last().expect("a line");
        check(&format!("{lock}{last}\n"), &["proto/api.lock:1:1: LOCK_STALE: written by hand"]);
    }
}

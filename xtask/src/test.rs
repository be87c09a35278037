//! `cargo xtask test`: every test there is.

use anyhow::Result;

use crate::{nats, postgres, program};

/// What is built, always the same: other features would build everything a second time.
const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Test {
    /// Handed on to `cargo nextest run`, or to `cargo test` where that is not installed: a filter,
    /// mostly. With any of them, the examples in the documentation are left out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        let mut servers = vec![("NATS_SERVER", nats::ensure()?)];
        match postgres::ensure() {
            Ok(folder) => servers.push(("POSTGRES_BIN", folder)),
            // The tests that need one fail without it. The others need not wait for that.
            Err(error) => eprintln!("warning: {error:#}"),
        }
        // Without `--tests`, `cargo test` would run the documentation too, now and again below.
        let runner: &[&str] = if program::has_cargo("nextest") { &["nextest", "run"] } else { &["test", "--tests"] };
        let mut tests = program::cargo(runner);
        // One run tells everything that fails.
        tests.args(EVERYTHING).arg("--no-fail-fast").args(&self.arguments).envs(servers.clone());
        program::run(&mut tests)?;
        if !self.arguments.is_empty() {
            return Ok(());
        }
        program::run(program::cargo(&["test", "--doc"]).args(EVERYTHING).envs(servers))
    }
}

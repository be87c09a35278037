//! `cargo xtask bench`: what a call costs.

use anyhow::Result;

use crate::{nats, program};

/// A workspace of its own, so that nobody who does not measure builds what it compares with.
pub(crate) const MANIFEST: [&str; 2] = ["--manifest-path", "bench/Cargo.toml"];

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Handed on to the benchmarks: which of them, and how long. `-- --help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let server = nats::ensure()?;
        let mut bench = program::cargo(&["run", "--release"]);
        bench.args(MANIFEST).arg("--").args(self.arguments).env("NATS_SERVER", server);
        program::run(&mut bench)
    }
}

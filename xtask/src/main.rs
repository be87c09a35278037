//! `cargo xtask`: the commands of this workspace, one a file.
//!
//! They need Rust and Python, no other tool. All of them work at the root of the workspace,
//! wherever they are called.

mod bench;
mod ci;
mod demo;
mod nats;
mod postgres;
mod program;
mod schema;
mod test;
#[cfg(test)]
mod tests;

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

use crate::program::Failed;

/// The root of the workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The commands of this workspace.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Xtask {
    /// Runs a service and its caller, or other examples, on the embedded bus: nothing to install.
    Demo(demo::Demo),
    /// Runs all tests, on the embedded bus, a real nats-server and a real PostgreSQL.
    Test(test::Test),
    /// Writes proto/api.lock, or checks it.
    Schema(schema::Schema),
    /// Measures calls and streams beside what they cost by hand and with tonic.
    Bench(bench::Bench),
    /// Prints where nats-server is, and installs it if need be.
    Nats,
    /// Does what has to pass before a change goes in, step by step.
    Ci(ci::Ci),
}

impl Xtask {
    fn run(self) -> Result<()> {
        env::set_current_dir(ROOT).context(ROOT)?;
        match self {
            Self::Demo(demo) => demo.run(),
            Self::Test(test) => test.run(),
            Self::Schema(schema) => schema.run(),
            Self::Bench(bench) => bench.run(),
            Self::Nats => {
                println!("{}", nats::ensure()?.display());
                Ok(())
            }
            Self::Ci(ci) => ci.run(),
        }
    }
}

fn main() -> ExitCode {
    let Err(error) = Xtask::parse().run() else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    let code = error.downcast_ref::<Failed>().map_or(1, |failed| failed.code);
    ExitCode::from(code)
}

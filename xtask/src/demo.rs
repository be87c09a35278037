//! `cargo xtask demo`: the examples that end by themselves, on the embedded bus or on NATS.

use std::env;

use anyhow::Result;

use crate::{nats::Server, program};

/// What `cargo xtask demo` runs when nobody says: the main job.
const DEFAULT: &str = "ai_integration";

/// All that need nothing beside them, from the smallest on.
const PROGRAMS: [&str; 7] =
    ["hello", "streaming", DEFAULT, "agent_messaging", "agent_squad", "prioritization", "ml_pipeline"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Demo {
    /// Which examples; `ai_integration` when none is named.
    #[arg(value_parser = PROGRAMS)]
    programs: Vec<String>,
    /// Runs all examples.
    #[arg(long, conflicts_with = "programs")]
    all: bool,
    /// Starts a nats-server for them, with a store that is thrown away.
    #[arg(long)]
    nats: bool,
}

impl Demo {
    /// What has to work before a change goes in: everything, on both buses.
    pub(crate) fn everything() -> Result<()> {
        for nats in [false, true] {
            Self { all: true, nats, ..Self::default() }.run()?;
        }
        Ok(())
    }

    pub(crate) fn run(self) -> Result<()> {
        let named = self.programs.iter().map(String::as_str).collect();
        let programs = match (self.all, self.programs.is_empty()) {
            (true, _) => PROGRAMS.to_vec(),
            (false, true) => vec![DEFAULT],
            (false, false) => named,
        };
        let server = self.nats.then(Server::start).transpose()?;
        let settings = match &server {
            Some(server) => vec![("MESSAGE_BUS", "nats"), ("NATS_URL", server.url())],
            None => vec![("MESSAGE_BUS", "memory")],
        };
        programs.iter().try_for_each(|program| {
            if programs.len() > 1 {
                println!("\n-- {program}");
            }
            run(program, &settings)
        })
    }
}

fn run(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    let mut demo = program::cargo(&["run", "--quiet", "--package", "examples", "--bin", name]);
    // What is set for something else, a NATS_URL most of all, would contradict these.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("NATS_") {
            demo.env_remove(name);
        }
    }
    demo.envs(settings.iter().copied());
    program::run(&mut demo)
}

//! `cargo xtask ci`: what has to pass before a change goes in.

use std::time::Instant;

use anyhow::Result;

use crate::{demo::Demo, program, schema::Schema, test::Test};

#[derive(Debug, clap::Args)]
pub(crate) struct Ci {
    /// Looks at the benchmarks too, which are a workspace of their own and take minutes more.
    #[arg(long)]
    bench: bool,
    /// The git revision whose schemas must not be broken, `origin/main`: what a change of the lock itself may hide.
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
}

struct Step {
    name: &'static str,
    /// What one types to do only this.
    command: &'static str,
    run: Run,
}

enum Run {
    /// As the command says.
    Cargo,
    /// The command is ours.
    Xtask(fn(&Ci) -> Result<()>),
    /// The command needs a tool that may be missing.
    Tool(fn() -> Result<Outcome>),
}

enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// The quick ones first. They build the same packages with the same features wherever they can, so
/// that one uses what another has built.
const STEPS: [Step; 7] = [
    Step { name: "format", command: "cargo fmt --all --check", run: Run::Cargo },
    Step { name: "schema", command: "cargo xtask schema --check", run: Run::Xtask(Ci::schema) },
    Step { name: "dependencies", command: "cargo deny check", run: Run::Tool(dependencies) },
    Step {
        name: "lint",
        command: "cargo clippy --workspace --all-targets --all-features -- -D warnings",
        run: Run::Cargo,
    },
    Step {
        name: "docs",
        command: "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps",
        run: Run::Cargo,
    },
    Step { name: "tests", command: "cargo xtask test", run: Run::Xtask(|_| Test::default().run()) },
    Step {
        name: "demo",
        command: "cargo xtask demo --all && cargo xtask demo --all --nats",
        run: Run::Xtask(|_| Demo::everything()),
    },
];

const BENCH: Step = Step {
    name: "bench",
    command: "cargo clippy --manifest-path bench/Cargo.toml --all-targets -- -D warnings",
    run: Run::Cargo,
};

impl Ci {
    pub(crate) fn run(self) -> Result<()> {
        let start = Instant::now();
        let mut report = Report::default();
        let result = STEPS.iter().chain(self.bench.then_some(&BENCH)).try_for_each(|step| report.follow(step, &self));
        report.print(start.elapsed().as_secs());
        result
    }

    fn schema(&self) -> Result<()> {
        Schema::check(self.against.clone()).run()
    }
}

impl Step {
    fn run(&self, ci: &Ci) -> Result<Outcome> {
        match self.run {
            Run::Cargo => {
                let (variables, arguments) = self.command.split_once("cargo ").unwrap_or_default();
                let arguments: Vec<_> = arguments.split(' ').collect();
                let variables = variables.split(' ').filter_map(|variable| variable.split_once('='));
                program::run(program::cargo(&arguments).envs(variables))?;
            }
            Run::Xtask(run) => run(ci)?,
            Run::Tool(run) => return run(),
        }
        Ok(Outcome::Passed)
    }
}

/// A line for each step that was begun.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    /// Runs a step between its name and its time.
    fn follow(&mut self, step: &Step, ci: &Ci) -> Result<()> {
        println!("\n== {}: {}", step.name, step.command);
        let start = Instant::now();
        let result = step.run(ci);
        let outcome = match &result {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        let line = format!("{:<13}{:>6.1} s  {outcome}", step.name, start.elapsed().as_secs_f32());
        println!("-- {line}");
        self.0.push(line);
        result.map(drop)
    }

    fn print(&self, seconds: u64) {
        println!("\n== all of it took {} min {} s", seconds / 60, seconds % 60);
        for line in &self.0 {
            println!("   {line}");
        }
    }
}

/// What the advisories are read from is on the network; the rest is on disk.
fn dependencies() -> Result<Outcome> {
    if !program::has_cargo("deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    program::run(&mut program::cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"]))?;
    if program::run(&mut program::cargo(&["deny", "fetch", "db"])).is_err() {
        return Ok(Outcome::Skipped("advisories, as their database cannot be fetched; the rest passed"));
    }
    program::run(&mut program::cargo(&["deny", "--all-features", "check", "--disable-fetch", "advisories"]))?;
    Ok(Outcome::Passed)
}

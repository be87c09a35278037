//! `cargo xtask demo`: the main job on the embedded bus.

use std::env;

use anyhow::Result;

use crate::program;

pub(crate) fn run() -> Result<()> {
    let mut demo = program::cargo(&["run", "--quiet", "--package", "examples", "--bin", "ai_integration"]);
    demo.env("MESSAGE_BUS", "memory");
    // A NATS_URL that is set for something else would contradict it.
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("NATS_") {
            demo.env_remove(name);
        }
    }
    program::run(&mut demo)
}

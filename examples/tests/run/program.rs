//! Programs as one starts them in a shell.

use std::{process::Output, time::Duration};

use tokio::{process::Command, time::timeout};

/// No program takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A program with these settings and no others.
pub(crate) fn program(path: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    command.env_clear().envs(settings.iter().copied()).kill_on_drop(true);
    command
}

pub(crate) async fn run(path: &str, settings: &[(&str, &str)]) -> Output {
    let output = program(path, settings).output();
    timeout(PATIENCE, output).await.expect("the program ends by itself").expect("the program runs")
}

/// Runs a program that must succeed, silently on standard error, and returns what it printed.
pub(crate) async fn printed(path: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let output = run(path, settings).await;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{path}: {}\n{text}\n{errors}", output.status);
    assert_eq!(errors, "", "{path}");
    text.lines().map(str::to_owned).collect()
}

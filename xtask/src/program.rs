//! The programs that commands run, cargo most of all.

use std::{
    env,
    ffi::OsString,
    fmt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Something that was looked at and is not as it has to be. `code` is what this program ends with.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl std::error::Error for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The cargo that runs us: with rustup there may be several.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// Whether `cargo <tool>` is there.
pub(crate) fn has_cargo(tool: &str) -> bool {
    let mut command = cargo(&[tool, "--version"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a program to its end; fails with its exit code.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("`{line}` does not start"))?;
    if status.success() {
        return Ok(());
    }
    // None: a signal ended it, and no code says which.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failed { message: format!("`{line}` failed: {status}"), code }.into())
}

/// What a program prints; fails with what it complains about.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).output().with_context(|| format!("`{program}` does not start"))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", line(&command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What one would type.
fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_stem().unwrap_or_default();
    let arguments = command.get_args().map(OsString::from);
    let words: Vec<_> = std::iter::once(OsString::from(program)).chain(arguments).collect();
    words.join(" ".as_ref()).to_string_lossy().into_owned()
}

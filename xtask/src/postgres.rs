//! A PostgreSQL for the tests of the archive: found, or installed where that is ours to do.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::program;

/// Where Debian and its children put the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What to do where we cannot.
const HINT: &str = "`apt-get install postgresql`, or name the folder of initdb in POSTGRES_BIN";

/// The folder with initdb and postgres: `POSTGRES_BIN`, that of `PATH`, or Debian's, which is installed if
/// need be.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        return match is_one(&folder) {
            true => Ok(folder),
            false => bail!("POSTGRES_BIN={} has no initdb and postgres", folder.display()),
        };
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    install().with_context(|| format!("no PostgreSQL: {HINT}"))?;
    find().with_context(|| format!("no PostgreSQL, though it is installed: {HINT}"))
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = env::split_paths(&path).find(|folder| is_one(folder)) {
        return Some(folder);
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let versions = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
    let folders = versions.map(|version| (version, Path::new(DEBIAN).join(version.to_string()).join("bin")));
    folders.filter(|(_, folder)| is_one(folder)).max().map(|(_, folder)| folder)
}

fn is_one(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file())
}

/// Root may, and a CI, where the machine is there for this. Elsewhere somebody wants to be asked.
fn install() -> Result<()> {
    let is_root = program::output("id", &["-u"])?.trim() == "0";
    let sudo: &[&str] = match (is_root, env::var_os("CI").is_some()) {
        (true, _) => &[],
        (false, true) => &["sudo"],
        (false, false) => bail!("only root can install it"),
    };
    println!("installing postgresql");
    let apt = |arguments: &[&str]| {
        let words: Vec<_> =
            sudo.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).chain(arguments).collect();
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        program::run(Command::new(first).args(rest))
    };
    apt(&["update", "-qq"])?;
    apt(&["install", "-qq", "-y", "--no-install-recommends", "postgresql"])
}

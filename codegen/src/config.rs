//! What a `build.rs` says.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::check;
use crate::error::{Error, Problem};
use crate::externs::Externs;
use crate::model::Schema;
use crate::parse;
use crate::render::{self, Files};
use crate::source::Sources;

/// Compiles with other than the usual settings.
///
/// ```no_run
/// # fn main() -> Result<(), subwire_build::Error> {
/// subwire_build::Config::new()
///     .include("vendor/proto")
///     .compile(&["proto"])
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Config {
    out_dir: Option<PathBuf>,
    includes: Vec<PathBuf>,
    extern_paths: Vec<(String, String)>,
    no_rerun: bool,
}

impl Config {
    /// The usual settings: output to `OUT_DIR`, imports from the inputs' own roots.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes to another directory than `OUT_DIR`; it is created when missing.
    pub fn out_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(directory.into());
        self
    }

    /// Looks for imports in this directory too.
    ///
    /// The files of the inputs come first, then the includes in the order in which they were added, then what else
    /// lies below the roots of the inputs. A single file below an include is named from the first such one.
    pub fn include(mut self, directory: impl Into<PathBuf>) -> Self {
        self.includes.push(directory.into());
        self
    }

    /// Uses types that exist in Rust already: `extern_path("ai.common.v1", "::common::ai::common::v1")`.
    ///
    /// `proto` is a package or a full type name; nothing is generated for what it covers.
    pub fn extern_path(mut self, proto: impl AsRef<str>, rust: impl Into<String>) -> Self {
        let proto = format!(".{}", proto.as_ref().trim_matches('.'));
        self.extern_paths.push((proto, rust.into()));
        self
    }

    /// Whether to tell cargo which files matter (`cargo:rerun-if-changed`); it does by default.
    pub fn rerun_if_changed(mut self, yes: bool) -> Self {
        self.no_rerun = !yes;
        self
    }

    /// Reads and checks `.proto` files without writing anything.
    pub fn load(&self, inputs: &[impl AsRef<Path>]) -> Result<Schema, Error> {
        let inputs: Vec<_> = inputs.iter().map(|input| input.as_ref().to_owned()).collect();
        let sources = Sources::find(&inputs, &self.includes)?;
        let (pool, problems) = parse::parse(&sources);
        check::check(pool, sources, Externs::new(&self.extern_paths), problems)
    }

    /// Generates code for files, or for all files in directories.
    ///
    /// A file whose content would stay the same is not touched.
    pub fn compile(&self, inputs: &[impl AsRef<Path>]) -> Result<(), Error> {
        if !self.no_rerun {
            // First, so that a broken schema is looked at again once it changed.
            for input in inputs {
                println!("cargo:rerun-if-changed={}", input.as_ref().display());
            }
            for include in &self.includes {
                println!("cargo:rerun-if-changed={}", include.display());
            }
        }
        let schema = self.load(inputs)?;
        if !self.no_rerun {
            for path in schema.paths() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
        let out_dir = match (&self.out_dir, env::var_os("OUT_DIR")) {
            (Some(directory), _) => directory.clone(),
            (None, Some(directory)) => PathBuf::from(directory),
            (None, None) => {
                let message = "OUT_DIR is not set, which cargo does for build.rs; \
                               call `Config::out_dir`";
                let path = Path::new("build.rs");
                let problem = Problem::of_file(path, "OUT_DIR", message);
                return Err(Error::refused(vec![problem]));
            }
        };
        write(&render::render(&schema)?, &out_dir)
    }
}

fn write(files: &Files, directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|e| Error::io(directory, e))?;
    for (name, content) in files {
        let path = directory.join(name);
        match fs::read(&path) {
            Ok(old) if old == *content => continue,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(&path, error)),
        }
        fs::write(&path, content).map_err(|e| Error::io(&path, e))?;
    }
    Ok(())
}

#![doc = include_str!("../README.md")]

mod builtin;
mod check;
mod config;
mod docs;
mod emit;
mod error;
mod externs;
pub mod lock;
mod messages;
pub mod model;
mod naming;
mod options;
mod parse;
mod pattern;
mod place;
mod render;
mod screen;
mod source;

use std::path::Path;

pub use crate::config::Config;
pub use crate::error::{Error, Problem};
pub use crate::model::Schema;

/// All files that would be generated for an encoded `FileDescriptorSet`, by name.
///
/// For fuzzing: whatever the bytes are, it returns, and no name leads out of a directory.
#[doc(hidden)]
pub fn generate_from_descriptors(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let pool = parse::decode(bytes)?;
    let externs = externs::Externs::new(&[]);
    let schema = check::check(pool, source::Sources::default(), externs, Vec::new())?;
    Ok(render::render(&schema)?.into_iter().collect())
}

/// Generates code for `.proto` files, or for all of them in directories, into `OUT_DIR`.
pub fn compile(inputs: &[impl AsRef<Path>]) -> Result<(), Error> {
    Config::new().compile(inputs)
}

//! What is true of the whole workspace, so that `cargo test` notices when it no longer is.

mod edges;
mod files;

//! Generates the code of every schema in this directory.

fn main() -> Result<(), subwire_build::Error> {
    subwire_build::compile(&["agents", "ai", "ml", "ops", "testing"])
}

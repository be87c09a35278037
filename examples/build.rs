//! Generates the code of the schemas in `proto`.

fn main() -> Result<(), subwire_build::Error> {
    subwire_build::compile(&["proto"])
}

//! The same schema for both sides of every comparison.

fn main() -> anyhow::Result<()> {
    subwire_build::compile(&["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("tonic");
    std::fs::create_dir_all(&out)?;
    let files = protox::compile(["bench/echo/v1/echo.proto"], ["proto"])?;
    tonic_prost_build::configure().out_dir(out).compile_fds(files)?;
    Ok(())
}

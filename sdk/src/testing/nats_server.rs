//! [`NatsServer`]: a real nats-server, for one test.

use std::{
    env,
    ffi::OsStr,
    fmt::Write,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long a server may take to start; a cluster elects leaders in that time.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks at a server that starts.
const START_POLL: Duration = Duration::from_millis(10);

/// The oldest server in `PATH` that the tests are meant for.
const VERSION_MIN: (u32, u32) = (2, 14);

/// Ports are taken from here: below those that the system gives to outgoing connections, as a
/// client that dials a dead server on one of those may reach itself, and then holds the port.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// What the disk of a JetStream has room for, in bytes.
const ROOM: u64 = 16 << 30;

/// A nats-server on a port and with a store of its own. Killed, with its store, when dropped.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use subwire::testing::NatsServer;
///
/// let mut server = NatsServer::start().await?;
/// let url = server.url();
/// server.restart().await?; // the same port, the same store
/// assert_eq!(server.url(), url);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NatsServer {
    settings: NatsServerBuilder,
    port: u16,
    monitor_port: u16,
    cluster: Option<Member>,
    folder: Arc<TempDir>,
    process: Option<Child>,
}

/// One of several servers.
#[derive(Debug, Clone)]
struct Member {
    index: usize,
    route_ports: Vec<u16>,
}

/// What a [`NatsServer`] is started with.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct NatsServerBuilder {
    /// What the disk of its JetStream has room for, in bytes.
    jetstream: Option<u64>,
    config: String,
}

impl NatsServerBuilder {
    /// Has JetStream, with a limit that no test reaches. nats-server's own default is three quarters of
    /// what the disk happens to have left, and a test would pass or fail by that.
    pub fn jetstream(self) -> Self {
        self.jetstream_with_bytes(ROOM)
    }

    /// Has JetStream on a disk that has room for so many bytes.
    pub fn jetstream_with_bytes(mut self, bytes: u64) -> Self {
        self.jetstream = Some(bytes);
        self
    }

    /// Adds lines to the configuration file: authorization, TLS, limits.
    pub fn config(mut self, lines: impl AsRef<str>) -> Self {
        self.config.push_str(lines.as_ref());
        self.config.push('\n');
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// `NotFound` when there is no nats-server, else what it said before it ended.
    pub async fn start(self) -> io::Result<NatsServer> {
        let mut server = NatsServer::new(self, free_port()?, None)?;
        server.spawn().await?;
        Ok(server)
    }

    /// Starts `size` servers with JetStream that know one another, and waits until they have a leader.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn cluster(mut self, size: usize) -> io::Result<Vec<NatsServer>> {
        self.jetstream.get_or_insert(ROOM);
        let route_ports = (0..size).map(|_| free_port()).collect::<io::Result<Vec<_>>>()?;
        let mut servers = (0..size)
            .map(|index| {
                let member = Member { index, route_ports: route_ports.clone() };
                NatsServer::new(self.clone(), free_port()?, Some(member))
            })
            .collect::<io::Result<Vec<_>>>()?;
        // All at once: one alone would never be ready.
        for server in &mut servers {
            server.launch()?;
        }
        for server in &mut servers {
            server.ready().await?;
        }
        Ok(servers)
    }
}

impl NatsServer {
    /// Starts a server without authorization, TLS or JetStream.
    ///
    /// # Errors
    /// As [`NatsServerBuilder::start`].
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// For a server with authorization, TLS or JetStream.
    pub fn builder() -> NatsServerBuilder {
        NatsServerBuilder::default()
    }

    /// Starts `size` servers with JetStream that know one another.
    ///
    /// # Errors
    /// As [`NatsServerBuilder::start`].
    pub async fn cluster(size: usize) -> io::Result<Vec<Self>> {
        Self::builder().cluster(size).await
    }

    fn new(settings: NatsServerBuilder, port: u16, cluster: Option<Member>) -> io::Result<Self> {
        let folder = Arc::new(tempfile::Builder::new().prefix("nats-server-").tempdir()?);
        Ok(Self { settings, port, monitor_port: free_port()?, cluster, folder, process: None })
    }

    /// `nats://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// The URL of a user: `nats://<user>:<password>@127.0.0.1:<port>`.
    pub fn client_url(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@{}", self.address())
    }

    /// `127.0.0.1:<port>`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps its configuration, log and store. Gone when the server is dropped.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("nats.log")).unwrap_or_default()
    }

    /// Reads a page of its monitoring port, such as `/connz?subs=1`: JSON.
    ///
    /// # Errors
    /// What the socket said, `Other` for an answer that is not 200.
    pub async fn monitor(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.monitor_port)).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("{path}: {answer}"))),
        }
    }

    /// Kills it (SIGKILL): connections break, and what was not synced may be lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only if it has ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// What the system said.
    pub fn stop(&mut self) -> io::Result<()> {
        self.signal(Signal::Terminate)?;
        match self.process.take() {
            Some(mut process) => process.wait().map(drop),
            None => Ok(()),
        }
    }

    /// Kills it, if it runs, and starts it again with the same port and store.
    ///
    /// # Errors
    /// As [`NatsServerBuilder::start`].
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill();
        self.spawn().await
    }

    /// Replaces the lines of [`NatsServerBuilder::config`] and has them read (SIGHUP), as far as a
    /// running server can change.
    ///
    /// # Errors
    /// What the system said.
    pub fn reload(&mut self, lines: impl Into<String>) -> io::Result<()> {
        self.settings.config = lines.into();
        self.write_config()?;
        self.signal(Signal::Reload)
    }

    /// Stops it from running (SIGSTOP), as if the machine had gone: connections stay, and are silent.
    ///
    /// # Errors
    /// What the system said.
    pub fn suspend(&self) -> io::Result<()> {
        self.signal(Signal::Suspend)
    }

    /// Lets it run again (SIGCONT).
    ///
    /// # Errors
    /// What the system said.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::Resume)
    }

    /// Asks it to send its clients away (SIGUSR2, lame duck mode) and to end then.
    ///
    /// # Errors
    /// What the system said.
    pub fn lame_duck(&self) -> io::Result<()> {
        self.signal(Signal::LameDuck)
    }

    async fn spawn(&mut self) -> io::Result<()> {
        self.launch()?;
        self.ready().await
    }

    fn launch(&mut self) -> io::Result<()> {
        self.write_config()?;
        let process = Command::new(find()?)
            .arg("-c")
            .arg(self.folder().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it takes connections, and has a leader if it needs one.
    async fn ready(&mut self) -> io::Result<()> {
        let end = Instant::now() + START_TIMEOUT;
        loop {
            let ended = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                return Err(io::Error::other(format!("nats-server ended with {status}:\n{}", self.log())));
            }
            // The socket alone is there before JetStream is.
            let health = timeout(START_TIMEOUT, self.monitor("/healthz")).await;
            if matches!(health, Ok(Ok(_))) && TcpStream::connect(self.address()).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > end {
                let message = format!("nats-server is not ready after {START_TIMEOUT:?}:\n{}", self.log());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            sleep(START_POLL).await;
        }
    }

    fn write_config(&self) -> io::Result<()> {
        let folder = self.folder();
        let index = self.cluster.as_ref().map_or(0, |member| member.index);
        let mut config = format!(
            "server_name: test-{index}\nlisten: {}\nhttp: 127.0.0.1:{}\nlog_file: {:?}\n",
            self.address(),
            self.monitor_port,
            folder.join("nats.log"),
        );
        if let Some(room) = self.settings.jetstream {
            let store = folder.join("store");
            let _ = writeln!(config, "jetstream {{ store_dir: {store:?}, max_file_store: {room} }}");
        }
        if let Some(Member { index, route_ports }) = &self.cluster {
            let routes: Vec<_> = route_ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
            let (own, routes) = (route_ports[*index], routes.join(", "));
            let _ = writeln!(config, "cluster {{ name: test, listen: \"127.0.0.1:{own}\", routes: [{routes}] }}");
        }
        config.push_str(&self.settings.config);
        fs::write(folder.join("nats.conf"), config)
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) -> io::Result<()> {
        use rustix::process::{Pid, Signal as Number, kill_process};
        let pid = self.process.as_ref().and_then(|process| Pid::from_raw(process.id().cast_signed()));
        let Some(pid) = pid else { return Err(io::Error::other("the server does not run")) };
        let number = match signal {
            Signal::Terminate => Number::TERM,
            Signal::Suspend => Number::STOP,
            Signal::Resume => Number::CONT,
            Signal::Reload => Number::HUP,
            Signal::LameDuck => Number::USR2,
        };
        Ok(kill_process(pid, number)?)
    }

    #[cfg(not(unix))]
    fn signal(&self, signal: Signal) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{signal:?} is a signal, and this system has none")))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Terminate,
    Suspend,
    Resume,
    Reload,
    LameDuck,
}

/// Where nats-server is: `NATS_SERVER`, `PATH`, or where `cargo xtask nats` puts it.
fn find() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("NATS_SERVER") {
        return Ok(path.into());
    }
    let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
    if is_new_enough(OsStr::new(&name)) {
        return Ok(name.into());
    }
    let starts = [env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_dir().ok()];
    let folders = starts.iter().flatten().flat_map(|start| start.ancestors());
    let installed = folders.map(|folder| folder.join("target/tools/bin").join(&name)).find(|path| path.is_file());
    installed.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no nats-server: `cargo xtask nats` installs one"))
}

fn is_new_enough(program: &OsStr) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    // `nats-server: v2.15.1`
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.rsplit('v').next().unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.trim().parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= VERSION_MIN)
}

fn free_port() -> io::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let mut tries = (0..1_000).map(|_| rand::random_range(PORTS));
    tries.find(is_free).ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port"))
}

//! [`NatsOptions`]: how to reach NATS.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::ConnectOptions;
use tokio::sync::Semaphore;

use super::{
    address::Addresses,
    credentials::{Credentials, Secret, unreadable},
};
use crate::{Code, Result, Status, limits, status::reason, wire::subject::Subject};

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often async-nats asks whether the server is there; two unanswered pings end the connection.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The least time for one server of several, so that a long list still reaches each.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);

/// How to reach NATS. A text is a list of server URLs: `nats://a:4222,nats://b:4222`.
///
/// Nothing is read or checked before it is used: what is wrong is an `INVALID_ARGUMENT` of
/// [`Bus::nats`](super::super::Bus::nats). `Debug` shows no secret.
///
/// ```
/// use std::time::Duration;
/// use subwire::bus::NatsOptions;
///
/// let options = NatsOptions::new("tls://nats.example.com")
///     .credentials_file("service.creds")
///     .connect_timeout(Duration::from_secs(2));
/// ```
#[derive(Clone)]
#[must_use]
pub struct NatsOptions {
    pub(super) servers: Vec<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) tls_required: bool,
    pub(super) tls_first: bool,
    pub(super) name: Option<String>,
    pub(super) inbox_prefix: String,
    pub(super) connect_timeout: Duration,
    pub(super) retry_initial_connect: bool,
    pub(super) subscription_capacity: usize,
}

impl NatsOptions {
    /// The servers to connect to, one URL or several with commas between.
    ///
    /// `nats://user:password@host` and `nats://token@host` say who connects (percent-encoded),
    /// `tls://host` insists on TLS. Name every server that is there at the start: those that join
    /// the cluster later are not learnt before a reconnect.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: vec![servers.into()],
            credentials: None,
            ca: None,
            certificate: None,
            tls_required: false,
            tls_first: false,
            name: None,
            inbox_prefix: "_INBOX".to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            retry_initial_connect: false,
            subscription_capacity: limits::SUBSCRIPTION_MESSAGES,
        }
    }

    /// Other servers than those of [`new`](Self::new).
    pub fn servers<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.servers = urls.into_iter().map(Into::into).collect();
        self
    }

    /// Proves with a user name and a password who connects. The last way that was named counts.
    pub fn user_and_password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.with_credentials(Credentials::UserAndPassword(Secret(user.into()), Secret(password.into())))
    }

    /// Proves with a token who connects.
    pub fn token(self, token: impl Into<String>) -> Self {
        self.with_credentials(Credentials::Token(Secret(token.into())))
    }

    /// Proves with the seed of a user nkey (`SU…`) who connects. The seed is not sent.
    pub fn nkey(self, seed: impl Into<String>) -> Self {
        self.with_credentials(Credentials::Nkey(Secret(seed.into())))
    }

    /// As [`nkey`](Self::nkey), with the seed in a file.
    pub fn nkey_file(self, path: impl Into<PathBuf>) -> Self {
        self.with_credentials(Credentials::NkeyFile(path.into()))
    }

    /// Proves with the text of a `.creds` file, a JWT and a seed, who connects.
    pub fn credentials(self, text: impl Into<String>) -> Self {
        self.with_credentials(Credentials::Text(Secret(text.into())))
    }

    /// As [`credentials`](Self::credentials), with the text in a file, which is read again when the
    /// server refuses it: it may be renewed in place.
    pub fn credentials_file(self, path: impl Into<PathBuf>) -> Self {
        self.with_credentials(Credentials::File(path.into()))
    }

    pub(super) fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Trusts the certificates in this PEM file, instead of those of the system.
    pub fn tls_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows the server this certificate, with its key: both PEM files.
    pub fn tls_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Refuses a server that offers no TLS.
    pub fn tls_required(mut self) -> Self {
        self.tls_required = true;
        self
    }

    /// Begins with TLS, for a server that is set to `handshake_first`.
    pub fn tls_first(mut self) -> Self {
        self.tls_first = true;
        self
    }

    /// What the server calls the connection. Default: the name of the program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What the subjects of replies start with. Default: `_INBOX`, which every client of an
    /// account shares; with a prefix of its own, a client needs no permission for those of others.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = prefix.into();
        self
    }

    /// How long the first connection may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Goes on trying when the first connection fails, instead of giving up. Until it is there
    /// every call fails with `UNAVAILABLE`.
    pub fn retry_initial_connect(mut self) -> Self {
        self.retry_initial_connect = true;
        self
    }

    /// Messages that each subscription of the connection buffers before it drops some: at least 1. Default:
    /// 65,536.
    ///
    /// It holds for your subscriptions and for those of the bus itself. What asks a stream for messages asks
    /// for half of it at most, and only gets slower: workers, replays, watches of keys, reads of objects. A
    /// pipeline leaves as many unacknowledged. All else arrives as it is sent: requests to a server, replies and
    /// acknowledgements, and up to 65,536 frames of each stream. Where more come at once than are buffered, calls
    /// and publishes end with `DEADLINE_EXCEEDED` and streams with `UNAVAILABLE` (`STREAM_GAP`).
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        // A channel of tokio holds no more.
        self.subscription_capacity = messages.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Checks what can be checked without a server.
    pub(super) fn addresses(&self) -> Result<Addresses> {
        if self.subscription_capacity == 0 {
            return Err(invalid_config("subscription_capacity is 0: a subscription needs room for a message"));
        }
        Subject::new(self.inbox_prefix.as_str())
            .map_err(|status| invalid_config(format!("inbox prefix: {}", status.message())))?;
        for path in self.ca.iter().chain(self.certificate.iter().flat_map(|(certificate, key)| [certificate, key])) {
            std::fs::metadata(path).map_err(|error| unreadable(&path.display().to_string(), &error))?;
        }
        let addresses = Addresses::parse(&self.servers)?;
        match addresses.credentials.is_some() && self.credentials.is_some() {
            true => {
                Err(invalid_config("there are credentials in the server URL and beside it: write one of them only"))
            }
            false => Ok(addresses),
        }
    }

    /// As async-nats has it, but for what the supervisor adds.
    pub(super) fn client_options(&self, addresses: &Addresses) -> Result<ConnectOptions> {
        let attempts = u32::try_from(addresses.servers.len()).unwrap_or(u32::MAX);
        let mut options = ConnectOptions::new()
            .name(self.name.clone().unwrap_or_else(program_name))
            .custom_inbox_prefix(&self.inbox_prefix)
            .ping_interval(PING_INTERVAL)
            .connection_timeout((self.connect_timeout / attempts).max(ATTEMPT_MIN))
            .subscription_capacity(self.subscription_capacity)
            .require_tls(self.tls_required || addresses.tls);
        if let Some(credentials) = addresses.credentials.as_ref().or(self.credentials.as_ref()) {
            options = credentials.apply(options)?;
        }
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if self.tls_first {
            options = options.tls_first();
        }
        Ok(options)
    }
}

impl From<&str> for NatsOptions {
    fn from(servers: &str) -> Self {
        Self::new(servers)
    }
}

impl From<String> for NatsOptions {
    fn from(servers: String) -> Self {
        Self::new(servers)
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may hold credentials, and a malformed one cannot be told apart from them.
        let servers = Addresses::parse(&self.servers).map(|addresses| addresses.names()).unwrap_or_default();
        f.debug_struct("NatsOptions")
            .field("servers", &servers)
            .field("credentials", &self.credentials)
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .field("tls_required", &self.tls_required)
            .field("tls_first", &self.tls_first)
            .field("name", &self.name)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("retry_initial_connect", &self.retry_initial_connect)
            .field("subscription_capacity", &self.subscription_capacity)
            .finish()
    }
}

fn program_name() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "subwire".to_owned())
}

/// The error of a setting that makes no sense.
pub(super) fn invalid_config(message: impl Into<String>) -> Status {
    Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        for options in [
            NatsOptions::new("nats://ann:s3cret@a,b"),
            NatsOptions::new("nats://s3cret@a"),
            NatsOptions::new("nats://ann:s3cret/@a"),
            NatsOptions::new("a").user_and_password("ann", "s3cret"),
            NatsOptions::new("a").token("s3cret"),
            NatsOptions::new("a").nkey(seed),
            NatsOptions::new("a").credentials(format!("s3cret {seed}")),
        ] {
            let shown = format!("{options:?}");
            assert!(!shown.contains("s3cret") && !shown.contains(seed), "{shown}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_a_connection_is_tried() {
        for options in [
            NatsOptions::new(""),
            NatsOptions::new("nats://ann:x@a").token("y"),
            NatsOptions::new("a").inbox_prefix("in box"),
            NatsOptions::new("a").inbox_prefix("_INBOX.>"),
            NatsOptions::new("a").tls_ca("/does/not/exist.pem"),
            NatsOptions::new("a").tls_certificate("/does/not/exist.pem", "/does/not/exist.key"),
            NatsOptions::new("a").subscription_capacity(0),
            NatsOptions::new("a").nkey("s3cret"),
            NatsOptions::new("a").nkey_file("/does/not/exist.nk"),
            NatsOptions::new("a").credentials("s3cret"),
            NatsOptions::new("a").credentials_file("/does/not/exist.creds"),
        ] {
            let refused = options.addresses().and_then(|addresses| options.client_options(&addresses).map(drop));
            let status = refused.expect_err("refused");
            assert_eq!(status.code(), Code::InvalidArgument, "{options:?}");
            assert!(!format!("{status:?}").contains("s3cret"), "{status}");
        }
    }
}

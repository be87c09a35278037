//! [`ArchiveOptions`]: which database, and how patiently.

use std::{fmt, path::PathBuf, time::Duration};

use subwire::Result;
use tokio_postgres::config::{Config, Host, SslMode};

use crate::{error::invalid_config, limits, tls::Tls};

/// The variable that [`Archive::from_env`](crate::Archive::from_env) reads.
pub(crate) const VARIABLE: &str = "SUBWIRE_ARCHIVE_URL";

/// Which database, and how patiently. Made of a URL; its `Debug` has no password.
///
/// `postgres://user:password@host:5432/database`, with percent-encoding for what is special in a
/// password. After a `?`, with `&` between them:
/// - `sslmode=require` or `verify-full`: TLS, and the server must prove that it is `host`. Without it, or
///   with `disable`: no TLS. There is no `prefer`: who cannot tell whether a line is private has none.
/// - `sslrootcert=/path/to/ca.pem`: who signs for the server; unset: whom the system trusts.
/// - what tokio-postgres takes: `options=-csearch_path%3Dagents` for a schema other than `public`,
///   `target_session_attrs=read-write` for several hosts with commas between them.
#[derive(Clone)]
pub struct ArchiveOptions {
    pub(crate) url: String,
    pub(crate) outage: Duration,
}

impl ArchiveOptions {
    /// The database at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), outage: limits::OUTAGE }
    }

    /// How long the database may be away before an event goes back to its stream; until then it waits
    /// and costs no attempt. 10 minutes unless said.
    #[must_use]
    pub fn outage(mut self, outage: Duration) -> Self {
        self.outage = outage;
        self
    }

    /// What the URL says.
    pub(crate) fn target(&self) -> Result<Target> {
        Target::parse(&self.url)
    }
}

impl From<&str> for ArchiveOptions {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for ArchiveOptions {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl From<&String> for ArchiveOptions {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for ArchiveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target().map_or_else(|_| "not a URL of PostgreSQL".to_owned(), |target| target.to_string());
        f.debug_struct("ArchiveOptions").field("url", &target).field("outage", &self.outage).finish()
    }
}

/// A database, and how to get there. Shown without its password.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) tls: Option<Tls>,
}

impl Target {
    fn parse(url: &str) -> Result<Self> {
        // A password may have a `?`, as far as tokio-postgres is concerned.
        let host = url.find('@').unwrap_or_default();
        let (address, query) = match url[host..].find('?') {
            Some(mark) => (&url[..host + mark], &url[host + mark + 1..]),
            None => (url, ""),
        };
        if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err(not_a_url());
        }
        // Two that tokio-postgres does not know, or not as libpq means them.
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(decoded(value)?)),
                _ => rest.push(parameter),
            }
        }
        let private = match mode {
            None | Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => {
                let message = "sslmode is `disable`, or `verify-full` for TLS with a server that proves who it is";
                return Err(invalid_config(message));
            }
        };
        if roots.is_some() && !private {
            return Err(invalid_config("sslrootcert without sslmode=verify-full has no effect"));
        }
        // What it cannot read it would repeat, and that may be a piece of a password.
        let mut config: Config = format!("{address}?{}", rest.join("&")).parse().map_err(|_| not_a_url())?;
        if config.get_hosts().is_empty() {
            return Err(invalid_config("the URL of the database names no host"));
        }
        config
            .ssl_mode(if private { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(limits::CONNECT)
            .tcp_user_timeout(limits::TCP_SILENCE)
            .keepalives_idle(limits::TCP_SILENCE);
        if config.get_application_name().is_none() {
            config.application_name("subwire-archive");
        }
        let tls = private.then(|| Tls::new(roots.as_deref())).transpose()?;
        Ok(Self { config, tls })
    }
}

/// `user@host/database`
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = self.config.get_ports().get(index) {
                write!(f, ":{port}")?;
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

fn not_a_url() -> subwire::Status {
    invalid_config("not the URL of a database: write postgres://user:password@host:5432/database, percent-encoded")
}

/// Percent-encoding, as far as a path in a URL needs it.
fn decoded(value: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut pieces = value.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let byte = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(not_a_url)?;
        bytes.push(byte);
        bytes.extend(piece.bytes().skip(2));
    }
    String::from_utf8(bytes).map_err(|_| not_a_url())
}

#[cfg(test)]
mod tests {
    use subwire::Code;

    use super::*;

    #[test]
    fn a_target_is_shown_without_its_password() {
        let options = ArchiveOptions::new("postgres://ann:s3cr3t@db.example:5433/agents?application_name=squad");
        let target = options.target().expect("a URL");
        assert_eq!(target.to_string(), "ann@db.example:5433/agents");
        assert_eq!(target.config.get_application_name(), Some("squad"));
        for shown in [format!("{options:?}"), format!("{:?}", target.config)] {
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_is_refused_and_not_repeated() {
        for url in [
            "",
            "s3cr3t",
            "mysql://ann:s3cr3t@db/agents",
            "postgres://",
            "postgres://ann:s3cr3t@db:port/agents",
            "postgres://ann:s3cr3t@db/agents?sslmode=prefer",
            "postgres://ann:s3cr3t@db/agents?sslrootcert=/ca.pem",
            "postgres://ann:s3cr3t@db/agents?sslmode=verify-full&sslrootcert=/no/such/file.pem",
            "postgres://ann:s3cr3t@db/agents?sslmode=verify-full&sslrootcert=%zz",
            "postgres://ann:s3cr3t@db/agents?password_=s3cr3t",
        ] {
            let status = ArchiveOptions::new(url).target().err().expect(url);
            assert_eq!(status.code(), Code::InvalidArgument, "{url}");
            assert!(!format!("{status:?} {:?}", ArchiveOptions::new(url)).contains("s3cr3t"), "{url}: {status:?}");
        }
    }

    #[test]
    fn no_password_turns_tls_off() {
        let plain = ArchiveOptions::new("postgres://ann:s3?cr&sslmode=disable@db/agents");
        let private = ArchiveOptions::new("postgres://ann:s3?cr&sslmode=disable@db/agents?sslmode=verify-full");
        let is_private = |options: ArchiveOptions| options.target().map(|target| target.tls.is_some()).ok();
        assert_eq!((is_private(plain), is_private(private)), (Some(false), Some(true)));
    }

    #[test]
    fn a_path_may_be_percent_encoded() {
        assert_eq!(decoded("/etc/my%20ca%2Ä.pem").map_err(|status| status.code()), Err(Code::InvalidArgument));
        assert_eq!(decoded("/etc/my%20ca.pem").ok().as_deref(), Some("/etc/my ca.pem"));
    }
}

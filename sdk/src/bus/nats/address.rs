//! [`Addresses`]: where the servers are, and what their URLs say besides.

use std::fmt::Write;

use async_nats::ServerAddr;

use super::{
    credentials::{Credentials, Secret},
    options::invalid_config,
};
use crate::{Result, wire::percent};

/// Where the servers are, and what their URLs say besides. The addresses themselves hold no secret.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) servers: Vec<ServerAddr>,
    /// `nats://user:password@host`, `nats://token@host`; async-nats itself ignores them.
    pub(super) credentials: Option<Credentials>,
    /// `tls://`
    pub(super) tls: bool,
}

impl Addresses {
    pub(super) fn parse(urls: &[String]) -> Result<Self> {
        let mut addresses = Self { servers: Vec::new(), credentials: None, tls: false };
        for url in urls.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|url| !url.is_empty()) {
            let address: ServerAddr = url.parse().map_err(|error| malformed(url, &format!("{error}")))?;
            if address.is_websocket() {
                return Err(malformed(url, "websockets are not supported; use nats:// or tls://"));
            }
            if address.host().is_empty() {
                return Err(malformed(url, "it has no host"));
            }
            if has_path(&address) {
                return Err(malformed(
                    url,
                    "it has a path; in a password, write `/` as %2F, `?` as %3F and `#` as %23",
                ));
            }
            addresses.tls |= address.tls_required();
            addresses.learn(credentials(&address))?;
            addresses.servers.push(plain(&address)?);
        }
        if addresses.servers.is_empty() {
            return Err(invalid_config("no server: write nats://host:4222, or several with commas between"));
        }
        Ok(addresses)
    }

    /// One client has one identity, so URLs that name two cannot both be honoured.
    fn learn(&mut self, credentials: Option<Credentials>) -> Result<()> {
        match (&self.credentials, credentials) {
            (Some(known), Some(new)) if *known != new => Err(invalid_config(
                "the server URLs have different credentials: write the same in each, or in one only",
            )),
            (None, new) => {
                self.credentials = new;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `a:4222, b:4222`, for error messages.
    pub(super) fn names(&self) -> String {
        let mut names = String::new();
        for server in &self.servers {
            let comma = if names.is_empty() { "" } else { ", " };
            let _ = write!(names, "{comma}{}:{}", server.host(), server.port());
        }
        names
    }
}

fn has_path(address: &ServerAddr) -> bool {
    let url = address.clone().into_inner();
    !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()
}

fn credentials(address: &ServerAddr) -> Option<Credentials> {
    let decode = |text: &str| Secret(percent::decode(text).into_owned());
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => Some(Credentials::UserAndPassword(decode(user), decode(password))),
        (Some(token), None) => Some(Credentials::Token(decode(token))),
        (None, _) => None,
    }
}

/// The same without credentials, so that it may be logged.
fn plain(address: &ServerAddr) -> Result<ServerAddr> {
    let host = address.host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = format!("{}://{host}:{}", address.scheme(), address.port());
    url.parse().map_err(|error| malformed(&url, &format!("{error}")))
}

/// Names what stands behind the credentials, if there are any.
fn malformed(url: &str, why: &str) -> crate::Status {
    let shown = url.rsplit('@').next().unwrap_or_default();
    invalid_config(format!("server URL {shown:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn parse(list: &str) -> Result<Addresses> {
        Addresses::parse(&[list.to_owned()])
    }

    fn user(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::UserAndPassword(Secret(user.to_owned()), Secret(password.to_owned())))
    }

    #[test]
    fn a_list_names_servers_in_every_form() {
        let addresses = parse("a, nats://b:1,tls://c ,nats://[::1]:2").expect("legal");
        assert_eq!(addresses.names(), "a:4222, b:1, c:4222, ::1:2");
        assert!(addresses.tls && addresses.credentials.is_none());
    }

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        let token = Some(Credentials::Token(Secret("t=1".to_owned())));
        for (url, expected) in [
            ("nats://ann:pass@a", user("ann", "pass")),
            ("nats://ann:p%40%2F%3a@a", user("ann", "p@/:")),
            ("ann:pass@a:4222,b,nats://ann:pass@c", user("ann", "pass")),
            ("nats://t%3D1@a", token),
            ("nats://a", None),
        ] {
            let addresses = parse(url).expect(url);
            assert_eq!(addresses.credentials, expected, "{url}");
            assert!(addresses.servers.iter().all(|server| !server.as_url_str().contains('@')), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_without_its_secret() {
        for url in [
            "",
            " , ",
            "http://a",
            "ws://s3cret@a",
            "nats://ann:s3cret@",
            "nats://s3cret/x@a:b",
            "nats://s3cret@a,nats://b@c",
        ] {
            let status = parse(url).expect_err(url);
            assert_eq!(status.code(), Code::InvalidArgument, "{url:?}");
            assert!(!format!("{status:?} {status}").contains("s3cret"), "{status}");
        }
    }
}

//! [`Credentials`]: how a client proves who it is.

use std::{fmt, fs, io, path::PathBuf};

use async_nats::ConnectOptions;

use super::options::invalid_config;
use crate::Result;

/// A text that no log, error or `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a client proves who it is. Files are read anew for each client, so that they can be rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    UserAndPassword(Secret, Secret),
    Token(Secret),
    /// The seed itself.
    Nkey(Secret),
    NkeyFile(PathBuf),
    /// The text of a `.creds` file.
    Text(Secret),
    File(PathBuf),
}

impl Credentials {
    pub(super) fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        match self {
            Self::UserAndPassword(user, password) => Ok(options.user_and_password(user.0.clone(), password.0.clone())),
            Self::Token(token) => Ok(options.token(token.0.clone())),
            Self::Nkey(seed) => nkey(options, &seed.0, "the nkey seed"),
            Self::NkeyFile(path) => {
                let name = path.display().to_string();
                nkey(options, &fs::read_to_string(path).map_err(|error| unreadable(&name, &error))?, &name)
            }
            Self::Text(text) => credentials(options, &text.0, "the credentials"),
            Self::File(path) => {
                let name = path.display().to_string();
                credentials(options, &fs::read_to_string(path).map_err(|error| unreadable(&name, &error))?, &name)
            }
        }
    }
}

/// A seed file may have the lines around the seed that the NATS tools write.
fn nkey(options: ConnectOptions, text: &str, name: &str) -> Result<ConnectOptions> {
    match text.lines().map(str::trim).find(|line| line.starts_with("SU") && line.len() == 58) {
        Some(seed) => Ok(options.nkey(seed.to_owned())),
        None => {
            Err(invalid_config(format!("{name} has no seed of a user nkey: 58 letters and digits that start with SU")))
        }
    }
}

fn credentials(options: ConnectOptions, text: &str, name: &str) -> Result<ConnectOptions> {
    // The parser's error is dropped, because it may quote the seed.
    options.credentials(text).map_err(|_| {
        invalid_config(format!("{name}: not credentials: they have a `NATS USER JWT` and a `USER NKEY SEED` part"))
    })
}

pub(super) fn unreadable(name: &str, error: &io::Error) -> crate::Status {
    invalid_config(format!("cannot read {name}: {error}"))
}

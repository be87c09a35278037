//! [`Account`]: who a PostgreSQL runs as, since it refuses to run as root.

use std::{
    fs, io,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use rustix::process::geteuid;

/// The user that PostgreSQL's package makes.
const NAME: &str = "postgres";

/// Who a PostgreSQL runs as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// Us.
    Own,
    /// Somebody with fewer rights.
    Other { user: u32, group: u32 },
}

impl Account {
    pub(super) fn find() -> io::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let ids = fields.filter(|fields| fields.first() == Some(&NAME)).find_map(|fields| {
            let user = fields.get(2)?.parse().ok()?;
            let group = fields.get(3)?.parse().ok()?;
            Some(Self::Other { user, group })
        });
        ids.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no user `postgres`, and root cannot run PostgreSQL"))
    }

    /// Has a command run as this account.
    pub(super) fn run(self, command: &mut Command) {
        if let Self::Other { user, group } = self {
            command.uid(user).gid(group);
        }
    }

    /// Makes this account the only one, but for root, that can read a file or a folder.
    pub(super) fn give(self, path: &Path) -> io::Result<()> {
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        match self {
            Self::Own => Ok(()),
            Self::Other { user, group } => chown(path, Some(user), Some(group)),
        }
    }
}

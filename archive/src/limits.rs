//! Every limit of the archive: name, unit, default.
//!
//! Those a user may want to change have a method of the same name on [`ArchiveOptions`](crate::ArchiveOptions).

use std::time::Duration;

/// How long the database may be away, or refuse everything, before an event goes back to its stream.
/// Until then it waits and costs no attempt.
pub const OUTAGE: Duration = Duration::from_secs(10 * 60);

/// How long a connection to the database may take to be made.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long a query waits for one of the connections.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// Connections for queries; writing has one of its own.
pub const CONNECTIONS: usize = 4;

/// How long the database works on one statement before it gives up.
pub const STATEMENT: Duration = Duration::from_secs(10);

/// How long we wait for its answer: what a statement may take, and a little for the way.
pub const ANSWER: Duration = Duration::from_secs(15);

/// How long the migrations may take, with the wait for somebody else who does them.
pub const MIGRATION: Duration = Duration::from_secs(10 * 60);

/// How long sent bytes may stay unacknowledged before a connection counts as dead.
pub const TCP_SILENCE: Duration = Duration::from_secs(15);

/// The first wait before writing again; it doubles up to [`RETRY_MAX`].
pub const RETRY_MIN: Duration = Duration::from_millis(50);

/// The longest wait before writing again.
pub const RETRY_MAX: Duration = Duration::from_secs(2);

/// Events that one statement writes.
pub const BATCH_EVENTS: usize = 512;

/// Bytes of payload that one statement writes; one event may be larger.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Events that wait for the statement before theirs; those beyond wait to wait.
pub const WAITING_EVENTS: usize = 4_096;

/// Events of a page when nobody says.
pub const PAGE_EVENTS: usize = 100;

/// Events of a page, at most.
pub const PAGE_EVENTS_MAX: usize = 1_000;

/// Bytes of payload after which a page ends early.
pub const PAGE_BYTES: usize = 16 * 1024 * 1024;

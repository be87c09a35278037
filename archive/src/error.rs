//! From what a database says to a [`Status`].

use std::error::Error as _;

use deadpool_postgres::PoolError;
use subwire::{Code, Status};
use tokio_postgres::Error;

/// The `domain` of every `ErrorInfo` that this crate makes.
pub const ERROR_DOMAIN: &str = "subwire-archive";

/// The `reason` of every error that this crate makes: for programs to match on.
pub mod reason {
    /// The database cannot be reached, does not answer in time, or cannot work at the moment.
    pub const DATABASE_UNAVAILABLE: &str = "DATABASE_UNAVAILABLE";
    /// The database does not do what it is asked: the message says why.
    pub const DATABASE_REFUSED: &str = "DATABASE_REFUSED";
    /// The tables of the database are those of a newer version of this crate.
    pub const DATABASE_TOO_NEW: &str = "DATABASE_TOO_NEW";
    /// A setting is misspelt, impossible, or contradicts another.
    pub const INVALID_CONFIG: &str = "INVALID_CONFIG";
    /// What is asked for cannot be: a cursor that is none, a NUL in a name.
    pub const INVALID_QUERY: &str = "INVALID_QUERY";
    /// What lies in the archive is not what its type says.
    pub const MALFORMED_EVENT: &str = "MALFORMED_EVENT";
    /// The database cannot store this event, today or ever.
    pub const UNSTORABLE_EVENT: &str = "UNSTORABLE_EVENT";
}

pub(crate) fn status(code: Code, reason: &str, message: impl Into<String>) -> Status {
    Status::new(code, message).with_error_info(reason, ERROR_DOMAIN, [])
}

pub(crate) fn invalid_config(message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, reason::INVALID_CONFIG, message)
}

pub(crate) fn unavailable(message: impl Into<String>) -> Status {
    status(Code::Unavailable, reason::DATABASE_UNAVAILABLE, message)
}

/// The status of a connection that could not be had.
pub(crate) fn no_connection(error: PoolError) -> Status {
    match error {
        PoolError::Backend(error) => failed(error),
        PoolError::Timeout(_) => unavailable("the database gave no connection in time"),
        other => unavailable(format!("no connection to the database: {other}")),
    }
}

/// The status of a statement that stores, or of a connection, that failed.
pub(crate) fn failed(error: Error) -> Status {
    failed_of(error, reason::UNSTORABLE_EVENT)
}

/// The status of a query that failed.
pub(crate) fn failed_query(error: Error) -> Status {
    failed_of(error, reason::INVALID_QUERY)
}

/// `refusal` is the reason where it is the fault of what came with the statement.
fn failed_of(error: Error, refusal: &str) -> Status {
    let (code, message) = match (error.as_db_error(), error.code()) {
        (Some(answer), Some(state)) => {
            (code_of(state.code()), format!("the database says: {} ({})", answer.message(), state.code()))
        }
        // A broken socket, a certificate that is not trusted: the cause says it, the error only where.
        _ => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            (Code::Unavailable, format!("no answer from the database{cause}"))
        }
    };
    let reason = match code {
        Code::Unavailable | Code::DeadlineExceeded => reason::DATABASE_UNAVAILABLE,
        Code::InvalidArgument => refusal,
        _ => reason::DATABASE_REFUSED,
    };
    status(code, reason, message).with_source(error)
}

/// By the classes of SQLSTATE (PostgreSQL's appendix A).
fn code_of(state: &str) -> Code {
    match state.get(..2).unwrap_or_default() {
        _ if state == "57014" => Code::DeadlineExceeded, // the statement timeout
        _ if state == "42501" => Code::PermissionDenied,
        // Data, constraints, limits of the program: a NUL in a text, a key that no index can hold.
        "22" | "23" | "54" => Code::InvalidArgument,
        "28" => Code::Unauthenticated,
        // No such database, schema, table or column.
        "3D" | "3F" | "42" => Code::FailedPrecondition,
        // Connection, transaction state (a standby, after a failover), rollback, resources, locks,
        // shutdown and start, the system.
        "08" | "25" | "40" | "53" | "55" | "57" | "58" => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_database_says_who_can_help() {
        let cases = [
            ("22021", Code::InvalidArgument),    // a NUL in a text
            ("22P05", Code::InvalidArgument),    // a NUL in JSON
            ("54000", Code::InvalidArgument),    // too long for an index
            ("28P01", Code::Unauthenticated),    // the password
            ("3D000", Code::FailedPrecondition), // the database
            ("42P01", Code::FailedPrecondition), // the table
            ("42501", Code::PermissionDenied),   // the right
            ("25006", Code::Unavailable),        // a standby
            ("40P01", Code::Unavailable),        // a deadlock
            ("53100", Code::Unavailable),        // the disk
            ("53300", Code::Unavailable),        // too many connections
            ("57014", Code::DeadlineExceeded),   // the statement timeout
            ("57P01", Code::Unavailable),        // told to stop
            ("57P03", Code::Unavailable),        // starting up
            ("XX000", Code::Internal),
        ];
        for (state, code) in cases {
            assert_eq!(code_of(state), code, "{state}");
        }
    }
}

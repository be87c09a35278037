//! [`Page`]: what a query finds, and where the next one begins.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use subwire::{Code, Event, Result, Status, bus::Headers};
use tokio_postgres::Row;

use crate::{
    error::{failed, reason, status},
    record::from_json,
    time::nearest,
};

/// Some of what a query finds, in its order.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The events. May be fewer than asked for where they are large.
    pub events: Vec<Archived<T>>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<Cursor>,
}

/// An event in the archive: an [`Event`], or its bytes.
#[derive(Debug, Clone)]
pub struct Archived<T> {
    /// The event.
    pub event: T,
    /// The stream that it lies in, or lay in.
    pub stream: String,
    /// Its place there.
    pub sequence: u64,
    /// What it was published on.
    pub subject: String,
    /// What the schema calls it: `agents.squad.v1.AgentMessage`.
    pub type_name: String,
    /// Whose it is.
    pub agent: Option<String>,
    /// What kind it is.
    pub kind: Option<String>,
    /// When its stream stored it, in whole microseconds.
    pub published_at: SystemTime,
    /// When it came here.
    pub archived_at: SystemTime,
    /// What came beside it: its id, its trace, and whatever its publisher added.
    pub headers: Headers,
}

/// The columns that [`Archived::read`] takes.
pub(crate) const COLUMNS: &str =
    "stream, sequence, subject, type, agent, kind, published_at, archived_at, headers, payload";

impl Archived<Bytes> {
    pub(crate) fn read(row: &Row) -> Result<Self> {
        let read = || {
            Ok(Self {
                stream: row.try_get(0)?,
                sequence: row.try_get::<_, i64>(1)?.cast_unsigned(),
                subject: row.try_get(2)?,
                type_name: row.try_get(3)?,
                agent: row.try_get(4)?,
                kind: row.try_get(5)?,
                published_at: row.try_get(6)?,
                archived_at: row.try_get(7)?,
                headers: from_json(row.try_get(8)?),
                event: Bytes::copy_from_slice(row.try_get(9)?),
            })
        };
        read().map_err(failed)
    }

    /// The same with its bytes decoded.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if it is of another type, `DATA_LOSS` if its bytes are not what its type says.
    pub fn decode<E: Event>(self) -> Result<Archived<E>> {
        if self.type_name != E::INFO.name {
            let message = format!("it is {}, not {}", self.type_name, E::INFO.name);
            return Err(status(Code::InvalidArgument, reason::INVALID_QUERY, message));
        }
        let event = E::decode(self.event.clone()).map_err(|error| {
            let place = format!("{} of {}", self.sequence, self.stream);
            let message = format!("what is archived from place {place} is no {}: {error}", self.type_name);
            status(Code::DataLoss, reason::MALFORMED_EVENT, message)
        })?;
        Ok(self.with(event))
    }
}

impl<T> Archived<T> {
    fn with<U>(self, event: U) -> Archived<U> {
        let Self { stream, sequence, subject, type_name, agent, kind, published_at, archived_at, headers, .. } = self;
        Archived { event, stream, sequence, subject, type_name, agent, kind, published_at, archived_at, headers }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { published_at: self.published_at, sequence: self.sequence, stream: self.stream.clone() }
    }
}

/// A place in a query's order, between two events.
///
/// It names the event before it, not a number of events, so it stays right while others are stored, and
/// costs the same at the end as at the start. As text it can travel: `1763725200000000.42.agent-messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) published_at: SystemTime,
    pub(crate) sequence: u64,
    pub(crate) stream: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.published_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        write!(f, "{}.{}.{}", since.as_micros(), self.sequence, self.stream)
    }
}

impl FromStr for Cursor {
    type Err = Status;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let mut parts = text.splitn(3, '.');
            let since = Duration::from_micros(parts.next()?.parse().ok()?);
            let sequence = parts.next()?.parse().ok()?;
            let stream = parts.next()?.to_owned();
            // The database counts with a sign, and its texts have no NUL.
            i64::try_from(sequence).ok()?;
            let published_at = SystemTime::UNIX_EPOCH.checked_add(since)?;
            let can_be = nearest(published_at) == published_at && !stream.contains('\0');
            can_be.then_some(Self { published_at, sequence, stream })
        };
        let message = format!("{text:?} is not a cursor: take one from a page");
        parse().ok_or_else(|| status(Code::InvalidArgument, reason::INVALID_QUERY, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_as_text() {
        let text = "1763725200000001.42.agent-messages";
        let cursor: Cursor = text.parse().expect("a cursor");
        assert_eq!(cursor.to_string(), text);
        assert_eq!((cursor.sequence, &*cursor.stream), (42, "agent-messages"));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "1",
            "1.2",
            "x.2.s",
            "-1.2.s",
            "1.-2.s",
            "1.99999999999999999999.s",
            "1.9223372036854775808.s",
            // After the last time of the database.
            "9224318016000000000.1.s",
            "1.1.a\0b",
        ] {
            let status = text.parse::<Cursor>().expect_err(text);
            assert_eq!(status.code(), Code::InvalidArgument, "{text}");
        }
    }
}

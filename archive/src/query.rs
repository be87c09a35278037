//! [`Query`]: which events of the archive.

use std::{
    fmt::{self, Write},
    pin::pin,
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use subwire::{Event, Result};
use tokio_postgres::types::ToSql;

use crate::{
    Archived, Cursor, Page,
    database::{Database, answer_query},
    limits,
    page::COLUMNS,
    time,
};

/// Which events of the archive: all, less with each method. Nothing is asked before
/// [`fetch`](Self::fetch) or [`count`](Self::count).
///
/// The order is that of publication. An event that had to be retried comes late, so that who reads on from
/// a cursor soon after publication can miss it.
#[derive(Clone)]
#[must_use = "nothing is asked before it is fetched"]
pub struct Query<T> {
    database: Database,
    decode: fn(Archived<Bytes>) -> Result<Archived<T>>,
    type_name: Option<String>,
    stream: Option<String>,
    agent: Option<String>,
    kind: Option<String>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    after: Option<Cursor>,
    newest_first: bool,
    limit: usize,
}

impl<E: Event> Query<E> {
    pub(crate) fn of_events(database: Database) -> Self {
        Self::new(database, Some(E::INFO.name.to_owned()), Archived::decode)
    }
}

impl Query<Bytes> {
    pub(crate) fn of_bytes(database: Database) -> Self {
        Self::new(database, None, Ok)
    }

    /// Only those of this type, by its full name: `agents.squad.v1.AgentMessage`.
    pub fn type_name(mut self, name: impl Into<String>) -> Self {
        self.type_name = Some(name.into());
        self
    }
}

impl<T> Query<T> {
    fn new(database: Database, type_name: Option<String>, decode: fn(Archived<Bytes>) -> Result<Archived<T>>) -> Self {
        Self {
            database,
            decode,
            type_name,
            stream: None,
            agent: None,
            kind: None,
            since: None,
            until: None,
            after: None,
            newest_first: false,
            limit: limits::PAGE_EVENTS,
        }
    }

    /// Only those of this stream.
    pub fn stream(mut self, stream: impl Into<String>) -> Self {
        self.stream = Some(stream.into());
        self
    }

    /// Only those of this agent.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Only those of this kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only those published at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time::nearest(time));
        self
    }

    /// Only those published before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time::nearest(time));
        self
    }

    /// The newest first, instead of the oldest.
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Only those after this place, in the order of the query: `page.next` of the page before. `None`: from
    /// the start.
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Events of a page: 1 to 1,000; 100 unless said.
    pub fn limit(mut self, events: usize) -> Self {
        self.limit = events.clamp(1, limits::PAGE_EVENTS_MAX);
        self
    }

    /// A page of them.
    ///
    /// # Errors
    /// - `INVALID_ARGUMENT` (`INVALID_QUERY`): the database cannot compare with what is asked for: a text with a
    ///   NUL.
    /// - `UNAVAILABLE` (`DATABASE_UNAVAILABLE`): the database is away, or has no connection left.
    /// - `DEADLINE_EXCEEDED`: it worked on it for longer than [`limits::STATEMENT`]; ask for less.
    /// - `DATA_LOSS` (`MALFORMED_EVENT`): an event is not what its type says, because the schema was broken
    ///   since; the message names its place. [`Archive::records`](crate::Archive::records) reads it all the same.
    pub async fn fetch(self) -> Result<Page<T>> {
        let limit = self.limit;
        let mut sql = self.sql(COLUMNS);
        let order = if self.newest_first { "DESC" } else { "ASC" };
        let _ = write!(sql.text, " ORDER BY published_at {order}, stream {order}, sequence {order}");
        // One more, to know whether there is one more.
        let _ = write!(sql.text, " LIMIT {}", limit + 1);
        let connection = self.database.connection().await?;
        let read = async {
            let statement = connection.prepare_cached(&sql.text).await?;
            let mut rows = pin!(connection.query_raw(&statement, sql.values()).await?);
            let (mut found, mut bytes, mut more) = (Vec::new(), 0, false);
            while let Some(row) = rows.try_next().await? {
                if found.len() == limit || bytes > limits::PAGE_BYTES {
                    more = true;
                    break;
                }
                let one = Archived::read(&row);
                bytes += one.as_ref().map_or(0, |one| one.event.len());
                found.push(one);
            }
            Ok((found, more))
        };
        let (found, more) = answer_query(read).await?;
        connection.keep();
        let events: Vec<_> = found.into_iter().map(|one| one.and_then(self.decode)).collect::<Result<_>>()?;
        let next = events.last().filter(|_| more).map(Archived::cursor);
        Ok(Page { events, next })
    }

    /// How many there are, on all pages. Costs as much as reading their index.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn count(self) -> Result<u64> {
        let sql = self.sql("count(*)");
        let connection = self.database.connection().await?;
        let count = async {
            let statement = connection.prepare_cached(&sql.text).await?;
            connection.query_one(&statement, &sql.values()).await?.try_get::<_, i64>(0)
        };
        let count = answer_query(count).await?;
        connection.keep();
        Ok(count.unsigned_abs())
    }

    /// Only what is asked for is in the statement, so that each has the plan, and the index, that fits it.
    fn sql(&self, what: &str) -> Sql {
        let mut sql = Sql { text: format!("SELECT {what} FROM events WHERE true"), values: Vec::new() };
        sql.condition("type =", self.type_name.clone());
        sql.condition("stream =", self.stream.clone());
        sql.condition("agent =", self.agent.clone());
        sql.condition("kind =", self.kind.clone());
        sql.condition("published_at >=", self.since);
        sql.condition("published_at <", self.until);
        if let Some(cursor) = &self.after {
            let beyond = if self.newest_first { "<" } else { ">" };
            let _ = write!(sql.text, " AND (published_at, stream, sequence) {beyond} (");
            sql.value(cursor.published_at);
            sql.text.push_str(", ");
            sql.value(cursor.stream.clone());
            sql.text.push_str(", ");
            sql.value(cursor.sequence.cast_signed());
            sql.text.push(')');
        }
        sql
    }
}

impl<T> fmt::Debug for Query<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.sql("*").text).finish()
    }
}

/// A statement, and what its `$1`, `$2`, .. stand for.
struct Sql {
    text: String,
    values: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Sql {
    /// One condition more, if there is something to compare with.
    fn condition(&mut self, left: &str, right: Option<impl ToSql + Send + Sync + 'static>) {
        let Some(right) = right else { return };
        let _ = write!(self.text, " AND {left} ");
        self.value(right);
    }

    fn value(&mut self, value: impl ToSql + Send + Sync + 'static) {
        self.values.push(Box::new(value));
        let _ = write!(self.text, "${}", self.values.len());
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

//! [`Archive`]: events in PostgreSQL.

use std::{env, fmt, sync::Arc};

use bytes::Bytes;
use subwire::{Delivery, Event, Handler, IntoHandler, Result};

use crate::{
    ArchiveOptions, Facts, Query,
    database::Database,
    error::invalid_config,
    limits, migrate,
    options::{Target, VARIABLE},
    record::Record,
    writer::Writer,
};

/// Events in PostgreSQL, beside their streams. A clone is one atomic increment and shares the connections,
/// which close when the last clone is gone.
///
/// Belongs to the runtime that it was made on.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    target: Target,
    database: Database,
    writer: Writer,
}

impl Archive {
    /// Connects, and makes the tables if they are not there or not of this version. When several do so at
    /// the same time, one makes them and the others wait. See [`ArchiveOptions`] for the URL.
    ///
    /// # Errors
    /// - `INVALID_ARGUMENT` (`INVALID_CONFIG`): what is given is no URL of a database.
    /// - `UNAVAILABLE` (`DATABASE_UNAVAILABLE`): it cannot be reached, or its certificate is not trusted.
    /// - `UNAUTHENTICATED`, `PERMISSION_DENIED`, `FAILED_PRECONDITION` (`DATABASE_REFUSED`): a wrong password, no
    ///   right to make tables, no such database.
    /// - `FAILED_PRECONDITION` (`DATABASE_TOO_NEW`): a newer version of this crate made the tables.
    pub async fn connect(options: impl Into<ArchiveOptions>) -> Result<Self> {
        let options = options.into();
        let target = options.target()?;
        let database = Database::new(&target, limits::CONNECTIONS)?;
        migrate::run(&database).await?;
        // Queries that take all connections do not hold up writing.
        let writer = Writer::new(Database::new(&target, 1)?, options.outage);
        Ok(Self(Arc::new(Inner { target, database, writer })))
    }

    /// The one switch: connects to what `SUBWIRE_ARCHIVE_URL` names; `None` if it is unset or empty. The
    /// log says which.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn from_env() -> Result<Option<Self>> {
        match env::var(VARIABLE) {
            Ok(url) => Self::switched(&url).await,
            Err(env::VarError::NotPresent) => Self::switched("").await,
            Err(error @ env::VarError::NotUnicode(_)) => Err(invalid_config(format!("{VARIABLE}: {error}"))),
        }
    }

    async fn switched(url: &str) -> Result<Option<Self>> {
        if url.is_empty() {
            tracing::info!("the archive is off: {VARIABLE} is not set");
            return Ok(None);
        }
        let options = ArchiveOptions::new(url);
        let target = options.target().map_err(|status| invalid_config(format!("{VARIABLE}: {}", status.message())))?;
        let archive = Self::connect(options).await?;
        tracing::info!(%target, "the archive is on: {VARIABLE} is set");
        Ok(Some(archive))
    }

    /// What stores the events of one type: a handler for a [`Worker`](subwire::Worker). `facts` says by what each is
    /// found again, beside its type and its time.
    ///
    /// An event is acknowledged when it is in the table. Stored once, however often it comes. While the
    /// database is away events wait, and cost no attempt; after [`outage`](ArchiveOptions::outage) they go back to
    /// their stream with `UNAVAILABLE`, as a failed attempt. So let the consumer of an archive have no `max_deliver`.
    /// What the database can never store becomes a dead letter: `INVALID_ARGUMENT`, reason `UNSTORABLE_EVENT` (an
    /// agent or a kind of thousands of bytes or with a NUL).
    ///
    /// Events that are handled at the same time are written together: a
    /// [`concurrency`](subwire::WorkerBuilder::concurrency) of hundreds is cheap here, and many times as fast.
    pub fn of<E: Event>(&self, facts: impl Fn(&E) -> Facts + Send + Sync + 'static) -> Handler {
        let (archive, facts) = (self.clone(), Arc::new(facts));
        let store = async move |delivery: Delivery, event: E| -> Result<()> {
            let record = Record::new::<E>(&delivery, facts(&event));
            archive.0.writer.write(record).await
        };
        store.into_handler()
    }

    /// The events of one type: all, less with each method of the query.
    pub fn events<E: Event>(&self) -> Query<E> {
        Query::of_events(self.0.database.clone())
    }

    /// Events of whatever type, as bytes. [`Archived::decode`](crate::Archived::decode) makes events of them.
    pub fn records(&self) -> Query<Bytes> {
        Query::of_bytes(self.0.database.clone())
    }
}

/// Which database; without the password.
impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Archive").field(&format_args!("{}", self.0.target)).finish()
    }
}

#[cfg(test)]
mod tests {
    use subwire::Code;

    use super::*;

    #[tokio::test]
    async fn without_a_url_there_is_no_archive() {
        assert!(matches!(Archive::switched("").await, Ok(None)));
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_is_an_error_that_names_the_variable() {
        let status = Archive::switched("postgers://localhost/agents").await.expect_err("misspelt");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(VARIABLE), "{status}");
    }

    #[cfg(all(unix, feature = "testing"))]
    #[tokio::test]
    async fn with_a_url_there_is_one() {
        let postgres = crate::testing::PostgresServer::start().await.expect("a PostgreSQL");
        assert!(matches!(Archive::switched(&postgres.url()).await, Ok(Some(_))));
    }
}

//! From an empty database to the tables of this version.

use subwire::{Code, Result};
use tokio::time::timeout;
use tokio_postgres::{Error, Transaction};

use crate::{
    database::{Database, answer},
    error::{failed, reason, status, unavailable},
    limits,
};

/// A step that every database takes once, in order. One that was released is never changed.
struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 1] =
    [Migration { version: 1, name: "events", sql: include_str!("../migrations/0001_events.sql") }];

/// The version of a database that has taken all of them.
const LATEST: i32 = MIGRATIONS.len() as i32;

/// What those who migrate one database lock, so that one does it while the others wait.
const LOCK: i64 = i64::from_be_bytes(*b"subwire\0");

/// Does what is to be done. Who finds nothing to do needs no more than the right to read.
pub(crate) async fn run(database: &Database) -> Result<()> {
    let mut connection = database.connection().await?;
    let known = answer(connection.query_one(KNOWN, &[])).await?;
    let version = match known.get(0) {
        true => answer(connection.query_one(VERSION, &[])).await?.get(0),
        false => 0,
    };
    if version < LATEST {
        let all = async {
            let transaction = connection.transaction().await?;
            let version = migrate(&transaction).await?;
            transaction.commit().await?;
            Ok(version)
        };
        match timeout(limits::MIGRATION, all).await {
            Ok(done) => check(done.map_err(failed)?)?,
            Err(_) => return Err(unavailable("the migrations of the database did not end in time")),
        }
    }
    check(version)?;
    connection.keep();
    Ok(())
}

/// Whether there are tables where they would be made. Those of another archive further along the `search_path` say
/// nothing of whose `events` are here.
const KNOWN: &str = "SELECT to_regclass(quote_ident(current_schema()) || '.archive_migrations') IS NOT NULL";

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM archive_migrations";

/// The version that was found.
async fn migrate(transaction: &Transaction<'_>) -> Result<i32, Error> {
    let limit = limits::MIGRATION.as_millis();
    transaction
        .batch_execute(&format!("SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}"))
        .await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS archive_migrations (
                version    integer     PRIMARY KEY,
                name       text        NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )",
        )
        .await?;
    let found: i32 = transaction.query_one(VERSION, &[]).await?.get(0);
    for Migration { version, name, sql } in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        transaction.batch_execute(sql).await?;
        let done = "INSERT INTO archive_migrations (version, name) VALUES ($1, $2)";
        transaction.execute(done, &[version, name]).await?;
        tracing::info!(version, name, "the archive's database was migrated");
    }
    Ok(found)
}

/// Older programs do not know what newer tables need.
fn check(found: i32) -> Result<()> {
    match found > LATEST {
        true => Err(status(
            Code::FailedPrecondition,
            reason::DATABASE_TOO_NEW,
            format!("the tables of the archive are of version {found}, and this program knows those up to {LATEST}"),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_one_without_a_gap() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=LATEST).collect::<Vec<_>>());
    }
}

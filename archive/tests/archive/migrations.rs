//! Tables that make themselves.

use futures_util::future::join_all;
use subwire::{Code, Status};
use subwire_archive::{Archive, reason, testing::PostgresServer};
use tokio_postgres::{Client, NoTls};

use crate::note::Note;

/// Somebody else at the same database.
async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

async fn versions(client: &Client) -> Vec<i32> {
    let rows = client.query("SELECT version FROM archive_migrations ORDER BY version", &[]).await.expect("versions");
    rows.iter().map(|row| row.get(0)).collect()
}

fn why(status: &Status) -> (Code, String) {
    (status.code(), status.error_info().unwrap_or_default().reason)
}

#[tokio::test]
async fn tables_are_made_once_however_many_connect() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let url = postgres.url();
    let archives = join_all((0..4).map(|_| Archive::connect(&url))).await;
    assert!(archives.iter().all(Result::is_ok), "{archives:?}");
    let again = Archive::connect(&url).await.expect("a second time");
    assert_eq!(again.events::<Note>().count().await.expect("a table"), 0);
    assert_eq!(versions(&client(&url).await).await, [1]);
}

#[tokio::test]
async fn tables_of_a_newer_program_are_left_alone() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    Archive::connect(postgres.url()).await.expect("an archive");
    let client = client(&postgres.url()).await;
    client.batch_execute("INSERT INTO archive_migrations VALUES (99, 'later')").await.expect("a version");
    let status = Archive::connect(postgres.url()).await.expect_err("too new");
    assert_eq!(why(&status), (Code::FailedPrecondition, reason::DATABASE_TOO_NEW.to_owned()));
}

#[tokio::test]
async fn a_table_of_somebody_else_is_left_alone() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let client = client(&postgres.url()).await;
    client.batch_execute("CREATE TABLE events (mine text)").await.expect("a table");
    let status = Archive::connect(postgres.url()).await.expect_err("somebody else's");
    assert_eq!(why(&status), (Code::FailedPrecondition, reason::DATABASE_REFUSED.to_owned()));
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'archive_migrations'";
    let tables: i64 = client.query_one(tables, &[]).await.expect("tables").get(0);
    assert_eq!(tables, 0, "half of a migration");
    // A schema of its own is the way out.
    client.batch_execute("CREATE SCHEMA agents").await.expect("a schema");
    let url = format!("{}?options=-csearch_path%3Dagents", postgres.url());
    Archive::connect(url).await.expect("an archive beside it");
}

#[tokio::test]
async fn an_archive_further_along_the_path_is_another() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let client = client(&postgres.url()).await;
    Archive::connect(postgres.url()).await.expect("an archive");
    let path = |schema: &str| format!("{}?options=-csearch_path%3D{schema}%2Cpublic", postgres.url());
    client.batch_execute("CREATE SCHEMA ours; CREATE SCHEMA theirs").await.expect("schemas");
    // Theirs has the columns as well.
    client.batch_execute("CREATE TABLE theirs.events AS TABLE public.events").await.expect("a table");
    let status = Archive::connect(path("theirs")).await.expect_err("somebody else's");
    assert_eq!(why(&status), (Code::FailedPrecondition, reason::DATABASE_REFUSED.to_owned()));
    Archive::connect(path("ours")).await.expect("an archive of its own");
    let tables = "SELECT string_agg(table_schema, ',' ORDER BY table_schema) FROM information_schema.tables
        WHERE table_name = 'archive_migrations'";
    let schemas: String = client.query_one(tables, &[]).await.expect("tables").get(0);
    assert_eq!(schemas, "ours,public");
}

#[tokio::test]
async fn who_finds_the_tables_needs_no_right_to_make_them() {
    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    Archive::connect(postgres.url()).await.expect("an archive");
    let client = client(&postgres.url()).await;
    let grants = "CREATE ROLE worker LOGIN PASSWORD 'w';
        GRANT SELECT, INSERT ON events TO worker; GRANT SELECT ON archive_migrations TO worker";
    client.batch_execute(grants).await.expect("a role");
    let url = postgres.url();
    let (_, host) = url.split_once('@').expect("a host");
    let archive = Archive::connect(format!("postgres://worker:w@{host}")).await.expect("as a worker");
    assert_eq!(archive.events::<Note>().count().await.expect("the right to read"), 0);
}

#[tokio::test]
async fn what_cannot_be_connected_says_why() {
    let mut postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let url = postgres.url();
    let (_, host) = url.split_once('@').expect("a host");
    let cases = [
        (format!("postgres://postgres:wrong@{host}"), Code::Unauthenticated, reason::DATABASE_REFUSED),
        (format!("{url}_of_nobody"), Code::FailedPrecondition, reason::DATABASE_REFUSED),
        ("https://example.com".to_owned(), Code::InvalidArgument, reason::INVALID_CONFIG),
    ];
    for (url, code, reason) in cases {
        let status = Archive::connect(&url).await.expect_err(&url);
        assert_eq!(why(&status), (code, reason.to_owned()), "{status}");
    }
    postgres.kill();
    let status = Archive::connect(&url).await.expect_err("nobody there");
    assert_eq!(why(&status), (Code::Unavailable, reason::DATABASE_UNAVAILABLE.to_owned()));
}

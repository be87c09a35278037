//! The password of the database, where it must not be.

use std::{
    io,
    sync::{Arc, Mutex},
};

use subwire::Bus;
use subwire_archive::{Archive, ArchiveOptions, testing::PostgresServer};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    fixture::{Fixture, consumer, eventually},
    note::Note,
};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panicked")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

// On one thread, as the log is that of the thread.
#[tokio::test(flavor = "current_thread")]
async fn the_password_is_nowhere() {
    let log = Log::default();
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("trace")).with_writer(log.clone()).finish();
    let _logs = tracing::subscriber::set_default(logs);

    let postgres = PostgresServer::start().await.expect("a PostgreSQL");
    let mut fixture = Fixture::new(Bus::memory(), None, postgres).await;
    let worker = fixture.work(consumer("archive"));
    fixture.postgres.kill();
    fixture.publish(&[Note::new("ann", "tea", "hot")]).await;
    eventually("the outage is logged", async || log.text().contains("events wait")).await;
    let refused = Archive::connect(fixture.postgres.url()).await.expect_err("nobody there");
    fixture.postgres.restart().await.expect("a PostgreSQL");
    fixture.archived(1).await;
    eventually("its end is logged", async || log.text().contains("writes again")).await;
    worker.stop().await;

    let options = ArchiveOptions::new(fixture.postgres.url());
    let query = fixture.archive.events::<Note>().agent("ann");
    let shown = format!("{:?} {options:?} {refused:?} {refused} {query:?} {}", fixture.archive, log.text());
    for secret in fixture.postgres.secrets() {
        assert!(!shown.contains(secret), "{shown}");
    }
}

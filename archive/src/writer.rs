//! [`Writer`]: records on their way into the table.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use subwire::{Code, Result, Status};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    database::{Database, answer},
    error::unavailable,
    limits,
    record::{Record, insert},
};

/// Writes records, those that come together in one statement: while one is under way, the next ones
/// gather. Nobody waits for company, so one alone is as quick as ever.
///
/// One at a time: more connections were measured and gained nothing, as it is the disk that is waited for.
pub(crate) struct Writer {
    waiting: mpsc::Sender<Waiting>,
    _task: AbortOnDropHandle<()>,
}

/// A record, and who waits for it.
struct Waiting {
    record: Record,
    since: Instant,
    done: oneshot::Sender<Result<()>>,
}

impl Writer {
    /// Writes to this database, and is patient for so long when it is away.
    pub(crate) fn new(database: Database, outage: Duration) -> Self {
        let (waiting, records) = mpsc::channel(limits::WAITING_EVENTS);
        let table = Table { database, outage, is_away: false };
        let task = tokio::spawn(write_all(table, records));
        Self { waiting, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until it is stored. Dropping it leaves open whether it is.
    pub(crate) async fn write(&self, record: Record) -> Result<()> {
        let since = Instant::now();
        let (done, stored) = oneshot::channel();
        let over = || unavailable("the archive has ended");
        self.waiting.send(Waiting { record, since, done }).await.map_err(|_| over())?;
        stored.await.map_err(|_| over())?
    }
}

async fn write_all(mut table: Table, mut records: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while records.recv_many(&mut waiting, limits::BATCH_EVENTS).await > 0 {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for one in waiting.drain(..) {
            let more = one.record.payload.len();
            if !batch.is_empty() && bytes + more > limits::BATCH_BYTES {
                table.settle(std::mem::take(&mut batch)).await;
                bytes = 0;
            }
            bytes += more;
            batch.push(one);
        }
        table.settle(batch).await;
    }
}

/// Where records go, and whether it is there.
struct Table {
    database: Database,
    outage: Duration,
    is_away: bool,
}

impl Table {
    /// Ends when each is stored, refused, or not waited for any more.
    ///
    /// What is no fault of the event is waited out here, where it costs the event no attempt and where
    /// one line in the log tells of it, not one an event.
    async fn settle(&mut self, mut batch: Vec<Waiting>) {
        let mut pauses = pauses();
        loop {
            batch.retain(|one| !one.done.is_closed());
            if batch.is_empty() {
                return;
            }
            match self.store(&batch).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_away) {
                        tracing::info!("the archive writes again");
                    }
                    return batch.into_iter().for_each(|one| one.answer(Ok(())));
                }
                // One of them cannot be stored, and the others must not suffer for it; or they are too many.
                Err(status) if batch.len() > 1 && is_about_the_batch(&status) => {
                    let rest = batch.split_off(batch.len() / 2);
                    Box::pin(self.settle(batch)).await;
                    batch = rest;
                }
                Err(status) if is_refusal(&status) => {
                    return batch.into_iter().for_each(|one| one.answer(Err(status.clone())));
                }
                Err(status) => {
                    if !std::mem::replace(&mut self.is_away, true) {
                        tracing::warn!(%status, "the archive cannot write; events wait");
                    }
                    for one in batch.extract_if(.., |one| one.since.elapsed() >= self.outage) {
                        one.answer(Err(status.clone()));
                    }
                    sleep(pauses.next().unwrap_or(limits::RETRY_MAX)).await;
                }
            }
        }
    }

    async fn store(&self, batch: &[Waiting]) -> Result<()> {
        let records: Vec<_> = batch.iter().map(|one| &one.record).collect();
        let connection = self.database.connection().await?;
        let stored = answer(insert(&connection, records)).await;
        if stored.as_ref().err().is_none_or(is_refusal) {
            connection.keep();
        }
        stored
    }
}

/// Whether it is the event's fault.
fn is_refusal(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}

/// Whether fewer events could do better.
fn is_about_the_batch(status: &Status) -> bool {
    is_refusal(status) || status.code() == Code::DeadlineExceeded
}

impl Waiting {
    fn answer(self, stored: Result<()>) {
        // Who does not wait any more gets it again, which does no harm.
        let _ = self.done.send(stored);
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(limits::RETRY_MIN)
        .with_max_delay(limits::RETRY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

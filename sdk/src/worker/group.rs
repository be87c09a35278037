//! [`WorkerGroup`]: several workers in one program.

use std::{fmt, future::Future, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{WorkerBuilder, WorkerMonitor};
use crate::{Code, Result, Status, backoff::Backoff, status::reason};

/// Waits before a worker is started again.
const RESTART: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A worker that has run for so long starts with short waits again.
const HEALTHY: Duration = Duration::from_secs(60);

/// Several workers in one program: runs them beside each other, starts one again that fails, and stops
/// them together.
///
/// ```no_run
/// # use subwire::{WorkerBuilder, WorkerGroup, app};
/// # async fn example(scoring: WorkerBuilder, aggregation: WorkerBuilder) -> subwire::Result<()> {
/// let group = WorkerGroup::new().add("scoring", scoring).add("aggregation", aggregation);
/// group.run(app::shutdown_signal()).await
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "a group does nothing until it runs"]
pub struct WorkerGroup {
    workers: Vec<(String, WorkerBuilder)>,
}

impl WorkerGroup {
    /// Without a worker yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a worker, under a name for the log and for [`monitor`](Self::monitor).
    pub fn add(mut self, name: impl Into<String>, worker: WorkerBuilder) -> Self {
        self.workers.push((name.into(), worker));
        self
    }

    /// How the worker of this name is doing.
    pub fn monitor(&self, name: &str) -> Option<WorkerMonitor> {
        self.workers.iter().find(|(known, _)| known == name).map(|(_, worker)| worker.monitor())
    }

    /// Runs all of them until `shutdown` resolves, then stops them together, each within its grace time.
    ///
    /// One that fails is started again after a wait, random below a ceiling that grows from 1 s to 60 s; the
    /// others do not notice.
    ///
    /// # Errors
    /// What starting again does not help with ends them all: a name that is there twice or a worker that
    /// cannot be (`INVALID_ARGUMENT`), and a bus that is closed for good.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut names: Vec<_> = self.workers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("two workers are called {}: give each a name of its own", twice[0]);
            return Err(Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message));
        }
        let stopping = CancellationToken::new();
        let mut running = JoinSet::new();
        for (name, worker) in self.workers {
            running.spawn(keep_running(name, worker, stopping.clone()));
        }
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            ended = failure(&mut running) => Err(ended),
        };
        stopping.cancel();
        while running.join_next().await.is_some() {}
        ended
    }
}

impl fmt::Debug for WorkerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.workers.iter().map(|(name, worker)| (name, worker))).finish()
    }
}

/// What the first one ends with that ends by itself.
async fn failure(running: &mut JoinSet<Result<()>>) -> Status {
    loop {
        match running.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(status))) => return status,
            Some(Err(error)) => return Status::internal("a worker broke down").with_source(error),
            // Nobody is left to wait for.
            None => std::future::pending().await,
        }
    }
}

async fn keep_running(name: String, worker: WorkerBuilder, stopping: CancellationToken) -> Result<()> {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let Err(status) = worker.clone().run(stopping.cancelled()).await else { return Ok(()) };
        if stopping.is_cancelled() {
            tracing::warn!(name, %status, "a worker failed while it stopped");
            return Ok(());
        }
        if status.code() == Code::InvalidArgument || worker.is_cut_off() {
            return Err(status);
        }
        failures = if started.elapsed() >= HEALTHY { 1 } else { failures + 1 };
        let wait = RESTART.delay(failures);
        tracing::error!(name, %status, ?wait, "a worker failed: it is started again");
        if stopping.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

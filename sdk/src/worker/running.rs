//! [`RunningWorker`]: a worker that works.

use std::fmt;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::monitor::WorkerMonitor;
use crate::{Result, Status};

/// A worker that works. Dropping it stops it at once, as if it were killed: what it has in hand comes
/// again. [`stop`](Self::stop) lets it finish.
pub struct RunningWorker {
    pub(super) monitor: WorkerMonitor,
    pub(super) draining: CancellationToken,
    /// The one task that owns all others.
    pub(super) task: JoinSet<Result<()>>,
    pub(super) backstop: Option<Box<RunningWorker>>,
}

impl RunningWorker {
    /// How it is doing.
    pub fn monitor(&self) -> &WorkerMonitor {
        &self.monitor
    }

    /// Takes no more, waits for what has begun up to the grace time, hands back or cuts off the rest, and
    /// returns when the broker knows.
    ///
    /// # Errors
    /// What the worker had ended with before.
    pub async fn stop(mut self) -> Result<()> {
        self.draining.cancel();
        let backstop = self.backstop.take();
        let ended = self.ended().await;
        if let Some(backstop) = backstop
            && let Err(status) = Box::pin(backstop.stop()).await
        {
            tracing::debug!(%status, "what the broker has given up on was not swept any more");
        }
        ended
    }

    /// Waits until it ends by itself. Cancel-safe.
    ///
    /// # Errors
    /// Why it cannot go on, or why its backstop cannot.
    pub async fn ended(&mut self) -> Result<()> {
        let swept = async {
            match &mut self.backstop {
                Some(backstop) => Box::pin(backstop.ended()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = self.task.join_next() => match ended {
                Some(Ok(ended)) => ended,
                Some(Err(error)) => Err(Status::internal("a worker broke down").with_source(error)),
                None => Ok(()),
            },
            ended = swept => {
                self.backstop = None;
                ended.map_err(|status| status.with_context("the backstop of a worker"))
            }
        }
    }
}

impl fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningWorker").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

//! [`beside`]: workers that run for as long as a program does.

use std::pin::Pin;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

/// Resolves when workers are to stop.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `program` with `workers` beside it. When the program has ended the workers finish what they have.
///
/// # Errors
/// That of the program, or that of the workers, which ends the program.
pub async fn beside<T, W>(workers: impl FnOnce(Stop) -> W, program: impl Future<Output = Result<T>>) -> Result<T>
where
    W: Future<Output = subwire::Result<()>>,
{
    let (running, stopped) = oneshot::channel::<()>();
    let stop = Box::pin(async {
        // Never sent: it resolves when the other end is dropped.
        let _ = stopped.await;
    });
    let workers = async { workers(stop).await.context("the workers have failed") };
    let program = async {
        let ended = program.await;
        drop(running);
        Ok(ended)
    };
    let ((), ended) = tokio::try_join!(workers, program)?;
    ended
}

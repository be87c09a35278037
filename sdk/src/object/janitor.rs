//! [`Janitor`]: takes back what dropped puts have stored.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::chunks::Chunks;
use crate::jetstream::Acknowledgement;

/// Dropped puts that may wait to be taken back.
const WAITING: usize = 64;

/// Takes back what dropped puts have stored: a task of a store, which ends with it.
#[derive(Debug)]
pub(super) struct Janitor {
    abandoned: mpsc::Sender<Abandoned>,
    _task: AbortOnDropHandle<()>,
}

/// Chunks of a put that was dropped.
#[derive(Debug)]
struct Abandoned {
    nuid: String,
    in_flight: VecDeque<Acknowledgement>,
}

impl Janitor {
    pub(super) fn start(chunks: Chunks) -> Self {
        let (abandoned, waiting) = mpsc::channel(WAITING);
        Self { abandoned, _task: AbortOnDropHandle::new(tokio::spawn(clean(chunks, waiting))) }
    }

    /// Takes them back, soon.
    pub(super) fn take_back(&self, nuid: &str, in_flight: VecDeque<Acknowledgement>) {
        if self.abandoned.try_send(Abandoned { nuid: nuid.to_owned(), in_flight }).is_err() {
            tracing::warn!(nuid, "chunks of no object may be left: more puts were dropped than can be taken back");
        }
    }
}

async fn clean(chunks: Chunks, mut waiting: mpsc::Receiver<Abandoned>) {
    while let Some(Abandoned { nuid, in_flight }) = waiting.recv().await {
        // What is on its way would arrive behind the purge.
        for chunk in in_flight {
            drop(chunk.await);
        }
        chunks.purge(&nuid).await;
    }
}

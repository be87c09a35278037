//! [`Outbox`]: messages that did not fit the client's queue when they were posted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{mpsc, oneshot};

use super::{Shared, disconnected};
use crate::{Result, bus::Message};

/// Messages that may wait in the outbox. Beyond it they are dropped, and the log says so.
const OUTBOX_MESSAGES: usize = 16_384;

/// Messages that did not fit the client's queue when they were posted, in their order.
///
/// While one waits, everything else goes through here too, or it would overtake.
pub(super) struct Outbox {
    queue: mpsc::Sender<Letter>,
    waiting: Arc<AtomicUsize>,
}

/// The other end; [`run`](Self::run) belongs into a task.
pub(super) struct Postman {
    queue: mpsc::Receiver<Letter>,
    waiting: Arc<AtomicUsize>,
}

/// A message, and who wants to know what became of it.
struct Letter {
    message: Message,
    receipt: Option<oneshot::Sender<Result<()>>>,
}

impl Outbox {
    pub(super) fn new() -> (Self, Postman) {
        let (sender, receiver) = mpsc::channel(OUTBOX_MESSAGES);
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { queue: sender, waiting: waiting.clone() }, Postman { queue: receiver, waiting })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Adds a message where nothing can wait.
    pub(super) fn post(&self, message: Message) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = self.queue.try_send(Letter { message, receipt: None }) {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            let Letter { message, .. } = error.into_inner();
            tracing::warn!(subject = %message.subject, limit = OUTBOX_MESSAGES, "the outbox is full: a message is lost");
        }
    }

    /// Adds a message, and waits until the client has it.
    pub(super) async fn send(&self, message: Message) -> Result<()> {
        let (receipt, sent) = oneshot::channel();
        let room = self.queue.reserve().await.map_err(|_| disconnected())?;
        self.waiting.fetch_add(1, Ordering::AcqRel);
        room.send(Letter { message, receipt: Some(receipt) });
        // An error means that the bus is gone.
        sent.await.unwrap_or_else(|_| Err(disconnected()))
    }
}

impl Postman {
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        while let Some(Letter { message, receipt }) = self.queue.recv().await {
            let subject = message.subject.clone();
            let sent = shared.publish(message).await;
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            match (receipt, sent) {
                // Fails when nobody waits any more.
                (Some(receipt), sent) => drop(receipt.send(sent)),
                (None, Err(status)) => {
                    tracing::debug!(%status, %subject, "a posted message could not be sent");
                }
                (None, Ok(())) => {}
            }
        }
    }
}

//! [`Decoder`]: batches of bytes become a stream of messages.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::{
    Metadata, Result,
    layer::deadline::exceeded,
    message::{Batches, Room},
};

/// Decodes the messages of a stream that comes from the other side.
pub(crate) struct Decoder<T> {
    batches: Box<dyn Batches>,
    entries: Bytes,
    decode: fn(&mut Bytes) -> Result<T>,
    deadline: Option<Pin<Box<Sleep>>>,
    pub(super) metadata: Metadata,
}

impl<T> Decoder<T> {
    pub(crate) fn new(
        batches: Box<dyn Batches>,
        decode: fn(&mut Bytes) -> Result<T>,
        metadata: Metadata,
        deadline: Option<Instant>,
    ) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self { batches, entries: Bytes::new(), decode, deadline, metadata }
    }
}

impl<T> Decoder<T> {
    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if !self.entries.is_empty() {
                return Poll::Ready(Some((self.decode)(&mut self.entries)));
            }
            // Once a batch, so that a stream which always has more does not starve its neighbours.
            ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
            match self.batches.poll_batch(cx, Room::FRAME) {
                Poll::Ready(Some(batch)) => self.entries = batch?.into_entries(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    if let Some(deadline) = &mut self.deadline {
                        ready!(deadline.as_mut().poll(cx));
                        return Poll::Ready(Some(Err(exceeded())));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    pub(super) fn trailers(&mut self) -> Metadata {
        self.batches.trailers()
    }
}

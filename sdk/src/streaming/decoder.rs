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

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;
    use crate::{
        Code, Status, Streaming,
        message::{Batch, BatchWriter, decode_entry},
    };

    /// One batch, and then no end.
    struct One(Option<Batch>);

    impl Batches for One {
        fn poll_batch(&mut self, _: &mut TaskContext<'_>, _: Room) -> Poll<Option<Result<Batch>>> {
            self.0.take().map_or(Poll::Pending, |batch| Poll::Ready(Some(Ok(batch))))
        }

        fn trailers(&mut self) -> Metadata {
            Metadata::new()
        }
    }

    fn texts(messages: &[&[u8]]) -> Streaming<String> {
        let mut batch = BatchWriter::with_capacity(64);
        for message in messages {
            batch.push(message.len(), |buffer| buffer.put_slice(message));
        }
        let decode = |entries: &mut Bytes| decode_entry(entries, |error| Status::internal(error.to_string()));
        Streaming::remote(Decoder::new(Box::new(One(Some(batch.finish(false)))), decode, Metadata::new(), None))
    }

    #[tokio::test]
    async fn a_message_ends_where_its_entry_ends() -> Result<()> {
        // The second says of its text that it goes on, into the third or beyond the batch.
        for bad in [&[0x0a, 4, b'x'][..], &[0x0a, 200, 1, b'x'], &[0x0a], &[0x0f]] {
            let mut texts = texts(&[&[0x0a, 2, b'o', b'k'], bad, &[0x0a, 1, b'y']]);
            assert_eq!(texts.message().await?.as_deref(), Some("ok"));
            let status = texts.message().await.expect_err("not a text");
            assert_eq!(status.code(), Code::Internal, "{bad:?}");
            assert_eq!(texts.message().await?, None, "{bad:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn empty_messages_are_messages() -> Result<()> {
        let mut texts = texts(&[&[], &[0x0a, 1, b'x'], &[]]);
        for text in ["", "x", ""] {
            assert_eq!(texts.message().await?.as_deref(), Some(text));
        }
        Ok(())
    }
}

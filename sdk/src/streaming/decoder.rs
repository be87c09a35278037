//! [`Decoder`]: batches of bytes become a stream of messages.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::{
    Metadata, Result,
    layer::deadline::exceeded,
    message::{Batch, Batches, Room},
};

/// Messages that are decoded at one go. One at a time would cost more: what the processor has just written in
/// small pieces it is slow to move on in large ones. And so would many: an allocator keeps a few blocks of a
/// size at hand (glibc: 7), and these are all alive together.
const DECODED: usize = 4;

/// Decodes messages off the front of a batch, as many as there is room for.
type Decode<T> = fn(&mut Bytes, &mut VecDeque<Result<T>>);

/// Decodes the messages of a stream that comes from the other side.
pub(crate) struct Decoder<T> {
    batches: Box<dyn Batches>,
    entries: Bytes,
    /// Messages that are decoded and not read yet; a failure is the last of them.
    decoded: VecDeque<Result<T>>,
    decode: Decode<T>,
    deadline: Option<Pin<Box<Sleep>>>,
    pub(super) metadata: Metadata,
}

impl<T> Decoder<T> {
    pub(crate) fn new(
        batches: Box<dyn Batches>,
        decode: Decode<T>,
        metadata: Metadata,
        deadline: Option<Instant>,
    ) -> Self {
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self { batches, entries: Bytes::new(), decoded: VecDeque::new(), decode, deadline, metadata }
    }
}

impl<T> Decoder<T> {
    /// Waits until it is known what comes next: [`next`](Self::next) gives it.
    pub(super) fn poll_fill(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        while self.decoded.is_empty() {
            if self.entries.is_empty() {
                match ready!(self.poll_batch(cx)) {
                    Some(Ok(batch)) => self.entries = batch.into_entries(),
                    Some(Err(status)) => self.decoded.push_back(Err(status)),
                    None => break,
                }
            }
            if !self.entries.is_empty() {
                self.decoded.reserve_exact(DECODED);
                (self.decode)(&mut self.entries, &mut self.decoded);
            }
        }
        Poll::Ready(())
    }

    fn poll_batch(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Batch>>> {
        // Looked at even while there are messages: a stream which always has more would never end.
        if self.deadline.as_ref().is_some_and(|deadline| deadline.deadline() <= Instant::now()) {
            return Poll::Ready(Some(Err(exceeded())));
        }
        // Once a batch, so that a stream which always has more does not starve its neighbours.
        ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
        let batch = self.batches.poll_batch(cx, Room::FRAME);
        if batch.is_pending()
            && let Some(deadline) = &mut self.deadline
        {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(exceeded())));
        }
        batch
    }

    /// Whether a message comes next, and neither a failure nor the end.
    pub(super) fn has_message(&self) -> bool {
        matches!(self.decoded.front(), Some(Ok(_)))
    }

    pub(super) fn next(&mut self) -> Option<Result<T>> {
        self.decoded.pop_front()
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
        message::{BatchWriter, decode_entries},
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
        let decode = |entries: &mut Bytes, decoded: &mut VecDeque<Result<String>>| {
            decode_entries(entries, decoded, |error| Status::internal(error.to_string()));
        };
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

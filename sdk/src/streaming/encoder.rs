//! [`Encoder`]: a stream of messages becomes batches of bytes.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use futures_util::Stream;
use prost::Message;

use crate::{
    Metadata, Result, Status, Streaming,
    context::OverGuard,
    message::{Batch, BatchWriter, Batches, Room, entry_len},
};

/// Encodes the messages of a stream. Whatever is ready when it is asked goes into one batch.
pub(crate) struct Encoder<T> {
    messages: Streaming<T>,
    /// The message that did not fit the last batch.
    held: Option<T>,
    end: Option<Option<Status>>,
    /// What the last batch took, as the guess for the next one.
    capacity: usize,
    /// The call whose answer this is. A request stream has none.
    call: Option<OverGuard>,
}

impl<T> Encoder<T> {
    pub(crate) fn request(messages: Streaming<T>) -> Self {
        Self { messages, held: None, end: None, capacity: 64, call: None }
    }

    pub(crate) fn response(messages: Streaming<T>, call: OverGuard) -> Self {
        Self { call: Some(call), ..Self::request(messages) }
    }

    fn poll_message(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T>>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(Ok(held)));
        }
        let messages = Pin::new(&mut self.messages);
        std::panic::catch_unwind(AssertUnwindSafe(|| messages.poll_next(cx)))
            .unwrap_or_else(|panic| Poll::Ready(Some(Err(crate::__codegen::panicked(&*panic)))))
    }
}

impl<T: Message + 'static> Batches for Encoder<T> {
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, room: Room) -> Poll<Option<Result<Batch>>> {
        if let Some(end) = self.end.take() {
            self.end = Some(None);
            return Poll::Ready(end.map(Err));
        }
        let mut batch: Option<BatchWriter> = None;
        loop {
            match self.poll_message(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    let len = message.encoded_len();
                    if batch.as_ref().is_some_and(|batch| batch.bytes() + entry_len(len) > room.bytes) {
                        self.held = Some(message);
                        break;
                    }
                    let batch =
                        batch.get_or_insert_with(|| BatchWriter::with_capacity(entry_len(len).max(self.capacity)));
                    batch.push(len, |buffer| message.encode_raw(buffer));
                    if batch.bytes() >= room.bytes || batch.messages() >= room.messages {
                        break;
                    }
                }
                Poll::Ready(end) => {
                    self.end = Some(end.and_then(Result::err));
                    break;
                }
                Poll::Pending if batch.is_none() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        match batch {
            Some(batch) => {
                self.capacity = batch.bytes().min(room.bytes);
                self.capacity += self.capacity / 8;
                Poll::Ready(Some(Ok(batch.finish(matches!(self.end, Some(None))))))
            }
            None => Poll::Ready(self.end.replace(None).flatten().map(Err)),
        }
    }

    fn trailers(&mut self) -> Metadata {
        self.call.as_mut().map(|call| call.take_reply().trailers).unwrap_or_default()
    }
}

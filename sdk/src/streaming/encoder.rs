//! [`Encoder`]: a stream of messages becomes batches of bytes.

use std::{
    panic::AssertUnwindSafe,
    task::{Context as TaskContext, Poll},
};

use prost::Message;

use super::messages::{Pause, Take};

use crate::{
    __codegen::panicked,
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
}

impl<T: Message> Encoder<T> {
    /// Adds what is ready to a batch, until it is full. A stream that has no more leaves its end.
    fn fill(&mut self, batch: &mut Option<BatchWriter>, cx: &mut TaskContext<'_>, room: Room) {
        let capacity = self.capacity;
        let mut take = |message: &T| add(batch, message, room, capacity);
        if let Some(held) = self.held.take()
            && !matches!(take(&held), Take::More)
        {
            return;
        }
        match self.messages.poll_each(cx, &mut take) {
            Pause::Enough | Pause::Pending => {}
            Pause::Refused(message) => self.held = Some(message),
            Pause::End(failure) if self.call.is_some() => self.end = Some(failure.map(Status::may_have_run)),
            Pause::End(failure) => self.end = Some(failure),
        }
    }
}

/// Adds a message to a batch. The first always fits, and a second that is not too large for a batch of its own.
fn add<T: Message>(batch: &mut Option<BatchWriter>, message: &T, room: Room, capacity: usize) -> Take {
    let len = message.encoded_len();
    if let Some(batch) = batch
        && batch.bytes() + entry_len(len) > room.bytes
        && (batch.messages() > 1 || entry_len(len) > room.bytes)
    {
        return Take::Refused;
    }
    let batch = batch.get_or_insert_with(|| BatchWriter::with_capacity(entry_len(len).max(capacity)));
    batch.push(len, |buffer| message.encode_raw(buffer));
    match batch.bytes() < room.bytes && batch.messages() < room.messages {
        true => Take::More,
        false => Take::Enough,
    }
}

impl<T: Message + 'static> Batches for Encoder<T> {
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, room: Room) -> Poll<Option<Result<Batch>>> {
        if let Some(end) = self.end.take() {
            self.end = Some(None);
            return Poll::Ready(end.map(Err));
        }
        let mut batch = None;
        // Around all of it: around each message it would cost as much as encoding a small one.
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| self.fill(&mut batch, cx, room))) {
            self.end = Some(Some(panicked(&*panic)));
        }
        match batch {
            Some(batch) => {
                self.capacity = batch.bytes().min(room.bytes);
                self.capacity += self.capacity / 8;
                Poll::Ready(Some(Ok(batch.finish(matches!(self.end, Some(None))))))
            }
            None if self.end.is_none() => Poll::Pending,
            None => Poll::Ready(self.end.replace(None).flatten().map(Err)),
        }
    }

    fn trailers(&mut self) -> Metadata {
        self.call.as_mut().map(|call| call.take_reply().trailers).unwrap_or_default()
    }
}

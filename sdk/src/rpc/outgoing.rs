//! [`Outgoing`]: a stream of messages on its way, in frames.

use std::{future::poll_fn, sync::Arc, task::Poll};

use bytes::{Buf, BufMut, Bytes};
use prost::Message as _;

use super::{exchange::Exchange, message_limit::MessageLimit};
use crate::{
    Code, Metadata, Result, Status,
    bus::{Bus, message::Message},
    limits,
    message::{Batch, BatchWriter, Batches, Body, Room, entry_len, next_entry},
    status::reason,
    wire::{
        frame::{self, Accept, End, Entries, Head, Part},
        header::Headers,
        subject::Subject,
    },
};

/// Writes the messages of one direction: within the credit, in pieces where they are too large, and
/// with whatever is ready in one frame.
pub(crate) struct Outgoing {
    bus: Bus,
    exchange: Arc<Exchange>,
    to: Subject,
    headers: Headers,
    limit: MessageLimit,
    seq: u64,
    messages: u64,
    /// What the next frame says beside its messages.
    head: Head,
}

impl Outgoing {
    pub(crate) fn new(bus: Bus, exchange: Arc<Exchange>, to: Subject, limit: MessageLimit) -> Self {
        let (headers, head) = (Headers::new(), Head::default());
        Self { bus, exchange, to, headers, limit, seq: 0, messages: 0, head }
    }

    /// Puts these headers on every frame.
    pub(crate) fn marked(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Goes on where a first frame, which went another way, left off.
    pub(crate) fn after_first(mut self, messages: usize) -> Self {
        self.seq = 1;
        self.messages = messages as u64;
        self
    }

    /// Says who has the call: with the next frame, or with [`flush`](Self::flush).
    pub(crate) fn accept(&mut self, accept: Accept) {
        self.head.accept = Some(Box::new(accept));
    }

    /// Says that the response has begun.
    pub(crate) fn start(&mut self, metadata: &Metadata) {
        self.head.metadata = Some(Entries::from_metadata(metadata));
    }

    /// Sends what is to be said and has not been.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` for metadata that is larger, as it travels, than what the broker takes.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        if self.head == Head::default() {
            return Ok(());
        }
        if self.head.metadata.is_some() && !self.fits(0, None) {
            self.head.metadata = None;
            return Err(self.too_much("metadata"));
        }
        // Metadata is content and must not be lost; an accept can come twice.
        let head = match self.head.metadata.is_some() {
            true => self.numbered(),
            false => std::mem::take(&mut self.head),
        };
        self.publish(frame::control(&head)).await
    }

    /// Sends a whole body and its end. After an error the end is still to be sent.
    pub(crate) async fn body(&mut self, body: Body, trailers: Metadata) -> Result<()> {
        match body {
            Body::Message(bytes) => {
                self.limit.check(bytes.len())?;
                self.send(one(&bytes), Some(trailers)).await
            }
            Body::Stream(mut batches) => self.stream(&mut *batches).await,
        }
    }

    /// Sends a stream and its end. After an error the end is still to be sent.
    pub(crate) async fn stream(&mut self, batches: &mut dyn Batches) -> Result<()> {
        loop {
            let room = self.exchange.room(frame_bytes(&self.bus)).await?;
            let now = poll_fn(|cx| Poll::Ready(batches.poll_batch(cx, room))).await;
            let next = match now {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.flush().await?;
                    poll_fn(|cx| batches.poll_batch(cx, room)).await
                }
            };
            match next {
                Some(Ok(mut batch)) => {
                    let cut = self.limit.cut(&mut batch);
                    let end = batch.last.then(|| batches.trailers());
                    let last = end.is_some();
                    if batch.messages() > 0 {
                        self.send(batch, end).await?;
                    }
                    cut?;
                    if last {
                        return Ok(());
                    }
                }
                Some(Err(status)) => return self.end(Err(status), batches.trailers()).await,
                None => return self.end(Ok(()), batches.trailers()).await,
            }
        }
    }

    /// Sends the end alone. That it failed is told in any case: what is too large to tell stays behind.
    pub(crate) async fn end(&mut self, outcome: Result<()>, mut trailers: Metadata) -> Result<()> {
        let mut status = outcome.err();
        // A stream that is passed on has both from the same end.
        if let Some(status) = &status
            && trailers != *status.metadata()
        {
            trailers.extend(status.metadata());
        }
        let mut end = self.end_head(status.as_ref(), &trailers);
        if !self.fits(0, Some(&end)) {
            if let Err(unsent) = self.flush().await {
                status.get_or_insert(unsent);
            }
            if !self.fits(0, Some(&end)) {
                let status = status.unwrap_or_else(|| self.too_much("trailers"));
                let room = self.bus.max_payload().saturating_sub(limits::FRAME_RESERVE_BYTES);
                let short = status.shortened(room);
                end = self.end_head(Some(&short), short.metadata());
            }
        }
        self.head.end = Some(end);
        let head = self.numbered();
        self.publish(frame::control(&head)).await
    }

    async fn send(&mut self, batch: Batch, mut end: Option<Metadata>) -> Result<()> {
        if batch.bytes() <= self.part_bytes() && batch.messages() <= Room::FRAME.messages {
            return self.send_frame(batch, end).await;
        }
        // One large message; or many, from a sender that put more into a frame than we may.
        let mut entries = batch.into_entries();
        while let Some(message) = next_entry(&mut entries)? {
            let end = if entries.is_empty() { end.take() } else { None };
            if entry_len(message.len()) > self.part_bytes() {
                self.send_parts(message, end).await?;
            } else {
                self.exchange.room(1).await?;
                self.send_frame(one(&message), end).await?;
            }
        }
        Ok(())
    }

    async fn send_frame(&mut self, batch: Batch, end: Option<Metadata>) -> Result<()> {
        let (messages, bytes) = (batch.messages(), batch.bytes());
        self.messages += messages as u64;
        self.exchange.spend(messages, bytes);
        let end_apart = self.add_end(bytes, end).await?;
        let head = self.numbered();
        self.publish(batch.into_frame(&head)).await?;
        match end_apart {
            Some(trailers) => self.end(Ok(()), trailers).await,
            None => Ok(()),
        }
    }

    async fn send_parts(&mut self, mut message: Bytes, mut end: Option<Metadata>) -> Result<()> {
        let total = message.len();
        self.messages += 1;
        let mut end_apart = None;
        while message.has_remaining() {
            self.exchange.room(1).await?;
            let piece = message.split_to(self.part_bytes().min(message.len()));
            self.exchange.spend(0, piece.len());
            let end = if message.is_empty() { end.take() } else { None };
            end_apart = self.add_end(piece.len(), end).await?;
            self.head.part = Some(Part { data: piece, total: total as u64 });
            let head = self.numbered();
            self.publish(frame::control(&head)).await?;
        }
        match end_apart {
            Some(trailers) => self.end(Ok(()), trailers).await,
            None => Ok(()),
        }
    }

    /// Makes the end part of the next frame, if all it has to say fits beside these `bytes` of messages. Else
    /// what comes before them goes ahead, and the end is given back to come behind.
    async fn add_end(&mut self, bytes: usize, end: Option<Metadata>) -> Result<Option<Metadata>> {
        let head = end.as_ref().map(|trailers| self.end_head(None, trailers));
        if (head.is_some() || self.head != Head::default()) && !self.fits(bytes, head.as_deref()) {
            self.flush().await?;
            return Ok(end);
        }
        self.head.end = head;
        Ok(None)
    }

    /// Whether the broker takes the next frame with these `bytes` of messages and this end.
    fn fits(&self, bytes: usize, end: Option<&End>) -> bool {
        /// Of `seq` and of what is around messages and end.
        const KEYS: usize = 64;
        let end = end.map_or(0, End::encoded_len);
        self.headers.wire_len() + self.head.encoded_len() + bytes + end + KEYS <= self.bus.max_payload()
    }

    /// The head of the next frame with content.
    fn numbered(&mut self) -> Head {
        self.seq += 1;
        Head { seq: self.seq, ..std::mem::take(&mut self.head) }
    }

    fn too_much(&self, what: &str) -> Status {
        let most = self.bus.max_payload();
        let message =
            format!("the {what} of the response are larger on their way than the {most} bytes the broker takes");
        Status::made_here(Code::ResourceExhausted, reason::TOO_LARGE_RESPONSE, message)
    }

    fn end_head(&self, status: Option<&Status>, trailers: &Metadata) -> Box<End> {
        let trailers = (!trailers.is_empty()).then(|| Entries::from_metadata(trailers));
        Box::new(End { status: status.map(Status::to_proto), trailers, messages: self.messages })
    }

    async fn publish(&self, frame: Bytes) -> Result<()> {
        let message = Message::new(self.to.clone(), frame).with_headers(self.headers.clone());
        self.bus.publish(message).await.map_err(Status::may_have_run)?;
        self.exchange.sent(self.seq);
        Ok(())
    }

    fn part_bytes(&self) -> usize {
        part_bytes(&self.bus)
    }
}

/// What one frame may carry: the broker closes the connection of whoever sends more.
pub(crate) fn part_bytes(bus: &Bus) -> usize {
    limits::PART_BYTES.min(bus.max_payload().saturating_sub(limits::FRAME_RESERVE_BYTES)).max(1)
}

/// A batch of one message.
fn one(message: &Bytes) -> Batch {
    let mut batch = BatchWriter::with_capacity(entry_len(message.len()));
    batch.push(message.len(), |buffer| buffer.put_slice(message));
    batch.finish(false)
}

/// Where a frame takes no more messages.
fn frame_bytes(bus: &Bus) -> usize {
    limits::FRAME_BYTES.min(part_bytes(bus))
}

/// The messages of a stream that are ready now, as its first frame. Nobody has been asked to wait yet.
pub(crate) async fn first_batch(bus: &Bus, batches: &mut dyn Batches) -> Option<Result<Option<Batch>>> {
    let room = Room { bytes: frame_bytes(bus), ..Room::FRAME };
    match poll_fn(|cx| Poll::Ready(batches.poll_batch(cx, room))).await {
        Poll::Ready(Some(Ok(batch))) => Some(Ok(Some(batch))),
        Poll::Ready(Some(Err(status))) => Some(Err(status)),
        Poll::Ready(None) => Some(Ok(None)),
        Poll::Pending => None,
    }
}

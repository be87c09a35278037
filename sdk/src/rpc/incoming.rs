//! [`Incoming`]: the stream of messages that arrives in frames.

use std::{
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    exchange::{Arrival, Exchange},
    message_limit::MessageLimit,
};
use crate::{
    Code, Metadata, Result, Status,
    bus::{Bus, message::Message},
    message::{Batch, BatchWriter, Batches, Room},
    status::reason,
    wire::{
        frame::{self, End, Frame, Head, Part},
        header::Headers,
        status,
        subject::Subject,
    },
};

/// Reads the messages of one direction: credit is granted as they are read, pieces are put together,
/// and the end counts only if nothing is missing.
pub(crate) struct Incoming {
    bus: Bus,
    exchange: Arc<Exchange>,
    /// Where credit goes: known from the start to a service, and to a caller once it is accepted.
    peer: Option<Subject>,
    /// Sent with grants to callers who could take a frame for a plain reply.
    headers: Headers,
    limit: MessageLimit,
    /// The batch handed out last: read by the time the next is asked for.
    unread: (usize, usize),
    messages: u64,
    assembling: Option<Assembling>,
    end: Option<Result<(), Status>>,
    trailers: Metadata,
}

struct Assembling {
    total: usize,
    data: BytesMut,
}

impl Incoming {
    /// What a service reads: credit goes to the caller's inbox.
    pub(crate) fn requests(bus: Bus, exchange: Arc<Exchange>, caller: Subject, limit: MessageLimit) -> Self {
        Self::new(bus, exchange, Some(caller), limit)
    }

    /// What a caller reads: credit goes to whoever accepted the call.
    pub(crate) fn responses(bus: Bus, exchange: Arc<Exchange>, limit: MessageLimit) -> Self {
        Self::new(bus, exchange, None, limit)
    }

    fn new(bus: Bus, exchange: Arc<Exchange>, peer: Option<Subject>, limit: MessageLimit) -> Self {
        Self {
            bus,
            exchange,
            peer,
            headers: Headers::new(),
            limit,
            unread: (0, 0),
            messages: 0,
            assembling: None,
            end: None,
            trailers: Metadata::new(),
        }
    }

    pub(crate) fn marked(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// The one message of a direction that has one, and what came after it.
    pub(crate) async fn only_message(mut self) -> Result<(Bytes, Metadata)> {
        let mut only = None;
        while let Some(batch) = std::future::poll_fn(|cx| self.poll_batch(cx, Room::FRAME)).await {
            let batch = batch?;
            if only.is_some() || batch.messages() != 1 {
                return Err(broken("several messages came where one was expected"));
            }
            only = crate::message::next_entry(&mut batch.into_entries())?;
        }
        let only = only.ok_or_else(|| broken("no message came where one was expected"))?;
        Ok((only, self.trailers))
    }

    fn grant(&mut self) {
        let (messages, bytes) = std::mem::take(&mut self.unread);
        if (messages, bytes) == (0, 0) || self.end.is_some() {
            return;
        }
        let Some(credit) = self.exchange.read(messages, bytes) else { return };
        if self.peer.is_none() {
            self.peer = self.exchange.accept().and_then(|accept| Subject::new(accept.subject).ok());
        }
        if let Some(peer) = &self.peer {
            let frame = frame::control(&Head { credit: Some(credit), ..Head::default() });
            self.bus.post(Message::new(peer.clone(), frame).with_headers(self.headers.clone()));
        }
    }

    fn take_in(&mut self, frame: Frame) -> Result<Option<Batch>> {
        let Frame { head, entries, messages, .. } = frame;
        let mut batch = None;
        if let Some(part) = head.part {
            batch = self.assemble(part)?;
        } else if messages > 0 {
            if self.assembling.is_some() {
                return Err(broken("a message began before the pieces of another had all come"));
            }
            self.unread = (messages, entries.len());
            let mut come = Batch::from_entries(entries, messages);
            if let Err(status) = self.limit.cut(&mut come) {
                self.exchange.fail(status.clone());
                self.end = Some(Err(status));
                return Ok((come.messages() > 0).then_some(come));
            }
            batch = Some(come);
        }
        self.messages += batch.as_ref().map_or(0, |batch| batch.messages() as u64);
        if let Some(end) = head.end {
            self.end = Some(self.close(*end));
        }
        Ok(batch)
    }

    fn assemble(&mut self, part: Part) -> Result<Option<Batch>> {
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        self.limit.check(total)?;
        self.unread = (0, part.data.len());
        // Room is made for what has come, never for what is announced.
        let assembling = self.assembling.get_or_insert_with(|| Assembling { total, data: BytesMut::new() });
        if assembling.total != total || assembling.data.len() + part.data.len() > total {
            return Err(broken("the pieces of a message do not fit together"));
        }
        assembling.data.put_slice(&part.data);
        if assembling.data.len() < total {
            return Ok(None);
        }
        let data = self.assembling.take().map(|assembling| assembling.data).unwrap_or_default();
        let mut batch = BatchWriter::with_capacity(crate::message::entry_len(total));
        batch.push(total, |buffer| buffer.put_slice(&data));
        Ok(Some(batch.finish(false)))
    }

    fn close(&mut self, end: End) -> Result<(), Status> {
        self.trailers = end.trailers.map(|trailers| trailers.to_metadata()).unwrap_or_default();
        if let Some(status) = end.status {
            return Err(Status::from_proto(status).with_metadata(self.trailers.clone()));
        }
        if end.messages != self.messages || self.assembling.is_some() {
            return Err(broken("the stream ended before all of its messages had come"));
        }
        Ok(())
    }
}

impl Batches for Incoming {
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, _: Room) -> Poll<Option<Result<Batch>>> {
        loop {
            self.grant();
            if let Some(end) = &mut self.end {
                return Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err));
            }
            let taken =
                match ready!(self.exchange.poll_arrival(cx)) {
                    Ok(Arrival::Frame(frame)) => self.take_in(frame),
                    Ok(Arrival::Reply(reply)) => Err(status::decode(&reply)
                        .unwrap_or_else(|| broken("a plain reply came in the middle of a stream"))),
                    Err(status) => Err(status),
                };
            match taken {
                Ok(None) => {}
                Ok(Some(mut batch)) => {
                    batch.last = matches!(self.end, Some(Ok(())));
                    return Poll::Ready(Some(Ok(batch)));
                }
                Err(status) => {
                    self.exchange.fail(status.clone());
                    self.end = Some(Ok(()));
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    fn trailers(&mut self) -> Metadata {
        std::mem::take(&mut self.trailers)
    }
}

fn broken(message: &str) -> Status {
    Status::made_here(Code::Unavailable, reason::STREAM_GAP, message)
}

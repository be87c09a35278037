//! [`Deliveries`]: what a consumer hands out.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, SystemTime},
};

use super::{engine, remote};
use crate::{Result, bus::Message};

/// A message that a consumer has handed out.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    /// The message as it was published; `reply` is not the publisher's.
    pub(crate) message: Message,
    pub(crate) origin: Arc<Origin>,
    /// Its place in the stream.
    pub(crate) stream_sequence: u64,
    /// Counts what this consumer handed out: a hole is a loss on the way.
    pub(crate) consumer_sequence: u64,
    /// 1 for the first time.
    pub(crate) attempt: u32,
    /// Whether its headers and its subject are as they were published, or only as far as they can be made out:
    /// what the client of the broker cannot read.
    pub(crate) is_readable: bool,
    /// When it was stored.
    pub(crate) time: SystemTime,
    /// How many the consumer has not handed out yet.
    pub(crate) pending: u64,
    pub(crate) ticket: Ticket,
}

/// Who has handed out a message. All of a reader's deliveries share one.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) stream: Box<str>,
    pub(crate) consumer: Box<str>,
}

/// By what a delivery is acknowledged.
#[derive(Clone)]
pub(crate) enum Ticket {
    Memory(engine::Ticket),
    Remote(remote::Ticket),
}

/// Deliveries that are done, which is said of all of them together
/// ([`JetStream::say_done`](super::JetStream::say_done)).
#[derive(Default)]
pub(crate) struct Done {
    pub(super) here: engine::Done,
    pub(super) remote: VecDeque<remote::Ticket>,
}

impl Done {
    pub(crate) fn add(&mut self, delivered: &Delivered) {
        match &delivered.ticket {
            Ticket::Memory(ticket) => self.here.add(ticket),
            Ticket::Remote(ticket) => self.remote.push_back(ticket.clone()),
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ack {
    /// It is done.
    Done,
    /// It is to be handed out again, after this time. Without one the server would do it at once,
    /// which is how a failing message becomes a storm.
    Retry(Duration),
    /// It is being worked on: its wait begins anew.
    Progress,
    /// It will not be handed out again.
    Term(String),
}

/// How a consumer is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pull {
    /// Messages that may be here and not taken yet.
    pub(crate) messages: usize,
    /// Bytes that may be, at least one message.
    pub(crate) bytes: usize,
}

/// What a consumer hands out, for as long as somebody reads. Dropping it stops it; what was handed out
/// and not read comes again after its wait.
///
/// A lost connection is waited out. An error is final: the consumer or its stream is gone
/// (`NOT_FOUND`), may not be read (`PERMISSION_DENIED`), or the bus is closed (`UNAVAILABLE`).
pub(crate) struct Deliveries(pub(super) Source);

pub(super) enum Source {
    Memory(engine::Deliveries),
    Remote(Box<remote::Deliveries>),
}

impl Deliveries {
    /// The next one; `None` after [`stop`](Self::stop), when what was here is read. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Delivered>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Delivered>>> {
        match &mut self.0 {
            Source::Memory(memory) => memory.poll_next(cx),
            Source::Remote(remote) => remote.poll_next(cx),
        }
    }

    /// Whether the consumer has handed out more than `read` messages, and they do not come: they were lost on the
    /// way. To be asked when nothing is here.
    pub(crate) fn lacks(&self, read: u64) -> bool {
        match &self.0 {
            Source::Memory(_) => false,
            Source::Remote(remote) => remote.handed_out() > read,
        }
    }

    /// Says of everything that is here and not read yet that it is being worked on ([`Ack::Progress`]):
    /// its wait begins anew. For readers that are slower than `ack_wait`.
    pub(crate) fn progress(&mut self) {
        match &mut self.0 {
            Source::Memory(memory) => memory.progress(),
            Source::Remote(remote) => remote.progress(),
        }
    }

    /// Changes [`Pull::messages`], for what is not asked for yet.
    pub(crate) fn ask(&mut self, messages: usize) {
        match &mut self.0 {
            Source::Memory(memory) => memory.ask(messages),
            Source::Remote(remote) => remote.ask(messages),
        }
    }

    /// Asks for no more. What is here, or on its way, still comes.
    pub(crate) fn stop(&mut self) {
        match &mut self.0 {
            Source::Memory(memory) => memory.stop(),
            Source::Remote(remote) => remote.stop(),
        }
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliveries")
    }
}

//! [`Context`]: what a handler knows about the call it answers.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{Metadata, Method, Result, bus::Subject};

/// What a handler knows about the call it answers: metadata, deadline, cancellation, peer.
///
/// A clone is one atomic increment and speaks of the same call.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    method: &'static Method,
    metadata: Metadata,
    deadline: Option<Instant>,
    peer: Peer,
    over: AtomicBool,
    when_over: Notify,
    reply: Mutex<ReplyMetadata>,
}

/// Metadata that goes back to the caller.
#[derive(Debug, Default)]
pub(crate) struct ReplyMetadata {
    pub(crate) metadata: Metadata,
    pub(crate) trailers: Metadata,
}

/// Who is calling, as far as the transport can tell. This is no identity: anybody may pick an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A client in this process that calls the server directly.
    InProcess,
    /// A client on a bus, named by the inbox it wants its answers in.
    Inbox(Subject),
}

impl Context {
    pub(crate) fn new(method: &'static Method, metadata: Metadata, deadline: Option<Instant>, peer: Peer) -> Self {
        Self(Arc::new(Inner {
            method,
            metadata,
            deadline,
            peer,
            over: AtomicBool::new(false),
            when_over: Notify::new(),
            reply: Mutex::default(),
        }))
    }

    /// The method being called.
    pub fn method(&self) -> &'static Method {
        self.0.method
    }

    /// What the caller sent beside the message.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Who is calling.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// When the caller stops waiting. The handler is dropped then.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// What is left until the deadline; zero once it has passed, `None` if there is none.
    pub fn remaining(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Adds metadata to the response. It travels with the first message.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, as [`Metadata::append`].
    pub fn append_metadata(&self, name: impl AsRef<str>, value: impl Into<String>) -> Result<()> {
        self.reply(|reply| reply.metadata.append(name, value))
    }

    /// Adds metadata to the end of the response. It travels after the last message.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, as [`Metadata::append`].
    pub fn append_trailer(&self, name: impl AsRef<str>, value: impl Into<String>) -> Result<()> {
        self.reply(|reply| reply.trailers.append(name, value))
    }

    /// Whether the call is over.
    pub fn is_cancelled(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }

    /// Resolves when the call is over: answered, cancelled by the caller, past its deadline, or cut
    /// short by a server that stops.
    ///
    /// A handler is dropped when that happens, so it needs this only for work it has moved elsewhere,
    /// a spawned task or a blocking thread, which holds a clone of the context.
    pub async fn cancelled(&self) {
        loop {
            let notified = self.0.when_over.notified();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }

    /// Marks the call as over when dropped. The future or the stream of the handler holds it.
    pub(crate) fn guarded(self) -> OverGuard {
        OverGuard(self)
    }

    fn reply<T>(&self, with: impl FnOnce(&mut ReplyMetadata) -> T) -> T {
        with(&mut self.0.reply.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.0.method.path)
            .field("metadata", &self.0.metadata)
            .field("remaining", &self.remaining())
            .field("peer", &self.0.peer)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Ends the call it guards.
pub(crate) struct OverGuard(Context);

impl OverGuard {
    /// The call, as its handler sees it.
    pub(crate) fn context(&self) -> Context {
        self.0.clone()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// Takes what the handler has added so far.
    pub(crate) fn take_reply(&mut self) -> ReplyMetadata {
        match Arc::get_mut(&mut self.0.0) {
            // The handler is done with it, as a rule, and there is nobody to lock out.
            Some(call) => std::mem::take(call.reply.get_mut().unwrap_or_else(PoisonError::into_inner)),
            None => self.0.reply(std::mem::take),
        }
    }

    /// Takes the metadata that the handler has added so far, and leaves the trailers.
    pub(crate) fn take_metadata(&self) -> Metadata {
        self.0.reply(|reply| std::mem::take(&mut reply.metadata))
    }
}

impl Drop for OverGuard {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0.0) == 1 {
            // Nobody else has it, to look at it or to wait.
            return;
        }
        self.0.0.over.store(true, Ordering::Release);
        self.0.0.when_over.notify_waiters();
    }
}

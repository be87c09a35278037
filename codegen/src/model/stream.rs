//! What stores events.

use std::time::Duration;

/// A stream that a file declares.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stream {
    /// `agent-messages`
    pub name: String,
    /// One line.
    pub description: String,
    /// What it stores: at least one, and none meets another.
    pub subjects: Vec<String>,
    /// When a message goes.
    pub retention: Retention,
    /// Where messages are kept.
    pub storage: Storage,
    /// Servers that keep a copy: 1 to 5.
    pub replicas: u8,
    /// Messages that it keeps.
    pub max_messages: Option<u64>,
    /// Messages of one subject that it keeps.
    pub max_messages_per_subject: Option<u64>,
    /// Bytes that it keeps.
    pub max_bytes: Option<u64>,
    /// How long it keeps a message.
    pub max_age: Option<Duration>,
    /// The largest message that it takes.
    pub max_message_bytes: Option<u32>,
    /// What it does when it is full.
    pub discard: Discard,
    /// How long it knows the ids of messages; no longer than `max_age`.
    pub duplicate_window: Option<Duration>,
    /// Whether any replica may answer a read of one message.
    pub allow_direct: bool,
    /// Whether a message may have a time to live of its own.
    pub allow_message_ttl: bool,
    /// Whether several messages may be published as one.
    pub allow_atomic_publish: bool,
    /// What else is published when a message was stored.
    pub republish: Option<Republish>,
    /// The static in the module of streams: `AGENT_MESSAGES`.
    pub constant: String,
}

/// When a message leaves a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Retention {
    Limits,
    Interest,
    WorkQueue,
}

/// Where a stream keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Storage {
    File,
    Memory,
}

/// What a full stream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Discard {
    Old,
    New,
}

/// A copy of what was stored, for those who only listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Republish {
    /// Which subjects; `>` for all of the stream's.
    pub source: String,
    /// Under which subject.
    pub destination: String,
    /// Whether the payload is left out.
    pub headers_only: bool,
}

//! Who reads a stream.

use std::time::Duration;

/// A durable consumer that a file declares.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Consumer {
    /// `agent-processor`
    pub name: String,
    /// The stream that it reads, which some package declares.
    pub stream: String,
    /// One line.
    pub description: String,
    /// Which subjects, none of which meets another; empty: all of the stream's.
    pub filters: Vec<String>,
    /// Where it begins.
    pub deliver: Deliver,
    /// How long a message may be out before it is handed out again.
    pub ack_wait: Duration,
    /// Attempts at a message; more than there are waits in `backoff`.
    pub max_deliver: Option<u32>,
    /// Waits between attempts.
    pub backoff: Vec<Duration>,
    /// Messages that may be out at one time.
    pub max_ack_pending: u32,
    /// How fast stored messages come.
    pub replay: Replay,
    /// The static in the module of consumers: `AGENT_PROCESSOR`.
    pub constant: String,
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Deliver {
    All,
    Last,
    LastPerSubject,
    New,
    FromSequence(u64),
    /// A time, as what has passed since 1970.
    FromTime(Duration),
}

/// How fast stored messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Replay {
    Instant,
    Original,
}

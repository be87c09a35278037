//! [`StreamInfo`], [`ConsumerInfo`], [`PublishAck`]: what a broker says of its streams.

use std::{sync::Arc, time::SystemTime};

use super::{ConsumerSpec, StreamSpec};
use crate::bus::Message;

/// That a message is stored.
///
/// Stored is not on disk: nats-server writes at once and syncs every two minutes unless its
/// `sync_interval` says otherwise, so a loss of power can cost what a `kill -9` does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishAck {
    /// Where.
    pub stream: Arc<str>,
    /// Its place there. The first message has 1.
    pub sequence: u64,
    /// The stream had a message of this id already, in its duplicate window: that one's place is told.
    pub duplicate: bool,
}

/// A stream as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// What it is made to be. The server fills in what a spec leaves to it.
    pub spec: StreamSpec,
    /// Messages that it has.
    pub messages: u64,
    /// Bytes that it has, with subjects and headers.
    pub bytes: u64,
    /// The place of its oldest message; 0 if it never had one.
    pub first_sequence: u64,
    /// The place of its newest message, also when that has gone; 0 if it never had one.
    pub last_sequence: u64,
    /// When its oldest message was stored.
    pub first_time: Option<SystemTime>,
    /// How many consumers it has.
    pub consumers: u64,
    /// When it was made. Another time, and it is another stream of the same name.
    pub created: SystemTime,
}

/// A consumer as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerInfo {
    /// What it is made to be.
    pub spec: ConsumerSpec,
    /// Messages that it has not handed out yet.
    pub pending: u64,
    /// Messages that are out and not acknowledged.
    pub ack_pending: u64,
    /// Of these, messages that are out for the second time or more.
    pub redelivered: u64,
    /// Up to where everything is acknowledged, in the stream.
    pub ack_floor: u64,
    /// The last message handed out, in the stream.
    pub delivered: u64,
    /// Pulls that wait for a message.
    pub waiting: u64,
}

/// A message in its place in a stream.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// The message. Its subject is what it was published on. What is not legal in its headers, and that the broker has
    /// stored all the same, is shown as far as it can be made out.
    pub message: Message,
    /// Its place.
    pub sequence: u64,
    /// When it was stored.
    pub time: SystemTime,
}

/// Which message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Get {
    /// The one in this place.
    Sequence(u64),
    /// The newest one of this subject.
    Last(String),
    /// The first one in this place or after it that has this subject, which may have wildcards.
    Next { from: u64, subject: String },
}

/// What to take out of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Purge {
    /// Only this subject, which may have wildcards.
    pub(crate) subject: Option<String>,
    /// Only places before this one.
    pub(crate) before: Option<u64>,
    /// All but this many; not with `before`.
    pub(crate) keep: Option<u64>,
}

/// Whether a consumer is to be made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Made; one of the same name and spec is fine.
    Create,
    /// Changed.
    Update,
}

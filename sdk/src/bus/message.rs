//! [`Message`]: what a bus carries.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    Code, Event, Result, Status,
    status::reason,
    wire::{header::Headers, subject::Subject},
};

/// What a bus carries: a payload, where it goes, where an answer may go, and headers.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it goes.
    pub subject: Subject,
    /// Where an answer may go.
    pub reply: Option<Subject>,
    /// Names and values beside the payload.
    pub headers: Headers,
    /// The bytes.
    pub payload: Bytes,
    /// Set by a broker that speaks for itself; 503: nobody listens.
    pub status: Option<u16>,
}

/// What a broker says when nobody listens on the subject of a request.
pub(crate) const NO_RESPONDERS: u16 = 503;

/// The header of a message with a status that has the words for it.
pub(crate) const DESCRIPTION: &str = "Description";

impl Message {
    /// A message without reply subject or headers.
    pub fn new(subject: Subject, payload: impl Into<Bytes>) -> Self {
        Self { subject, reply: None, headers: Headers::new(), payload: payload.into(), status: None }
    }

    /// The same, with a subject for the answer.
    #[must_use]
    pub fn with_reply(mut self, reply: Subject) -> Self {
        self.reply = Some(reply);
        self
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The same, with these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

/// What can be published: a [`Message`], or a reference to an [`Event`].
pub trait IntoMessage {
    /// The message.
    ///
    /// # Errors
    /// As [`Event::to_message`].
    fn into_message(self) -> Result<Message>;
}

impl IntoMessage for Message {
    fn into_message(self) -> Result<Message> {
        Ok(self)
    }
}

impl<E: Event> IntoMessage for &E {
    // Where it is not inlined, the message is written here and read there as fast as memory allows, and no
    // faster: a tenth of what a publish costs.
    #[inline(always)]
    fn into_message(self) -> Result<Message> {
        self.to_message()
    }
}

/// The state of a connection.
#[derive(Debug, Clone)]
pub struct Link {
    /// Counts the connections so far. What was in flight in an older one is lost.
    pub epoch: u64,
    /// Whether there is one now.
    pub up: bool,
    /// Why there will never be one again: closed, or refused for good.
    pub closed: Option<Status>,
}

/// What a broker says of its own accord.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BusEvent {
    /// This connection may not publish to that subject.
    PublishDenied(String),
    /// This connection may not subscribe to that subject.
    SubscribeDenied(String),
    /// A subscription was too slow and lost a message.
    SlowConsumer,
    /// The server is about to stop.
    LameDuck,
}

/// The error of a payload that the broker would close the connection for.
pub(crate) fn too_large(size: usize, limit: usize) -> Status {
    let message = format!("the message is {size} bytes and the broker takes {limit} at most");
    Status::made_here(Code::ResourceExhausted, reason::TOO_LARGE_REQUEST, message)
}

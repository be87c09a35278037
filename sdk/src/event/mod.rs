//! [`Event`]: a message with a subject of its own.

mod fields;
mod filter;
mod pipeline;
mod publish;
mod request;
mod subscribe;
mod unread;

use std::fmt;

pub(crate) use self::subscribe::malformed;
pub use self::{
    fields::EventFields,
    filter::Filter,
    pipeline::{Pipeline, Published},
    publish::{Events, Publish},
    request::Request,
    subscribe::{Received, Subscribe, Subscriber},
    unread::WhenSlow,
};
use crate::{
    Result,
    bus::{Headers, Message, Subject},
    jetstream::header,
    wire::token,
};

/// A message with a subject of its own, by the option `(subwire.v1.event)` in its `.proto`.
///
/// Implemented by generated code.
pub trait Event: prost::Message + Default + Clone + Send + Sync + 'static {
    /// What the schema says of it.
    const INFO: &'static EventInfo;

    /// Tells the values of the fields in the subject, in their order there.
    fn fields(&self, fields: &mut EventFields<'_>);

    /// What makes it the same event when it is published twice; `None` if the schema names no field.
    fn id(&self) -> Option<&str>;

    /// Where it goes.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field whose value is empty or is not one token of a subject.
    fn subject(&self) -> Result<Subject> {
        EventFields::subject(Self::INFO, |fields| self.fields(fields))
    }

    /// The message that carries it. An id that the schema asks for and that is set goes along.
    ///
    /// # Errors
    /// As [`subject`](Self::subject).
    // As where it is called from, `IntoMessage::into_message`.
    #[inline(always)]
    fn to_message(&self) -> Result<Message> {
        let mut message = Message::new(self.subject()?, self.encode_to_vec());
        if let Some(id) = self.id().filter(|id| !id.is_empty()) {
            let mut headers = Headers::new();
            headers.append(header::ID, id);
            message.headers = headers;
        }
        Ok(message)
    }
}

/// What the schema says of an event.
pub struct EventInfo {
    /// `agents.squad.v1.AgentMessage`
    pub name: &'static str,
    /// `agent.message.{recipient_role}.{message_type}`
    pub subject: &'static str,
    /// The same in pieces.
    pub pieces: &'static [Piece],
    /// The stream that stores it.
    pub stream: Option<&'static str>,
    /// The field that makes it the same event when it is published twice.
    pub id: Option<&'static str>,
    /// Whether values that are not legal in a subject are escaped, instead of being refused.
    pub escape: bool,
    /// One line.
    pub description: &'static str,
}

impl EventInfo {
    /// What to subscribe to for all events of this kind: a `*` for each field.
    pub fn pattern(&self) -> Subject {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => *text,
            Piece::Field(_) => "*",
        });
        Subject::trusted(pieces.collect())
    }

    /// The fields in a subject with their values, escapes undone; `None` if no event of this kind can
    /// have that subject.
    pub fn values(&self, subject: &str) -> Option<Vec<(&'static str, String)>> {
        let mut values = Vec::new();
        let fits = self.fits(subject, |field, token| {
            let value = if self.escape { token::unescape(token) } else { Some(token.to_owned()) };
            value.map(|value| values.push((field, value))).is_some()
        });
        fits.then_some(values)
    }

    /// Whether an event of this kind can have this subject.
    pub fn matches(&self, subject: &str) -> bool {
        self.fits(subject, |_, _| true)
    }

    /// Whether a subject has these pieces, with tokens for the fields that `accept` takes.
    fn fits<'s>(&self, subject: &'s str, mut accept: impl FnMut(&'static str, &'s str) -> bool) -> bool {
        let mut rest = Some(subject);
        for piece in self.pieces {
            let Some(before) = rest else { return false };
            rest = match piece {
                Piece::Text(text) => before.strip_prefix(text),
                Piece::Field(field) => {
                    // By bytes, not by characters: a worker asks this of every message.
                    let end = before.bytes().position(|byte| byte == b'.').unwrap_or(before.len());
                    let (token, after) = before.split_at(end);
                    accept(field, token).then_some(after)
                }
            };
        }
        rest == Some("")
    }
}

impl fmt::Debug for EventInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.subject)
    }
}

/// A piece of an event's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The same in every subject: tokens, and the dots between them and the fields.
    Text(&'static str),
    /// The value of this field.
    Field(&'static str),
}

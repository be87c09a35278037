//! Messages, from ours to those of async-nats and back.

use std::{cell::Cell, str::FromStr};

use async_nats::{
    Client, HeaderMap, HeaderName, HeaderValue, PublishErrorKind, client::PublishError, message::OutboundMessage,
    subject::ToSubject,
};

use super::disconnected;
use crate::{
    Code, Result, Status,
    bus::message::{DESCRIPTION, Message, too_large},
    status::reason,
    wire::{header::Headers, subject::Subject},
};

/// A message as async-nats sends it.
#[inline]
pub(super) fn outbound(message: Message) -> Result<OutboundMessage> {
    let Message { subject, reply, headers, payload, .. } = message;
    let headers = (!headers.is_empty()).then(|| header_map(&headers)).transpose()?;
    Ok(OutboundMessage { subject: outgoing(subject), reply: reply.map(outgoing), payload, headers })
}

/// A subject that the client gets, where it would copy any other.
pub(super) struct GivenAway(Cell<async_nats::Subject>);

impl GivenAway {
    #[inline]
    pub(super) fn new(subject: Subject) -> Self {
        Self(Cell::new(outgoing(subject)))
    }
}

impl ToSubject for GivenAway {
    /// The subject, once; then an empty one, which the client refuses.
    #[inline]
    fn to_subject(&self) -> async_nats::Subject {
        self.0.replace(async_nats::Subject::from_static(""))
    }
}

/// Why the client does not take a message of `size` bytes.
pub(super) fn refused(error: &PublishError, size: usize, client: &Client) -> Status {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => too_large(size, client.max_payload()),
        PublishErrorKind::InvalidSubject => invalid_subject(),
        // The task of the client is dead, so nothing was sent.
        PublishErrorKind::Send => disconnected(),
    }
}

/// What async-nats received, as ours.
pub(super) fn incoming(message: async_nats::Message) -> Message {
    let mut headers = Headers::new();
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        for value in values {
            headers.append(name.to_string(), value.as_str());
        }
    }
    // Its place on the wire is beside the status, where no message of ours has room for it.
    if let Some(words) = message.description.filter(|_| message.status.is_some()) {
        headers.append(DESCRIPTION, words);
    }
    Message {
        // Each has a buffer of its own, which becomes the string and then the subject.
        subject: Subject::trusted(message.subject.into_string()),
        reply: message.reply.map(|reply| Subject::trusted(reply.into_string())),
        headers,
        payload: message.payload,
        status: message.status.map(|status| status.as_u16()),
    }
}

/// The same subject. Each is text; one that were not would be empty here, which the client refuses.
#[inline]
pub(super) fn outgoing(subject: Subject) -> async_nats::Subject {
    async_nats::Subject::from_utf8(subject.into_bytes()).unwrap_or_else(|_| async_nats::Subject::from_static(""))
}

/// Only through `FromStr`: the other conversions panic on CR and LF.
fn header_map(headers: &Headers) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let parsed = HeaderName::from_str(name).ok().zip(HeaderValue::from_str(value).ok());
        let Some((name, value)) = parsed.filter(|_| !name.is_empty()) else {
            let message = format!("header {name:?} is not legal: a name is visible ASCII, a value has no CR or LF");
            return Err(Status::made_here(Code::InvalidArgument, reason::INVALID_METADATA, message));
        };
        map.append(name, value);
    }
    Ok(map)
}

fn invalid_subject() -> Status {
    let message = "the NATS client takes the subject for illegal";
    Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_would_end_its_line_is_refused() {
        for (name, value) in [("a", "b\rc"), ("a", "b\nc"), ("a\r\nb", "c"), ("a:b", "c"), ("a b", "c"), ("", "c")] {
            let mut headers = Headers::new();
            headers.append(name.to_owned(), value);
            let status = header_map(&headers).expect_err(name);
            assert_eq!(status.code(), Code::InvalidArgument, "{name:?}: {value:?}");
        }
    }

    #[test]
    fn every_value_of_a_header_is_sent() {
        let mut headers = Headers::new();
        headers.append("a", "1");
        headers.append("a", "2");
        let map = header_map(&headers).expect("legal");
        assert_eq!(map.get_all("a").count(), 2);
    }
}

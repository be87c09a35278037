//! Messages, from ours to those of async-nats and back.

use std::{borrow::Cow, cell::Cell, str::FromStr};

use async_nats::{
    Client, HeaderMap, HeaderName, HeaderValue, PublishErrorKind, StatusCode, client::PublishError,
    message::OutboundMessage, subject::ToSubject,
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

/// Under which name a line is shown that is no header.
const NO_HEADER: &str = "Subwire-No-Header";

/// Headers as they are on the wire, as far as they can be made out, and whether async-nats takes them in. What it
/// does not take in ends its connection, again each time it comes: the broker takes whatever its peers send.
pub(crate) fn read_headers(block: &[u8]) -> (Headers, bool) {
    let mut headers = Headers::new();
    let text = String::from_utf8_lossy(block);
    let mut is_readable = matches!(text, Cow::Borrowed(_));
    let mut lines = text.lines().peekable();
    if let Some(line) = lines.next() {
        let number = line.strip_prefix("NATS/1.0").and_then(|status| status.trim().split(' ').next());
        is_readable &= number.is_some_and(|number| number.is_empty() || StatusCode::from_str(number).is_ok());
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let header = line.split_once(':').filter(|(name, _)| HeaderName::from_str(name).is_ok());
        is_readable &= header.is_some();
        let (name, value) = header.unwrap_or((NO_HEADER, line));
        // It goes on where a line begins with white space.
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        value.truncate(value.trim_end().len());
        if HeaderValue::from_str(&value).is_err() {
            is_readable = false;
            value = value.replace(['\r', '\n'], " ");
        }
        headers.append(name.to_owned(), value);
    }
    (headers, is_readable)
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

    #[test]
    fn headers_are_read_as_far_as_they_can_be_made_out() {
        for (block, shown, readable) in [
            (&b""[..], &[][..], true),
            (b"NATS/1.0\r\nA: 1\r\nB:2\r\nA: x: y \r\n\r\n", &[("A", "1"), ("B", "2"), ("A", "x: y")], true),
            (b"NATS/1.0\r\nA: 1\r\n 2\r\n\r\n", &[("A", "1 2")], true),
            (b"NATS/1.0 503 gone\r\nA:\r\n\r\n", &[("A", "")], true),
            (b"NATS/1.0 gone\r\nA: 1\r\n\r\n", &[("A", "1")], false),
            (b"HTTP/1.1\r\nA: 1\r\n\r\n", &[("A", "1")], false),
            (b"NATS/1.0\r\nA: M\xfcller\r\n\r\n", &[("A", "M\u{fffd}ller")], false),
            (b"NATS/1.0\r\nA: 1\rB: 2\r\n\r\n", &[("A", "1 B: 2")], false),
            (b"NATS/1.0\r\nA B: 1\r\nC\r\n\r\n", &[(NO_HEADER, "A B: 1"), (NO_HEADER, "C")], false),
        ] {
            let (headers, is_readable) = read_headers(block);
            let text = String::from_utf8_lossy(block);
            assert_eq!((headers.iter().collect::<Vec<_>>(), is_readable), (shown.to_vec(), readable), "{text}");
        }
    }
}

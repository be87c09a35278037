//! A status and metadata as headers: ADR-32's error headers with `google.rpc.Status` as the body.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use prost::Message as _;

use super::{
    header::{Headers, RESERVED_NAMES, RESERVED_PREFIXES},
    percent,
};
use crate::{
    Code, Executed, Metadata, Result, Status, Value,
    bus::message::{Message, NO_RESPONDERS},
    details,
    metadata::checked,
    status::reason,
};

/// The text of an error, for tools that show it (ADR-32).
pub(crate) const ERROR: &str = "Nats-Service-Error";
/// The number of its code (ADR-32).
pub(crate) const ERROR_CODE: &str = "Nats-Service-Error-Code";
/// What trailers of a unary response begin with, as in Connect.
const TRAILER_PREFIX: &str = "trailer-";
/// Says that the payload is a frame where one would expect the message itself.
pub(crate) const FRAME: &str = "Subwire-Frame";
/// A timeout in microseconds, from callers that cannot put it into their reply subject.
pub(crate) const TIMEOUT: &str = "Subwire-Timeout";

/// How much of a message goes into the header; the body has all of it.
const ERROR_TEXT_CHARS: usize = 256;

/// The headers and the body that carry a status.
pub(crate) fn encode(status: &Status) -> (Headers, Bytes) {
    let mut headers = Headers::new();
    // For human eyes only, so it is made plain rather than escaped.
    let text: String = status
        .message()
        .chars()
        .take(ERROR_TEXT_CHARS)
        .map(|c| match c {
            ' '..='~' => c,
            _ if c.is_whitespace() || c.is_control() => ' ',
            _ => '?',
        })
        .collect();
    headers.append(ERROR, if text.trim().is_empty() { status.code().name() } else { text.trim() });
    headers.append(ERROR_CODE, status.code().number().to_string());
    push_metadata(&mut headers, status.metadata(), "");
    (headers, status.to_bytes())
}

/// The status that a message carries, if it carries one.
pub(crate) fn decode(message: &Message) -> Option<Status> {
    if message.status == Some(NO_RESPONDERS) {
        return Some(no_responders());
    }
    if message.headers.is_empty() {
        return None;
    }
    let text = message.headers.get(ERROR);
    let code = message.headers.get(ERROR_CODE);
    if text.is_none() && code.is_none() {
        return None;
    }
    let code = code.and_then(|code| code.trim().parse().ok()).map_or(Code::Unknown, code_of);
    let whole = (!message.payload.is_empty())
        .then(|| details::Status::decode(message.payload.clone()).ok())
        .flatten()
        // A service that is not ours may put anything into the body.
        .filter(|proto| Code::from_number(proto.code) == code && code != Code::Ok);
    let proto = whole.unwrap_or_else(|| details::Status {
        code: if code == Code::Ok { Code::Unknown } else { code }.number(),
        message: text.unwrap_or_default().to_owned(),
        details: Vec::new(),
    });
    let (metadata, _) = metadata(&message.headers);
    Some(Status::from_proto(proto).with_metadata(metadata))
}

/// gRPC's number, or the HTTP status that services of other makes put there.
fn code_of(number: i32) -> Code {
    match number {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        409 => Code::Aborted,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        _ => Code::from_number(number),
    }
}

pub(crate) fn no_responders() -> Status {
    let message = "no service listens on this subject: is it running, and in the same namespace?";
    Status::made_here(Code::Unavailable, reason::NO_RESPONDERS, message).with_executed(Executed::No)
}

/// Writes metadata as headers, each name behind `prefix`.
pub(crate) fn push_metadata(headers: &mut Headers, metadata: &Metadata, prefix: &str) {
    for (name, value) in metadata.iter() {
        let value = match value {
            Value::Text(text) => percent::encode(text).into_owned(),
            Value::Bytes(bytes) => encode_bin(bytes),
        };
        headers.append(format!("{prefix}{name}"), value);
    }
}

/// Bytes as a header value.
pub(crate) fn encode_bin(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// The headers of a response that is one message.
pub(crate) fn response_headers(metadata: &Metadata, trailers: &Metadata) -> Headers {
    let mut headers = Headers::new();
    push_metadata(&mut headers, metadata, "");
    push_metadata(&mut headers, trailers, TRAILER_PREFIX);
    headers
}

/// The metadata among the headers of a request.
///
/// # Errors
/// `INVALID_METADATA` when it is too large: a handler that missed a part of it might do the wrong thing.
pub(crate) fn request_metadata(headers: &Headers) -> Result<Metadata> {
    if headers.is_empty() {
        return Ok(Metadata::new());
    }
    let (metadata, _, whole) = read(headers);
    whole.map(|()| metadata)
}

/// Metadata and trailers among the headers of a response: what there is room for, or the outcome would be lost.
pub(crate) fn metadata(headers: &Headers) -> (Metadata, Metadata) {
    let (metadata, trailers, whole) = read(headers);
    if let Err(status) = whole {
        tracing::debug!(%status, "headers of a response were left out");
    }
    (metadata, trailers)
}

/// Metadata and trailers among the headers, up to the first for which there is no room: there may be more than
/// could be looked at in time. What is not legal is left out: it is not for us.
fn read(headers: &Headers) -> (Metadata, Metadata, Result<()>) {
    let (mut metadata, mut trailers) = (Metadata::new(), Metadata::new());
    let whole = headers.iter().try_for_each(|(name, value)| {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix(TRAILER_PREFIX) {
            Some(name) => append(&mut trailers, name, value),
            None if RESERVED_NAMES.contains(&name.as_str()) => Ok(()),
            None if RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => Ok(()),
            None => append(&mut metadata, &name, value),
        }
    });
    (metadata, trailers, whole)
}

/// Adds a value as it travels; one that is not legal is left out, with a word in the log.
///
/// # Errors
/// When there is no room for it.
pub(crate) fn append(metadata: &mut Metadata, name: &str, value: &str) -> Result<()> {
    let value = match name.ends_with("-bin") {
        false => Some(Value::Text(percent::decode(value).into_owned())),
        true => STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok().map(|bytes| Value::Bytes(bytes.into())),
    };
    match (checked(name), value) {
        (Ok(name), Some(value)) => metadata.push(name, value),
        _ => {
            tracing::debug!(name, "a header that is not legal was left out");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::subject::Subject;

    fn over_the_wire(status: &Status) -> Option<Status> {
        let (headers, body) = encode(status);
        decode(&Message::new(Subject::from_static("x"), body).with_headers(headers))
    }

    #[test]
    fn a_status_arrives_byte_for_byte() {
        for text in ["", "plain", "tab\t cr\r lf\n \u{1f980} \u{0}", &"é".repeat(10_000)] {
            let mut sent = Status::new(Code::NotFound, text).with_field_violation("a", "b");
            sent.metadata_mut().append("tenant", "ä\r\n").expect("legal");
            let got = over_the_wire(&sent).expect("a status");
            assert_eq!((got.code(), got.message()), (sent.code(), sent.message()));
            assert_eq!(got.field_violations(), sent.field_violations());
            assert_eq!(got.metadata(), sent.metadata());
        }
    }

    #[test]
    fn headers_are_plain_whatever_the_text() {
        let (headers, _) = encode(&Status::internal("a\r\nb: c\u{1f980}\u{0}"));
        for (_, value) in headers.iter() {
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{value:?}");
        }
    }

    #[test]
    fn errors_of_other_services_are_understood() {
        let check = |code: &str, body: &'static [u8], expected: Code| {
            let mut headers = Headers::new();
            headers.append("nats-service-error", "went wrong");
            headers.append(ERROR_CODE, code);
            let message = Message::new(Subject::from_static("x"), body).with_headers(headers);
            let status = decode(&message).expect("a status");
            assert_eq!((status.code(), status.message()), (expected, "went wrong"), "{code}");
        };
        check("404", b"", Code::NotFound);
        check("5", b"not a status", Code::NotFound);
        check("500", b"", Code::Internal);
        check("0", b"", Code::Unknown);
        check("abc", b"", Code::Unknown);
        check("99", b"", Code::Unknown);
    }

    #[test]
    fn metadata_and_trailers_come_back() {
        let (mut sent, mut trailers) = (Metadata::new(), Metadata::new());
        sent.append("text", " sp%ce\u{1f980}\r\n ").expect("legal");
        sent.append_bin("raw-bin", vec![0, 255, 10]).expect("legal");
        trailers.append("cost", "3").expect("legal");
        let headers = response_headers(&sent, &trailers);
        assert_eq!(metadata(&headers), (sent, trailers));
    }

    #[test]
    fn more_metadata_than_a_call_may_have_is_refused_in_a_request_and_cut_in_a_response() {
        let mut headers = Headers::new();
        headers.append("tenant", "x");
        headers.append("large", "x".repeat(crate::limits::METADATA_BYTES));
        headers.append("small", "x");
        let status = request_metadata(&headers).expect_err("too much");
        assert_eq!((status.code(), status.executed()), (Code::InvalidArgument, Executed::No));
        let (metadata, _) = metadata(&headers);
        assert_eq!((metadata.len(), metadata.get("tenant")), (1, Some("x")));
    }
}

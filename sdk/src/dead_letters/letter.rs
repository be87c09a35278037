//! [`DeadLetter`]: a message that was set aside, and how it lies in its stream (PROTOCOL.md, "Dead letters").

use std::{borrow::Cow, time::SystemTime};

use bytes::{Bytes, BytesMut};
use prost_types::Timestamp;

use crate::{
    Code, Event, Result, Status,
    bus::{Headers, Message, Subject},
    event::malformed,
    jetstream::{Delivered, StoredMessage},
    status::reason,
    wire::percent,
    worker::Reason,
};

/// Names of the headers of a letter.
pub(super) mod header {
    pub(crate) use crate::jetstream::header::ID;

    pub(crate) const STREAM: &str = "Subwire-Dead-Stream";
    pub(crate) const CONSUMER: &str = "Subwire-Dead-Consumer";
    pub(crate) const SEQUENCE: &str = "Subwire-Dead-Sequence";
    pub(crate) const SUBJECT: &str = "Subwire-Dead-Subject";
    pub(crate) const CODE: &str = "Subwire-Dead-Code";
    pub(crate) const REASON: &str = "Subwire-Dead-Reason";
    pub(crate) const ATTEMPTS: &str = "Subwire-Dead-Attempts";
    pub(crate) const FIRST_TIME: &str = "Subwire-Dead-First-Time";
    pub(crate) const LAST_TIME: &str = "Subwire-Dead-Last-Time";
    /// Where the rest of the message lies.
    pub(crate) const REST: &str = "Subwire-Dead-Rest";
    /// In that rest: so many bytes of its payload are the headers of the message. The payload goes on behind.
    pub(crate) const REST_HEADERS: &str = "Subwire-Dead-Rest-Headers";
    /// In front of the names that the message itself had.
    pub(crate) const ORIGINAL: &str = "Subwire-Original-";
    /// In a message that was replayed: the id that it had before.
    pub(crate) const REPLAYED_ID: &str = "Subwire-Replayed-Id";
}

/// Of a reason so many bytes are kept.
const REASON_BYTES: usize = 2048;

/// A message that was set aside: as it was, and why.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its place among the dead letters.
    pub place: u64,
    /// The stream that it came from.
    pub stream: String,
    /// The consumer that could not do it.
    pub consumer: String,
    /// Its place in the stream that it came from.
    pub sequence: u64,
    /// What it was published on.
    pub subject: Subject,
    /// What came beside it.
    pub headers: Headers,
    /// Its bytes.
    pub payload: Bytes,
    /// The code of the error that it failed with.
    pub code: Code,
    /// The message of that error.
    pub reason: String,
    /// How often it was handed out.
    pub attempts: u32,
    /// When it was stored in its stream.
    pub first_time: SystemTime,
    /// When it was set aside.
    pub last_time: SystemTime,
    /// Where the rest of it lies.
    pub(super) rest: Option<u64>,
}

impl DeadLetter {
    pub(crate) fn new(delivered: &Delivered, reason: &Reason, now: SystemTime) -> Self {
        let message = delivered.message.clone();
        Self {
            place: 0,
            stream: delivered.origin.stream.to_string(),
            consumer: delivered.origin.consumer.to_string(),
            sequence: delivered.stream_sequence,
            subject: message.subject,
            headers: message.headers,
            payload: message.payload,
            code: reason.code,
            reason: reason.text.clone(),
            attempts: delivered.attempt,
            first_time: delivered.time,
            last_time: now,
            rest: None,
        }
    }

    /// What the broker has given up on.
    pub(crate) fn swept(
        found: StoredMessage,
        (stream, consumer): (&str, &str),
        attempts: u32,
        reason: &Reason,
        now: SystemTime,
    ) -> Self {
        let StoredMessage { message, sequence, time } = found;
        Self {
            place: 0,
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            sequence,
            subject: message.subject,
            headers: message.headers,
            payload: message.payload,
            code: reason.code,
            reason: reason.text.clone(),
            attempts,
            first_time: time,
            last_time: now,
            rest: None,
        }
    }

    /// The event that it is.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `MALFORMED_EVENT`, when it cannot be decoded: perhaps that is why it lies here.
    pub fn decode<E: Event>(&self) -> Result<E> {
        E::decode(self.payload.clone()).map_err(|error| malformed::<E>(&self.subject, error))
    }

    /// Where the letters of a consumer go.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where the two names are too long for a subject.
    pub(crate) fn place_of(stream: &str, consumer: &str) -> Result<Subject> {
        Subject::new(format!("{}.{stream}.{consumer}", super::PREFIX))
    }

    /// What makes it the same letter when it is written twice.
    pub(super) fn id(&self) -> String {
        format!("{}:{}:{}", self.stream, self.sequence, self.consumer)
    }

    /// As it lies in its stream.
    pub(super) fn to_message(&self, id: &str) -> Result<Message> {
        let mut headers = Headers::new();
        headers.append(header::ID, id);
        headers.append(header::STREAM, &self.stream);
        headers.append(header::CONSUMER, &self.consumer);
        headers.append(header::SEQUENCE, self.sequence.to_string());
        headers.append(header::SUBJECT, percent::encode(self.subject.as_str()));
        headers.append(header::CODE, self.code.number().to_string());
        headers.append(header::REASON, percent::encode(beginning(&self.reason, REASON_BYTES)));
        headers.append(header::ATTEMPTS, self.attempts.to_string());
        headers.append(header::FIRST_TIME, Timestamp::from(self.first_time).to_string());
        headers.append(header::LAST_TIME, Timestamp::from(self.last_time).to_string());
        if let Some(rest) = self.rest {
            headers.append(header::REST, rest.to_string());
        }
        for (name, value) in self.headers.iter() {
            headers.append(format!("{}{name}", header::ORIGINAL), value);
        }
        Ok(Message::new(Self::place_of(&self.stream, &self.consumer)?, self.payload.clone()).with_headers(headers))
    }

    /// From what lies in the stream. `None` for the rest of another letter.
    pub(super) fn from_stored(stored: StoredMessage) -> Option<Result<Self>> {
        let headers = &stored.message.headers;
        headers.get(header::REASON)?;
        Some(Self::parse(&stored).ok_or_else(|| {
            let message = format!("what lies in place {} is no dead letter: a header is missing", stored.sequence);
            Status::made_here(Code::DataLoss, reason::MALFORMED_EVENT, message)
        }))
    }

    fn parse(stored: &StoredMessage) -> Option<Self> {
        let Message { headers, payload, .. } = &stored.message;
        let text = |name| headers.get(name).map(percent::decode).map(Cow::into_owned);
        let number = |name| headers.get(name)?.trim().parse::<u64>().ok();
        let time = |name| SystemTime::try_from(headers.get(name)?.trim().parse::<Timestamp>().ok()?).ok();
        let mut original = Headers::new();
        for (name, value) in headers.iter() {
            let prefix = name.get(..header::ORIGINAL.len());
            if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(header::ORIGINAL)) {
                original.append(name[header::ORIGINAL.len()..].to_owned(), value);
            }
        }
        Some(Self {
            place: stored.sequence,
            stream: text(header::STREAM)?,
            consumer: text(header::CONSUMER)?,
            sequence: number(header::SEQUENCE)?,
            // Others may publish to what we would not.
            subject: Subject::told(text(header::SUBJECT)?)?,
            headers: original,
            payload: payload.clone(),
            code: Code::from_number(i32::try_from(number(header::CODE)?).ok()?),
            reason: text(header::REASON)?,
            attempts: u32::try_from(number(header::ATTEMPTS)?).ok()?,
            first_time: time(header::FIRST_TIME).unwrap_or(stored.time),
            last_time: time(header::LAST_TIME).unwrap_or(stored.time),
            rest: number(header::REST),
        })
    }

    /// Takes off the headers and the second part of the payload, as a message of its own: for what is too large
    /// with all that a letter adds. Each of the two parts is about half of it.
    pub(super) fn split(&mut self, id: &str) -> Result<Message> {
        let mut rest = write_headers(&std::mem::take(&mut self.headers)).into_bytes();
        let headers = rest.len();
        let keep = ((headers + self.payload.len()) / 2).min(self.payload.len());
        rest.extend_from_slice(&self.payload.split_off(keep));
        let message = Message::new(Self::place_of(&self.stream, &self.consumer)?, rest);
        let message = message.with_header(header::ID, format!("{id}:rest"));
        Ok(message.with_header(header::REST_HEADERS, headers.to_string()))
    }

    /// Puts back what [`split`](Self::split) took off.
    ///
    /// # Errors
    /// `DATA_LOSS` for what is no rest of a letter.
    pub(super) fn join(&mut self, rest: &Message) -> Result<()> {
        let Some((headers, payload)) = read_rest(rest) else {
            let message = format!("the second part of the letter in place {} cannot be read", self.place);
            return Err(Status::made_here(Code::DataLoss, reason::MALFORMED_EVENT, message));
        };
        let mut whole = BytesMut::with_capacity(self.payload.len() + payload.len());
        whole.extend_from_slice(&self.payload);
        whole.extend_from_slice(payload);
        self.payload = whole.freeze();
        for (name, value) in headers.iter() {
            self.headers.append(name.to_owned(), value);
        }
        Ok(())
    }

    /// What is added to the message when it is published again, the most important first: an id that its stream
    /// has not seen, as it may still know the old one and would not store it; and that one.
    pub(super) fn marks(&self, dead_letters: &str) -> Vec<(&'static str, String)> {
        // With the time, as places begin anew when the stream of the letters is made anew.
        let time = self.last_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut marks = vec![(header::ID, format!("{dead_letters}:{}:{}", self.place, time.as_nanos()))];
        marks.extend(self.headers.get(header::ID).map(|id| (header::REPLAYED_ID, id.to_owned())));
        marks
    }

    /// The message again, with these marks.
    pub(super) fn replayed(&self, marks: &[(&'static str, String)]) -> Message {
        let mut headers = Headers::new();
        for (name, value) in marks {
            headers.append(*name, value);
        }
        for (name, value) in self.headers.iter() {
            // `Nats-Expected-Last-Sequence` was true then, and `Nats-Rollup` would take what came since.
            if !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
                headers.append(name.to_owned(), value);
            }
        }
        Message::new(self.subject.clone(), self.payload.clone()).with_headers(headers)
    }
}

/// A line for each, its value percent-encoded: nothing in it ends the line.
fn write_headers(headers: &Headers) -> String {
    headers.iter().map(|(name, value)| format!("{name}:{}\n", percent::encode(value))).collect()
}

/// The headers and the part of the payload that the rest of a letter has.
fn read_rest(rest: &Message) -> Option<(Headers, &[u8])> {
    let length = match rest.headers.get(header::REST_HEADERS) {
        Some(length) => length.trim().parse().ok()?,
        None => 0,
    };
    let (lines, payload) = rest.payload.split_at_checked(length)?;
    let mut headers = Headers::new();
    for line in std::str::from_utf8(lines).ok()?.lines() {
        let (name, value) = line.split_once(':')?;
        headers.append(name.to_owned(), percent::decode(value));
    }
    Some((headers, payload))
}

/// At most so many bytes of `text`, and whole characters.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn letter() -> DeadLetter {
        let mut headers = Headers::new();
        headers.append("Nats-Msg-Id", "m-1");
        headers.append("Nats-Rollup", "all");
        headers.append("traceparent", "00-1");
        DeadLetter {
            place: 7,
            stream: "orders".to_owned(),
            consumer: "billing".to_owned(),
            sequence: 42,
            subject: Subject::from_static("order.created"),
            headers,
            payload: Bytes::from_static(b"whole"),
            code: Code::Unavailable,
            reason: "no\r\nbank \u{1f980} ".to_owned(),
            attempts: 3,
            first_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
            last_time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_060),
            rest: None,
        }
    }

    fn stored(message: Message) -> StoredMessage {
        StoredMessage { message, sequence: 7, time: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn a_letter_comes_back_from_its_stream_as_it_was() -> Result<()> {
        let letter = letter();
        let message = letter.to_message(&letter.id())?;
        assert_eq!(message.subject.as_str(), "dlq.orders.billing");
        assert_eq!(message.headers.get("Nats-Msg-Id"), Some("orders:42:billing"));
        let back = DeadLetter::from_stored(stored(message)).expect("a letter")?;
        assert_eq!(format!("{back:?}"), format!("{letter:?}"));
        Ok(())
    }

    #[test]
    fn what_others_publish_to_is_a_subject_too() -> Result<()> {
        for subject in ["order..created".to_owned(), "x".repeat(600)] {
            let letter = DeadLetter { subject: Subject::trusted(subject.clone()), ..letter() };
            let back = DeadLetter::from_stored(stored(letter.to_message("id")?)).expect("a letter")?;
            assert_eq!(back.subject.as_str(), subject);
        }
        Ok(())
    }

    #[test]
    fn a_letter_in_two_parts_comes_together_again() -> Result<()> {
        let mut headers = Headers::new();
        for (name, value) in [("a", " x: y "), ("b", "1\r\nc:2"), ("b", "\u{1f980}%"), ("d", "")] {
            headers.append(name, value);
        }
        for (headers, payload, kept) in
            [(Headers::new(), 10, 5), (headers.clone(), 0, 0), (headers.clone(), 10, 10), (headers, 100, 73)]
        {
            let whole = DeadLetter { headers, payload: vec![b'x'; payload].into(), ..letter() };
            let mut first = whole.clone();
            let rest = first.split("id")?;
            assert!(first.headers.is_empty() && first.payload.len() == kept, "{first:?}");
            assert_eq!(rest.headers.get("Nats-Msg-Id"), Some("id:rest"));
            assert!(DeadLetter::from_stored(stored(rest.clone())).is_none(), "the rest alone is no letter");
            first.join(&rest)?;
            assert_eq!(format!("{first:?}"), format!("{whole:?}"));
        }
        Ok(())
    }

    #[test]
    fn what_is_no_rest_of_a_letter_is_an_error() {
        let rest = |headers: &str, payload: &'static str| {
            let message = Message::new(Subject::from_static("dlq.orders.billing"), payload);
            letter().join(&message.with_header(header::REST_HEADERS, headers.to_owned()))
        };
        assert!(rest("4", "a:b\nwhole").is_ok());
        for (headers, payload) in [("many", "a:b\n"), ("5", "a:b\n"), ("4", "a b\n"), ("1", "\u{e9}:b\n")] {
            assert_eq!(rest(headers, payload).expect_err(payload).code(), Code::DataLoss);
        }
    }

    #[test]
    fn a_replay_has_an_id_of_its_own_and_nothing_that_was_true_then() {
        let headers = letter().replayed(&letter().marks("dead-letters")).headers;
        let headers: Vec<_> = headers.iter().collect();
        let expected = [
            ("Nats-Msg-Id", "dead-letters:7:1700000060000000000"),
            ("Subwire-Replayed-Id", "m-1"),
            ("traceparent", "00-1"),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(beginning("é".repeat(3).as_str(), 3), "é");
        assert_eq!(beginning("abc", 10), "abc");
    }

    #[test]
    fn what_misses_a_header_is_an_error_and_not_skipped() {
        let message = Message::new(Subject::from_static("dlq.orders.billing"), "");
        let broken = DeadLetter::from_stored(stored(message.with_header(header::REASON, "no")));
        assert_eq!(broken.expect("a letter").expect_err("broken").code(), Code::DataLoss);
    }
}

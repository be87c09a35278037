//! What [`Remote`] does with single messages of a stream.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Remote,
    api::{self, PREFIX, Success},
    name::stream_verb,
    requests::{Request, late},
    times::from_rfc3339,
    waiting::Answer,
};
use crate::{
    Code, Result, Status,
    bus::{Headers, Message, Subject, read_headers},
    jetstream::{Get, StoredMessage, error, header, wrapped::Wrapped},
    limits,
    status::reason,
};

/// Statuses of an answer to a direct get.
const NOT_FOUND: u16 = 404;

/// What the server adds to the headers of a message that it hands out directly, after the message's own.
const ADDED: [&str; 4] = [header::STREAM, header::SUBJECT, header::SEQUENCE, header::TIME];

impl Remote<'_> {
    pub(in crate::jetstream) async fn get_message(
        &self,
        stream: &str,
        get: &Get,
        direct: bool,
    ) -> Result<Option<StoredMessage>> {
        if direct {
            match self.get_directly(stream, get).await {
                // It may be the message itself that has ended the connection.
                Err(status) if is_cut_off(&status) => self.connected().await,
                Ok(None) => {}
                found => return found.map(Option::unwrap_or_default),
            }
        }
        Ok(self.get_wrapped(stream, get).await?.map(|found| found.stored))
    }

    /// Waits for a connection, or for the time in which one would have answered.
    async fn connected(&self) {
        let mut link = self.bus.link();
        let _ = timeout(limits::STREAM_ANSWER, link.wait_for(|link| link.up || link.closed.is_some())).await;
    }

    /// `None`: nobody answers. The stream may be gone, or not allow it; its leader knows.
    async fn get_directly(&self, stream: &str, get: &Get) -> Result<Option<Option<StoredMessage>>> {
        let verb = stream_verb("DIRECT.GET", stream)?;
        let last = match get {
            // A form of its own, so that a permission can name the subject.
            Get::Last(subject) => Subject::new(format!("{PREFIX}{verb}.{subject}")).ok(),
            _ => None,
        };
        let message = match last {
            Some(subject) => Message::new(subject, Bytes::new()),
            None => Message::new(Subject::trusted(format!("{PREFIX}{verb}")), request(get).to_string()),
        };
        match Request::ask(self.bus, message).await? {
            Answer::Message(message) => match message.status {
                // What was published may have begun with a status of its own.
                _ if message.headers.get(header::SEQUENCE).is_some() => found(*message).map(|found| Some(Some(found))),
                None => Err(malformed("it does not say where it lies")),
                Some(NOT_FOUND) => Ok(Some(None)),
                Some(status) => Err(error::refused(error::number::BAD_REQUEST, status, "it takes no such request")),
            },
            Answer::NoResponders => Ok(None),
            Answer::Failed(status) => Err(status),
            Answer::Late | Answer::Stored(_) => Err(late(&verb)),
        }
    }

    /// A message, from the leader of its stream.
    pub(in crate::jetstream) async fn get_wrapped(&self, stream: &str, get: &Get) -> Result<Option<Wrapped>> {
        #[derive(Deserialize)]
        struct Found {
            message: Stored,
        }
        #[derive(Deserialize)]
        struct Stored {
            subject: String,
            seq: u64,
            time: String,
            #[serde(default)]
            hdrs: String,
            #[serde(default)]
            data: String,
        }
        let verb = stream_verb("STREAM.MSG.GET", stream)?;
        match api::call(self.bus, &verb, &request(get)).await {
            Ok(Found { message }) => {
                let block = BASE64_STANDARD.decode(&message.hdrs).map_err(malformed)?;
                let payload = BASE64_STANDARD.decode(&message.data).map_err(malformed)?;
                let (headers, headers_are_readable) = read_headers(&block);
                let (subject, subject_is_readable) = read_subject(&message.subject);
                Ok(Some(Wrapped {
                    stored: StoredMessage {
                        message: Message::new(subject, payload).with_headers(headers),
                        sequence: message.seq,
                        time: from_rfc3339(&message.time).ok_or_else(|| malformed("time"))?,
                    },
                    is_readable: headers_are_readable && subject_is_readable,
                }))
            }
            Err(status) if is_no_message(&status) => Ok(None),
            Err(status) => Err(status),
        }
    }

    pub(in crate::jetstream) async fn delete_message(&self, stream: &str, sequence: u64) -> Result<()> {
        // Not written over with random bytes: who needs that encrypts the store.
        let request = json!({"seq": sequence, "no_erase": true});
        let Success {} = api::call(self.bus, &stream_verb("STREAM.MSG.DELETE", stream)?, &request).await?;
        Ok(())
    }
}

fn is_no_message(status: &Status) -> bool {
    status.reason().as_deref() == Some(reason::MESSAGE_NOT_FOUND)
}

fn request(get: &Get) -> Value {
    match get {
        Get::Sequence(sequence) => json!({"seq": sequence}),
        Get::Last(subject) => json!({"last_by_subj": subject}),
        Get::Next { from, subject } => json!({"seq": from, "next_by_subj": subject}),
    }
}

fn is_cut_off(status: &Status) -> bool {
    status.reason().as_deref() == Some(reason::CONNECTION_LOST)
}

/// A message that was handed out directly, without what was added to it.
fn found(message: Message) -> Result<StoredMessage> {
    let Message { headers, payload, .. } = message;
    let mut kept: Vec<_> = headers.iter().collect();
    // A message that was republished may have such headers of its own: the server's are the last ones.
    let [_, subject, sequence, time] = ADDED.map(|added| {
        let at = kept.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(added));
        at.map_or("", |at| kept.remove(at).1)
    });
    let mut own = Headers::new();
    for (name, value) in kept {
        own.append(name.to_owned(), value);
    }
    Ok(StoredMessage {
        message: Message::new(place(subject.to_owned())?, payload).with_headers(own),
        sequence: sequence.parse().map_err(malformed)?,
        time: from_rfc3339(time).ok_or_else(|| malformed("time"))?,
    })
}

/// What a message is stored under.
fn place(subject: String) -> Result<Subject> {
    Subject::told(subject).ok_or_else(|| malformed("its subject is not one"))
}

/// A subject, as far as it can be made out, and whether the client takes it in: for white space it takes that of
/// Unicode, the broker that of the protocol; and what is no UTF-8 it does not take.
fn read_subject(text: &str) -> (Subject, bool) {
    let shown: String = text.chars().map(|c| if c.is_whitespace() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    let is_readable = !shown.contains(char::REPLACEMENT_CHARACTER);
    (Subject::trusted(shown), is_readable)
}

fn malformed(what: impl std::fmt::Display) -> Status {
    Status::new(Code::Internal, format!("a stored message cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_subject_is_not_taken_for_one() {
        for (subject, is_one) in [
            ("a.b", true),
            ("a..b", true),
            ("a.*", true),
            ("", false),
            ("a b", false),
            ("a\r\nPUB b 0", false),
            ("a\0", false),
        ] {
            let message = Message::new(Subject::from_static("_INBOX.a"), "x")
                .with_header("Nats-Subject", subject)
                .with_header("Nats-Sequence", "7")
                .with_header("Nats-Time-Stamp", "2024-11-21T08:00:00Z");
            assert_eq!(found(message).is_ok(), is_one, "{subject:?}");
        }
    }

    #[test]
    fn what_the_server_added_is_taken_out_and_the_messages_own_stays() {
        let message = Message::new(Subject::from_static("_INBOX.a"), "x")
            .with_header("Nats-Subject", "republished")
            .with_header("A", "1")
            .with_header("Nats-Stream", "S")
            .with_header("Nats-Subject", "a.b")
            .with_header("Nats-Sequence", "7")
            .with_header("Nats-Time-Stamp", "2024-11-21T08:00:00Z");
        let found = found(message).expect("a message");
        assert_eq!((found.message.subject.as_str(), found.sequence), ("a.b", 7));
        assert_eq!(found.message.headers.iter().collect::<Vec<_>>(), [("Nats-Subject", "republished"), ("A", "1")]);
    }
}

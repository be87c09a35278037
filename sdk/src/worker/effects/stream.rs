//! [`StreamEffects`]: what all instances of a worker have done.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::Effects;
use crate::{
    Bus, Code, Executed, Result, Status, StreamSpec,
    bus::{Message, Subject},
    jetstream::{Get, JetStream},
    limits,
    status::reason,
    wire::token,
};

/// What all instances of a worker have done: a note for each message in a stream of its own.
///
/// It outlives the process and is shared by every instance. A message costs two round trips more to the
/// broker. A clone is one atomic increment.
#[derive(Debug, Clone)]
pub struct StreamEffects {
    streams: JetStream,
    name: Cow<'static, str>,
}

/// The first token of its subjects.
const PREFIX: &str = "effects";

impl StreamEffects {
    /// Notes in the stream of this name, which is made if there is none. A note is kept for so long: longer
    /// than a message may lie in its stream, or than its publisher may publish it again.
    ///
    /// # Errors
    /// As those of making a stream. `ALREADY_EXISTS` when there is one of that name that is for something else, or
    /// keeps its notes for less: it is not changed. [`Streams`](crate::Streams) makes it what
    /// [`StreamEffects::spec`] says.
    pub async fn open(bus: &Bus, name: impl Into<Cow<'static, str>>, keep: Duration) -> Result<Self> {
        let (streams, name) = (JetStream::new(bus), name.into());
        let spec = Self::spec(name.clone(), keep);
        let found = match streams.stream_info(&name).await {
            Err(status) if status.code() == Code::NotFound => match streams.create_stream(&spec).await {
                // Another was quicker.
                Err(status) if status.code() == Code::AlreadyExists => streams.stream_info(&name).await?,
                made => made?,
            },
            info => info?,
        };
        match is_for(&found.spec, &spec) {
            true => Ok(Self { streams, name }),
            false => {
                let message = format!(
                    "there is a stream {name} already, and it is not one that keeps notes of effects for {keep:?}"
                );
                Err(Status::made_here(Code::AlreadyExists, reason::STREAM_EXISTS, message).with_executed(Executed::No))
            }
        }
    }

    /// The stream of the notes.
    pub fn spec(name: impl Into<Cow<'static, str>>, keep: Duration) -> StreamSpec {
        let name = name.into();
        let subjects = [format!("{PREFIX}.{name}.*")];
        StreamSpec {
            description: Cow::Borrowed("which messages have been done"),
            max_messages_per_subject: Some(1),
            max_age: Some(keep),
            ..StreamSpec::new(name, subjects)
        }
    }

    /// Where the note of a key lies. One that is too long for a subject, as an id may be, has its digest there,
    /// behind a `%` that no escaped key begins with so.
    fn subject(&self, key: &str) -> Result<Subject> {
        let prefix = format!("{PREFIX}.{}.", self.name);
        let mut subject = prefix.clone();
        token::escape(key, &mut subject);
        if subject.len() > limits::SUBJECT_BYTES {
            let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
            subject = format!("{prefix}%SHA-256={}", URL_SAFE_NO_PAD.encode(digest));
        }
        Subject::checked_length(&subject)
    }
}

/// Whether a stream keeps at least what this one would. The rest of its settings is its operator's.
fn is_for(found: &StreamSpec, notes: &StreamSpec) -> bool {
    // No age, no end.
    let keeps = found.max_age.is_none_or(|age| Some(age) >= notes.max_age);
    keeps && found.subjects == notes.subjects && found.retention == notes.retention
}

impl Effects for StreamEffects {
    async fn contains(&self, key: &str) -> Result<bool> {
        let get = Get::Last(self.subject(key)?.as_str().to_owned());
        Ok(self.streams.get_message(&self.name, &get, false).await?.is_some())
    }

    async fn insert(&self, key: &str) -> Result<()> {
        self.streams.publish(Message::new(self.subject(key)?, Bytes::new())).await?.await.map(drop)
    }
}

//! [`StreamEffects`]: what all instances of a worker have done.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;

use super::Effects;
use crate::{
    Bus, Code, Executed, Result, Status, StreamSpec,
    bus::{Message, Subject},
    jetstream::{Get, JetStream},
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

    /// An error for an id of several hundred characters: a hash of it could be that of another.
    fn subject(&self, key: &str) -> Result<Subject> {
        let mut subject = format!("{PREFIX}.{}.", self.name);
        token::escape(key, &mut subject);
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

//! [`Burial`]: how a worker sets a message aside.

use std::time::SystemTime;

use super::{DeadLetter, is_too_large};
use crate::{
    Code, Events, Result, StreamSpec,
    bus::Message,
    jetstream::{Get, JetStream, PublishAck},
    limits,
};

/// How a worker sets a message aside.
#[derive(Debug)]
pub(crate) struct Burial {
    streams: JetStream,
    events: Events,
    /// What is made if there are no dead letters yet.
    spec: StreamSpec,
}

impl Burial {
    pub(crate) fn new(streams: &JetStream, spec: StreamSpec) -> Self {
        Self { streams: streams.clone(), events: Events::new(streams.bus()), spec }
    }

    /// Writes a letter, once, and waits until it is stored.
    ///
    /// # Errors
    /// It is not stored, or nobody can tell: the message must not be forgotten.
    pub(crate) async fn bury(&self, letter: &DeadLetter) -> Result<()> {
        let id = letter.id();
        let ack = self.write(letter, &id).await?;
        if ack.duplicate && !self.is_same(&ack, letter).await? {
            // The stream was made anew, and its sequences have begun again.
            let time = letter.first_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.write(letter, &format!("{id}:{}", time.as_nanos())).await?;
        }
        Ok(())
    }

    /// Writes a letter, in two parts if it is too large for one message.
    async fn write(&self, letter: &DeadLetter, id: &str) -> Result<PublishAck> {
        match self.publish(letter.to_message(id)?, &letter.stream).await {
            Err(status) if is_too_large(&status) => {
                let mut first = letter.clone();
                let rest = first.split(id)?;
                first.rest = Some(self.publish(rest, &letter.stream).await?.sequence);
                self.publish(first.to_message(id)?, &letter.stream).await
            }
            ack => ack,
        }
    }

    async fn publish(&self, message: Message, from: &str) -> Result<PublishAck> {
        let attempt = || {
            // Not into any other stream that takes everything: it may be the very one that is read.
            let publish = self.events.publish(message.clone()).expect_stream(self.spec.name.clone());
            publish.timeout(limits::STREAM_ANSWER)
        };
        match attempt().await {
            Err(status) if status.code() == Code::NotFound => {
                self.create(from).await?;
                attempt().await
            }
            ack => ack,
        }
    }

    /// Makes the stream of the dead letters, as safe as the one that they come from.
    async fn create(&self, from: &str) -> Result<()> {
        let mut spec = self.spec.clone();
        if let Ok(from) = self.streams.stream_info(from).await {
            spec.replicas = spec.replicas.max(from.spec.replicas);
        }
        tracing::info!(stream = %spec.name, "there is no stream of dead letters yet: making it");
        match self.streams.create_stream(&spec).await {
            // Somebody else did, at the same time.
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            created => created.map(drop),
        }
    }

    /// Whether the letter that is there already is this one.
    async fn is_same(&self, ack: &PublishAck, letter: &DeadLetter) -> Result<bool> {
        let found = self.streams.get_message(&ack.stream, &Get::Sequence(ack.sequence), false).await?;
        // One that was taken out since was there, and was read.
        let Some(Ok(found)) = found.and_then(DeadLetter::from_stored) else { return Ok(true) };
        Ok(found.first_time == letter.first_time)
    }
}

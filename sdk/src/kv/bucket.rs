//! [`Bucket`]: a key-value bucket, whatever its values are.

use std::time::Duration;

use bytes::Bytes;

use super::{
    KvSpec,
    entry::{self, RawEntry},
    key,
    settings::{check_name, check_ttl, duplicate_window, open_stream},
};
use crate::{
    Bus, Code, Events, Executed, Result, Status, StreamSpec,
    bus::Message,
    jetstream::{Get, JetStream, header},
    limits,
    status::reason,
};

/// A key-value bucket, whatever its values are.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) streams: JetStream,
    events: Events,
    /// `settings`
    pub(super) name: String,
    /// `KV_settings`
    pub(super) stream: String,
    /// `$KV.settings.`
    pub(super) prefix: String,
    direct: bool,
    key_ttl: bool,
    history: bool,
    remembers_ids: bool,
}

impl Bucket {
    pub(super) async fn open(bus: &Bus, spec: &KvSpec) -> Result<Self> {
        spec.check()?;
        let streams = JetStream::new(bus);
        let info = open_stream(&streams, &spec.bucket, &spec.into()).await?;
        Ok(Self::new(streams, &spec.bucket, &info.spec))
    }

    pub(super) async fn existing(bus: &Bus, name: &str) -> Result<Self> {
        check_name(name)?;
        let streams = JetStream::new(bus);
        let info = streams.stream_info(&stream(name)).await?;
        Ok(Self::new(streams, name, &info.spec))
    }

    fn new(streams: JetStream, name: &str, spec: &StreamSpec) -> Self {
        let events = Events::new(streams.bus());
        Self {
            streams,
            events,
            name: name.to_owned(),
            stream: stream(name),
            prefix: prefix(name),
            direct: spec.allow_direct,
            key_ttl: spec.allow_message_ttl,
            history: spec.max_messages_per_subject != Some(1),
            remembers_ids: duplicate_window(spec) >= limits::PUBLISH_HORIZON * 2,
        }
    }

    /// The last revision of a key. `latest`: asks the leader, and not whoever has a copy.
    pub(super) async fn last(&self, key: &str, latest: bool) -> Result<Option<RawEntry>> {
        let subject = key::subject(&self.prefix, key)?.as_str().to_owned();
        let stored = self.streams.get_message(&self.stream, &Get::Last(subject), self.direct && !latest).await?;
        stored.map(|stored| RawEntry::of_stored(&self.prefix, stored)).transpose()
    }

    /// This revision, if it is one of the key.
    pub(super) async fn revision(&self, key: &str, revision: u64) -> Result<Option<RawEntry>> {
        let subject = key::subject(&self.prefix, key)?;
        if revision == 0 {
            // The server takes it for no place at all, and refuses.
            return Ok(None);
        }
        let stored = self.streams.get_message(&self.stream, &Get::Sequence(revision), self.direct).await?;
        let stored = stored.filter(|stored| stored.message.subject == subject);
        stored.map(|stored| RawEntry::of_stored(&self.prefix, stored)).transpose()
    }

    /// Stores a revision.
    ///
    /// A time to live takes the earlier revisions along: when this one goes, they would be back.
    pub(super) async fn write(&self, key: &str, payload: Bytes, how: Write) -> Result<u64> {
        self.check_key_ttl(how.ttl)?;
        let mut publish = self.events.publish(Message::new(key::subject(&self.prefix, key)?, payload));
        if let Some(operation) = how.operation {
            publish = publish.header(entry::OPERATION, operation);
        }
        if how.operation == Some(entry::PURGE) || (how.ttl.is_some() && self.history) {
            publish = publish.header(header::ROLLUP, header::ROLLUP_SUBJECT);
        }
        if let Some(revision) = how.expected {
            publish = publish.expect_subject_sequence(revision);
        }
        if let Some(ttl) = how.ttl {
            publish = publish.ttl(ttl);
        }
        // With an id a write whose answer was lost is sent again, and stored once.
        let id = self.remembers_ids.then(|| format!("{:032x}", rand::random::<u128>()));
        if let Some(id) = &id {
            publish = publish.id(id).finds_out();
        }
        match (publish.await, how.expected, id) {
            (Err(status), Some(expected), Some(id)) if is_wrong_sequence(&status) => {
                // nats-server looks at the expectation first and at the id then, so what is in the way may
                // be our own.
                self.stored_as(&id, key, expected.saturating_add(1)).await?.ok_or(status)
            }
            (result, ..) => Ok(result?.sequence),
        }
    }

    /// The revision of a key that was stored with this id, if it is the first one from here on.
    async fn stored_as(&self, id: &str, key: &str, from: u64) -> Result<Option<u64>> {
        let next = Get::Next { from, subject: key::subject(&self.prefix, key)?.as_str().to_owned() };
        let found = self.streams.get_message(&self.stream, &next, false).await;
        // Whether it was stored is open until somebody answers.
        let found = found.map_err(|status| status.with_executed(Executed::Maybe))?;
        Ok(found.filter(|found| found.message.headers.get(header::ID) == Some(id)).map(|found| found.sequence))
    }

    fn check_key_ttl(&self, ttl: Option<Duration>) -> Result<()> {
        if ttl.is_some() && !self.key_ttl {
            let message = format!("the bucket {} does not allow keys a time to live of their own", self.name);
            let status = Status::made_here(Code::FailedPrecondition, reason::INVALID_CONFIG, message);
            return Err(status.with_executed(Executed::No));
        }
        check_ttl(&self.name, ttl)
    }
}

/// What a write is beside its value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Write {
    /// Where it is no value.
    pub(super) operation: Option<&'static str>,
    /// The revision that has to be the last one of the key; 0: it has none.
    pub(super) expected: Option<u64>,
    /// How long it is kept.
    pub(super) ttl: Option<Duration>,
}

impl Write {
    pub(super) const DELETE: Self = Self { operation: Some(entry::DELETE), expected: None, ttl: None };
    pub(super) const PURGE: Self = Self { operation: Some(entry::PURGE), expected: None, ttl: None };

    pub(super) const fn expecting(self, revision: u64) -> Self {
        Self { expected: Some(revision), ..self }
    }

    pub(super) const fn expiring(self, ttl: Option<Duration>) -> Self {
        Self { ttl, ..self }
    }
}

/// `KV_settings`
pub(super) fn stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// `$KV.settings.`
pub(super) fn prefix(bucket: &str) -> String {
    format!("$KV.{bucket}.")
}

/// Whether somebody else has written first.
pub(crate) fn is_wrong_sequence(status: &Status) -> bool {
    status.reason().as_deref() == Some(reason::WRONG_SEQUENCE)
}

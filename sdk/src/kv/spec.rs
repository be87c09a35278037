//! [`KvSpec`]: what a key-value bucket should be.

use std::{borrow::Cow, time::Duration};

use super::{
    bucket,
    settings::{check_max_bytes, check_name, check_setting, check_ttl},
};
use crate::{Discard, Result, Specs, Storage, StreamSpec, limits};

/// What a key-value bucket should be: plain data, as a [`StreamSpec`] is.
///
/// ```
/// # use std::time::Duration;
/// # use subwire::KvSpec;
/// let sessions = KvSpec::new("sessions").history(5).ttl(Duration::from_secs(3600));
/// assert_eq!(sessions.history, 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSpec {
    /// `[A-Za-z0-9_-]+`
    pub bucket: Cow<'static, str>,
    /// For people.
    pub description: Cow<'static, str>,
    /// Revisions that are kept of each key, the last one included: 1 to 64.
    pub history: u8,
    /// How long a revision is kept; unset: for ever.
    pub ttl: Option<Duration>,
    /// Whether a key may have a time to live of its own.
    pub key_ttl: bool,
    /// Bytes that the bucket may have, with keys and headers; beyond them it refuses. Unset: no limit.
    pub max_bytes: Option<u64>,
    /// The largest value, in bytes. A write has headers, about 100 bytes, which count.
    pub max_value_bytes: Option<u32>,
    /// Where revisions are kept.
    pub storage: Storage,
    /// Servers that keep a copy: 1 to 5. With 1 the bucket is down when its server is.
    pub replicas: u8,
}

impl KvSpec {
    /// The most revisions of a key that a bucket keeps: what other clients of NATS allow.
    pub const HISTORY_MAX: u8 = 64;

    /// A bucket that keeps the last revision of each key, in a file, without limits.
    pub fn new(bucket: impl Into<Cow<'static, str>>) -> Self {
        Self {
            bucket: bucket.into(),
            description: Cow::Borrowed(""),
            history: 1,
            ttl: None,
            key_ttl: false,
            max_bytes: None,
            max_value_bytes: None,
            storage: Storage::File,
            replicas: 1,
        }
    }

    /// Says what it is for.
    #[must_use]
    pub fn description(mut self, description: impl Into<Cow<'static, str>>) -> Self {
        self.description = description.into();
        self
    }

    /// Keeps so many revisions of each key: 1 to 64.
    #[must_use]
    pub fn history(mut self, revisions: u8) -> Self {
        self.history = revisions;
        self
    }

    /// Keeps each revision for so long: a second to 100 years, to which more is cut. Default: for ever.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Allows keys to have a time to live of their own: [`Kv::put_with_ttl`](crate::Kv::put_with_ttl).
    #[must_use]
    pub fn key_ttl(mut self) -> Self {
        self.key_ttl = true;
        self
    }

    /// Refuses what would make it larger than so many bytes: at least 1. Default: no limit.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Refuses values that are larger than so many bytes, headers included: 1 to 2,147,483,647. Default: no
    /// limit but that of the broker.
    #[must_use]
    pub fn max_value_bytes(mut self, bytes: u32) -> Self {
        self.max_value_bytes = Some(bytes);
        self
    }

    /// Keeps revisions there.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Keeps a copy on so many servers: 1 to 5.
    #[must_use]
    pub fn replicas(mut self, servers: u8) -> Self {
        self.replicas = servers;
        self
    }

    /// Whether it can be.
    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.bucket)?;
        check_setting(&self.bucket, "history", self.history, 1..=Self::HISTORY_MAX)?;
        check_setting(&self.bucket, "replicas", self.replicas, 1..=5)?;
        check_max_bytes(&self.bucket, self.max_bytes)?;
        if let Some(bytes) = self.max_value_bytes {
            check_setting(&self.bucket, "max_value_bytes", bytes, 1..=limits::STREAM_MESSAGE_BYTES_MAX)?;
        }
        check_ttl(&self.bucket, self.ttl)
    }
}

/// The stream that a bucket is (ADR-8): for [`Streams::plan`](crate::Streams::plan), which shows and
/// makes changes to a bucket that exists.
impl From<&KvSpec> for StreamSpec {
    fn from(spec: &KvSpec) -> Self {
        Self {
            description: spec.description.clone(),
            storage: spec.storage,
            replicas: spec.replicas,
            max_messages_per_subject: Some(spec.history.into()),
            max_bytes: spec.max_bytes,
            max_age: spec.ttl.map(|ttl| ttl.min(limits::STREAM_TIME_MAX)),
            max_message_bytes: spec.max_value_bytes,
            discard: Discard::New,
            allow_direct: true,
            allow_message_ttl: spec.key_ttl,
            allow_rollup: true,
            deny_delete: true,
            ..Self::new(bucket::stream(&spec.bucket), [format!("{}>", bucket::prefix(&spec.bucket))])
        }
    }
}

impl From<KvSpec> for Specs {
    fn from(spec: KvSpec) -> Self {
        StreamSpec::from(&spec).into()
    }
}

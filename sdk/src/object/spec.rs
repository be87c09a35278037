//! [`ObjectSpec`]: what an object store should be.

use std::{borrow::Cow, time::Duration};

use crate::{
    Discard, Result, Specs, Storage, StreamSpec,
    kv::settings::{check_max_bytes, check_name, check_setting, check_ttl},
    limits,
};

/// What an object store should be: plain data, as a [`StreamSpec`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSpec {
    /// `[A-Za-z0-9_-]+`
    pub bucket: Cow<'static, str>,
    /// For people.
    pub description: Cow<'static, str>,
    /// How long an object is kept; unset: for ever.
    pub ttl: Option<Duration>,
    /// Bytes that the store may have, with what it needs for itself; beyond them it refuses. Unset: no
    /// limit. A new version of an object is stored beside the old one first.
    pub max_bytes: Option<u64>,
    /// Where objects are kept.
    pub storage: Storage,
    /// Servers that keep a copy: 1 to 5. With 1 the store is down when its server is.
    pub replicas: u8,
}

impl ObjectSpec {
    /// A store in files, without limits.
    pub fn new(bucket: impl Into<Cow<'static, str>>) -> Self {
        Self {
            bucket: bucket.into(),
            description: Cow::Borrowed(""),
            ttl: None,
            max_bytes: None,
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

    /// Keeps each object for so long: a second to 100 years, to which more is cut. Default: for ever.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Refuses what would make it larger than so many bytes: at least 1. Default: no limit.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Keeps objects there.
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
        check_setting(&self.bucket, "replicas", self.replicas, 1..=5)?;
        check_max_bytes(&self.bucket, self.max_bytes)?;
        check_ttl(&self.bucket, self.ttl)
    }
}

/// `OBJ_models`
pub(super) fn stream(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

/// The stream that a store is (ADR-20): for [`Streams::plan`](crate::Streams::plan), which shows and
/// makes changes to a store that exists.
impl From<&ObjectSpec> for StreamSpec {
    fn from(spec: &ObjectSpec) -> Self {
        let bucket = &spec.bucket;
        Self {
            description: spec.description.clone(),
            storage: spec.storage,
            replicas: spec.replicas,
            max_bytes: spec.max_bytes,
            max_age: spec.ttl.map(|ttl| ttl.min(limits::STREAM_TIME_MAX)),
            discard: Discard::New,
            allow_direct: true,
            allow_rollup: true,
            ..Self::new(stream(bucket), [format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")])
        }
    }
}

impl From<ObjectSpec> for Specs {
    fn from(spec: ObjectSpec) -> Self {
        StreamSpec::from(&spec).into()
    }
}

//! [`Kv`]: values by key, typed, with revisions.

pub(crate) mod bucket;
pub(crate) mod changes;
mod entry;
mod key;
pub(crate) mod settings;
mod spec;
mod value;
mod watch;

use std::{borrow::Borrow, collections::BTreeSet, fmt, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;

use self::{
    bucket::{Bucket, Write, is_wrong_sequence},
    changes::{Changes, newest, stored},
    entry::RawEntry,
};
pub use self::{
    entry::{KvEntry, KvOperation},
    spec::KvSpec,
    value::KvValue,
    watch::{KvChange, KvWatch},
};
use crate::{Bus, Code, Deliver, Executed, Result, Status, StreamInfo, jetstream::OrderedSpec, status::reason};

/// How often `create` looks again when a key is removed and made by others in the meantime.
const CREATE_ATTEMPTS: usize = 8;

/// Values by key, with revisions. A clone is one atomic increment.
///
/// `T` is a protobuf message, or [`Bytes`] (see [`KvValue`]). The layout is NATS's own (ADR-8), so
/// that the `nats` program and other languages read what this writes, and the other way round.
///
/// A key is tokens of `[-/_=a-zA-Z0-9]+` with `.` between them. Each write to the bucket gets the
/// next revision.
///
/// ```
/// # use bytes::Bytes;
/// # use subwire::{Bus, Kv, KvSpec, Result};
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let bus = Bus::memory();
/// let settings: Kv<String> = Kv::open(&bus, KvSpec::new("settings").history(5)).await?;
///
/// let first = settings.put("squad.size", &"5".to_owned()).await?;
/// settings.update("squad.size", &"6".to_owned(), first).await?; // nobody has written since
/// let entry = settings.get("squad.size").await?.expect("it was put");
/// assert_eq!((entry.value.as_str(), entry.revision), ("6", 2));
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those that every operation may have: `INVALID_ARGUMENT` for a key that is not legal, by name;
/// `NOT_FOUND` when the bucket is gone; `PERMISSION_DENIED`; `UNAVAILABLE` or `DEADLINE_EXCEEDED`
/// when the broker does not answer. Writes wait up to 30 s for a connection; one whose outcome is
/// open after that says so by [`Status::executed`]. Reads fail at once.
pub struct Kv<T = Bytes> {
    bucket: Arc<Bucket>,
    value: PhantomData<fn() -> T>,
}

impl<T: KvValue> Kv<T> {
    /// Opens a bucket, and makes it where there is none.
    ///
    /// # Errors
    /// `ALREADY_EXISTS` when there is one with other settings: it is not changed, and the message
    /// says in what they differ (description and replicas may). `INVALID_ARGUMENT` for a spec that
    /// cannot be. `FAILED_PRECONDITION` when the broker has no JetStream.
    pub async fn open(bus: &Bus, spec: impl Borrow<KvSpec>) -> Result<Self> {
        let spec = spec.borrow().clone();
        Ok(Self::over(Bucket::open(bus, &spec).await?))
    }

    /// Opens a bucket that is there, whatever its settings are.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none.
    pub async fn existing(bus: &Bus, bucket: &str) -> Result<Self> {
        Ok(Self::over(Bucket::existing(bus, bucket).await?))
    }

    fn over(bucket: Bucket) -> Self {
        Self { bucket: Arc::new(bucket), value: PhantomData }
    }

    /// The same bucket with its values as they are stored: for those that cannot be decoded.
    pub fn raw(&self) -> Kv<Bytes> {
        Kv { bucket: self.bucket.clone(), value: PhantomData }
    }

    /// Its name.
    pub fn bucket(&self) -> &str {
        &self.bucket.name
    }

    /// The stream that it is, with its size and settings.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn info(&self) -> Result<StreamInfo> {
        self.bucket.streams.stream_info(&self.bucket.stream).await
    }

    /// Deletes the bucket with all that is in it.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn delete_bucket(&self) -> Result<()> {
        self.bucket.streams.delete_stream(&self.bucket.stream).await
    }

    /// The value of a key, if it has one.
    ///
    /// In a bucket with replicas any of them answers, which may be a moment behind: read, decide and
    /// write with [`update`](Self::update), which notices.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `MALFORMED_EVENT`, when it cannot be decoded.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<KvEntry<T>>> {
        self.present(self.bucket.last(key.as_ref(), false).await?)
    }

    /// A revision of a key, if that is in its history and has a value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_revision(&self, key: impl AsRef<str>, revision: u64) -> Result<Option<KvEntry<T>>> {
        self.present(self.bucket.revision(key.as_ref(), revision).await?)
    }

    fn present(&self, entry: Option<RawEntry>) -> Result<Option<KvEntry<T>>> {
        let Some(entry) = entry else { return Ok(None) };
        Ok(entry.decode(&self.bucket.prefix)?.present())
    }

    /// Gives a key a value, whatever it had. The revision.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`: the bucket is full (`STREAM_FULL`) or the value too large
    /// (`TOO_LARGE_MESSAGE`).
    pub async fn put(&self, key: impl AsRef<str>, value: &T) -> Result<u64> {
        self.bucket.write(key.as_ref(), value.to_bytes(), Write::default()).await
    }

    /// The same, for so long: then the key is removed. Its history goes at once, for the value before
    /// would be back then. Counted in seconds, rounded up; more than 100 years are as many.
    ///
    /// Whoever watches learns of the end only if the bucket has markers for it, as `nats kv add
    /// --marker-ttl` makes one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the bucket has no [`key_ttl`](KvSpec::key_ttl). `INVALID_ARGUMENT`
    /// for less than a second. Else as [`put`](Self::put).
    pub async fn put_with_ttl(&self, key: impl AsRef<str>, value: &T, ttl: Duration) -> Result<u64> {
        self.bucket.write(key.as_ref(), value.to_bytes(), Write::default().expiring(Some(ttl))).await
    }

    /// Gives a key its first value. One that was removed may have another first.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`, reason `KEY_EXISTS`, when it has one. Else as [`put`](Self::put).
    pub async fn create(&self, key: impl AsRef<str>, value: &T) -> Result<u64> {
        self.insert(key.as_ref(), value, None).await
    }

    /// The same, for so long: a lease. See [`put_with_ttl`](Self::put_with_ttl).
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`put_with_ttl`](Self::put_with_ttl).
    pub async fn create_with_ttl(&self, key: impl AsRef<str>, value: &T, ttl: Duration) -> Result<u64> {
        self.insert(key.as_ref(), value, Some(ttl)).await
    }

    async fn insert(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<u64> {
        let mut expected = 0;
        for _ in 0..CREATE_ATTEMPTS {
            let how = Write::default().expecting(expected).expiring(ttl);
            match self.bucket.write(key, value.to_bytes(), how).await {
                Err(status) if is_wrong_sequence(&status) => {}
                done => return done,
            }
            expected = match self.bucket.last(key, true).await? {
                Some(entry) if entry.operation == KvOperation::Put => return Err(self.exists(key, entry.revision)),
                Some(removed) => removed.revision,
                None => 0,
            };
        }
        Err(self.gone_on(key, "it was made and removed by others all the while"))
    }

    /// Gives a key a value if `revision` is its last one: nobody has written since it was read. 0: it
    /// has none.
    ///
    /// # Errors
    /// `ABORTED`, reason `WRONG_SEQUENCE`, when somebody has: read it again. In a bucket without history
    /// it may be that this was stored, its answer was lost, and another replaced it before it could be
    /// asked again. Else as [`put`](Self::put).
    pub async fn update(&self, key: impl AsRef<str>, value: &T, revision: u64) -> Result<u64> {
        let key = key.as_ref();
        let write = self.bucket.write(key, value.to_bytes(), Write::default().expecting(revision));
        write.await.map_err(|status| self.not_at(key, revision, status))
    }

    /// Removes a key. Its history stays, with a revision that says so. `Ok` also when there was none.
    ///
    /// # Errors
    /// As [`put`](Self::put): a removal is written.
    pub async fn delete(&self, key: impl AsRef<str>) -> Result<()> {
        self.bucket.write(key.as_ref(), Bytes::new(), Write::DELETE).await.map(drop)
    }

    /// Removes a key if `revision` is its last one.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub async fn delete_if(&self, key: impl AsRef<str>, revision: u64) -> Result<()> {
        let key = key.as_ref();
        let write = self.bucket.write(key, Bytes::new(), Write::DELETE.expecting(revision));
        write.await.map(drop).map_err(|status| self.not_at(key, revision, status))
    }

    /// Removes a key with its history: what remains is a revision that says so.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn purge(&self, key: impl AsRef<str>) -> Result<()> {
        self.bucket.write(key.as_ref(), Bytes::new(), Write::PURGE).await.map(drop)
    }

    /// The keys that `filter` meets and that have a value, sorted: `>` is all of them, `squad.*` those
    /// with one token more. All are held in memory; a large bucket is better [watched](Self::watch).
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn keys(&self, filter: impl AsRef<str>) -> Result<Vec<String>> {
        let spec = OrderedSpec { headers_only: true, ..self.newest(filter.as_ref())? };
        let mut keys = BTreeSet::new();
        stored(&self.bucket.streams, spec, |delivered| {
            let entry = RawEntry::of_delivered(&self.bucket.prefix, delivered)?;
            match entry.operation {
                KvOperation::Put => keys.insert(entry.key),
                // Removed while we read.
                _ => keys.remove(&entry.key),
            };
            Ok(())
        })
        .await?;
        Ok(keys.into_iter().collect())
    }

    /// The revisions of a key that the bucket has, oldest first, removals included.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `MALFORMED_EVENT`, when one of them cannot be decoded; the others are in
    /// [`raw`](Self::raw).
    pub async fn history(&self, key: impl AsRef<str>) -> Result<Vec<KvEntry<Option<T>>>> {
        let subject = key::subject(&self.bucket.prefix, key.as_ref())?.as_str().to_owned();
        let spec = OrderedSpec { filters: vec![subject], ..OrderedSpec::new(&*self.bucket.stream) };
        let mut history = Vec::new();
        stored(&self.bucket.streams, spec, |delivered| {
            let prefix = &self.bucket.prefix;
            history.push(RawEntry::of_delivered(prefix, delivered)?.decode(prefix)?);
            Ok(())
        })
        .await?;
        Ok(history)
    }

    /// Tells what the keys are that `filter` meets, then [`KvChange::CaughtUp`] once, then what changes.
    ///
    /// In the beginning the last revision of each key comes, in the order in which they were written,
    /// and be it a removal.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn watch(&self, filter: impl AsRef<str>) -> Result<KvWatch<T>> {
        self.follow(self.newest(filter.as_ref())?).await
    }

    /// The same, but in the beginning all revisions come that the bucket has from `revision` on: for
    /// who remembers how far it was (`revision` is the next one), or wants all of the history (1).
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn watch_from(&self, filter: impl AsRef<str>, revision: u64) -> Result<KvWatch<T>> {
        let deliver = Deliver::FromSequence(revision.max(1));
        self.follow(OrderedSpec { deliver, ..self.newest(filter.as_ref())? }).await
    }

    async fn follow(&self, spec: OrderedSpec) -> Result<KvWatch<T>> {
        let changes = Changes::open(&self.bucket.streams, spec).await?;
        Ok(KvWatch::new(self.bucket.clone(), changes))
    }

    fn newest(&self, filter: &str) -> Result<OrderedSpec> {
        Ok(newest(&self.bucket.stream, key::filter(&self.bucket.prefix, filter)?))
    }

    fn exists(&self, key: &str, revision: u64) -> Status {
        let message = format!("the key {key} of the bucket {} has a value, of revision {revision}", self.bucket.name);
        Status::made_here(Code::AlreadyExists, reason::KEY_EXISTS, message).with_executed(Executed::No)
    }

    /// The status of a write that expected `revision`.
    fn not_at(&self, key: &str, revision: u64, status: Status) -> Status {
        match is_wrong_sequence(&status) {
            true => self.gone_on(key, &format!("its last revision is not {revision}")),
            false => status,
        }
    }

    fn gone_on(&self, key: &str, how: &str) -> Status {
        let message = format!("the key {key} of the bucket {} has changed: {how}", self.bucket.name);
        Status::made_here(Code::Aborted, reason::WRONG_SEQUENCE, message).with_executed(Executed::No)
    }
}

impl<T> Clone for Kv<T> {
    fn clone(&self) -> Self {
        Self { bucket: self.bucket.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Kv<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kv").field("bucket", &self.bucket.name).finish_non_exhaustive()
    }
}

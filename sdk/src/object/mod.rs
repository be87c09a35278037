//! [`ObjectStore`]: objects of any size, by name.

mod chunks;
mod digest;
mod error;
mod info;
mod janitor;
mod reader;
mod spec;
mod store;
mod upload;
mod watch;

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    io::Cursor,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncRead;

use self::store::Store;
pub use self::{
    info::{ObjectInfo, ObjectLink, ObjectMeta},
    reader::Object,
    spec::ObjectSpec,
    watch::{ObjectChange, ObjectWatch},
};
use crate::{
    Bus, Code, Result, Status, StreamInfo,
    jetstream::{Get, JetStream, Purge},
    kv::{
        changes::{Changes, newest, stored},
        settings::{check_name, open_stream},
    },
    limits,
    status::reason,
};

/// How many links may follow one another.
const LINKS_MAX: usize = 8;

/// Objects of any size, by name. A clone is one atomic increment.
///
/// The layout is NATS's own (ADR-20), so that the `nats` program and other languages read what this
/// writes, and the other way round. Putting and getting hold a few MiB, whatever the size of the object.
///
/// ```
/// # use subwire::{Bus, ObjectSpec, ObjectStore, Result};
/// # use tokio::io::AsyncReadExt;
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::memory();
/// let models = ObjectStore::open(&bus, ObjectSpec::new("models")).await?;
///
/// let info = models.put("model.bin", tokio::io::repeat(7).take(300_000)).await?;
/// assert_eq!((info.size, info.chunks), (300_000, 3));
///
/// let mut bytes = Vec::new();
/// models.get("model.bin").await?.read_to_end(&mut bytes).await?;
/// assert_eq!(bytes.len(), 300_000);
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those that every operation may have: `INVALID_ARGUMENT` for a name that is empty or too long;
/// `NOT_FOUND` when the store is gone; `PERMISSION_DENIED`; `UNAVAILABLE` or `DEADLINE_EXCEEDED` when the
/// broker does not answer.
#[derive(Clone)]
pub struct ObjectStore {
    store: Arc<Store>,
}

impl ObjectStore {
    /// The largest object that goes through memory in one piece, in bytes: 64 MiB.
    pub const BYTES_MAX: usize = limits::MESSAGE_BYTES;

    /// Opens a store, and makes it where there is none.
    ///
    /// # Errors
    /// As [`Kv::open`](crate::Kv::open).
    pub async fn open(bus: &Bus, spec: impl Borrow<ObjectSpec>) -> Result<Self> {
        let spec = spec.borrow().clone();
        spec.check()?;
        let info = open_stream(&JetStream::new(bus), &spec.bucket, &(&spec).into()).await?;
        Ok(Self { store: Arc::new(Store::new(bus, &spec.bucket, &info)) })
    }

    /// Opens a store that is there, whatever its settings are.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none.
    pub async fn existing(bus: &Bus, bucket: &str) -> Result<Self> {
        check_name(bucket)?;
        let info = JetStream::new(bus).stream_info(&spec::stream(bucket)).await?;
        Ok(Self { store: Arc::new(Store::new(bus, bucket, &info)) })
    }

    /// Its name.
    pub fn bucket(&self) -> &str {
        &self.store.name
    }

    /// The stream that it is, with its size and settings.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn stream_info(&self) -> Result<StreamInfo> {
        self.store.streams.stream_info(&self.store.stream).await
    }

    /// Deletes the store with all that is in it.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn delete_bucket(&self) -> Result<()> {
        self.store.streams.delete_stream(&self.store.stream).await
    }

    /// Reads `source` to its end, and makes an object of it. Who reads the name gets the version before
    /// until this is done, and then this one. Of two that put at one time, the later to end wins.
    ///
    /// At most 2 MiB are on their way. It does not outlive its connection: when that breaks it fails,
    /// and has to be done again.
    ///
    /// When it fails it makes no object, and takes back what it has stored before it returns: it waits up
    /// to 30 s for a connection. When it is dropped this is done behind it, as long as the store or a
    /// clone of it lives. What is left by a program that was killed, [`sweep`](Self::sweep) removes.
    /// Dropped in its very last step it may have made the object.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`: the store is full. Whatever `source` fails with, as `UNKNOWN`. Unless
    /// [`executed`](Status::executed) says `No`, the object may be there.
    pub async fn put(&self, meta: impl Into<ObjectMeta>, source: impl AsyncRead + Send) -> Result<ObjectInfo> {
        upload::put(&self.store, meta.into(), source).await
    }

    /// Makes an object of these bytes: at most [`BYTES_MAX`](Self::BYTES_MAX).
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` for more, before anything is sent. Else as [`put`](Self::put).
    pub async fn put_bytes(&self, meta: impl Into<ObjectMeta>, bytes: impl Into<Bytes>) -> Result<ObjectInfo> {
        let (meta, bytes) = (meta.into(), bytes.into());
        check_size(&meta.name, bytes.len() as u64, reason::TOO_LARGE_REQUEST)?;
        self.put(meta, Cursor::new(bytes)).await
    }

    /// Begins to read an object. What a link stands for is read in its place.
    ///
    /// # Errors
    /// `NOT_FOUND`, reason `OBJECT_NOT_FOUND`, when there is none. `FAILED_PRECONDITION` for a link to a
    /// whole store. Else, and while it is read, those of [`Object`].
    pub async fn get(&self, name: impl AsRef<str>) -> Result<Object> {
        let (mut store, mut name) = (self.store.clone(), name.as_ref().to_owned());
        for _ in 0..LINKS_MAX {
            let info = store.info(&name, true).await?.filter(|info| !info.deleted);
            let info = info.ok_or_else(|| error::not_found(&store.name, &name))?;
            let Some(link) = info.link else { return Object::open(&store, info).await };
            let Some(linked) = link.name else {
                let message = format!("{name:?} is a link to all of the store {}", link.bucket);
                return Err(Status::failed_precondition(message));
            };
            if link.bucket != store.name {
                store = Self::existing(store.streams.bus(), &link.bucket).await?.store;
            }
            name = linked;
        }
        Err(Status::failed_precondition(format!("{name:?} is behind more than {LINKS_MAX} links")))
    }

    /// An object in one piece: at most [`BYTES_MAX`](Self::BYTES_MAX).
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` for a larger one, before anything is read. Else as [`get`](Self::get).
    pub async fn get_bytes(&self, name: impl AsRef<str>) -> Result<Bytes> {
        let mut object = self.get(name).await?;
        let (name, size) = (object.info().name.clone(), object.info().size);
        check_size(&name, size, reason::TOO_LARGE_RESPONSE)?;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = object.chunk().await? {
            check_size(&name, (bytes.len() + chunk.len()) as u64, reason::TOO_LARGE_RESPONSE)?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// What the store says of an object, if it has one of that name. Of a link, not of what it stands for.
    ///
    /// In a store with replicas any of them answers, which may be a moment behind.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `MALFORMED_EVENT`, when nobody can make sense of it.
    pub async fn info(&self, name: impl AsRef<str>) -> Result<Option<ObjectInfo>> {
        Ok(self.store.info(name.as_ref(), false).await?.filter(|info| !info.deleted))
    }

    /// All objects, sorted by name. Their infos are all held in memory.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn list(&self) -> Result<Vec<ObjectInfo>> {
        let mut objects = BTreeMap::new();
        stored(&self.store.streams, newest(&self.store.stream, self.store.metas()), |delivered| {
            let info = ObjectInfo::of_message(&delivered.message, delivered.stream_sequence, delivered.time)?;
            match info.deleted {
                false => objects.insert(info.name.clone(), info),
                // Deleted while we read.
                true => objects.remove(&info.name),
            };
            Ok(())
        })
        .await?;
        Ok(objects.into_values().collect())
    }

    /// Deletes an object; `false` when there is none. Who is reading it gets an error.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn delete(&self, name: impl AsRef<str>) -> Result<bool> {
        let Some(info) = self.store.info(name.as_ref(), true).await?.filter(|info| !info.deleted) else {
            return Ok(false);
        };
        let replaced = self.store.replace(&mut info.into_deleted(), None).await?;
        if let Some(old) = replaced.filter(|old| old.chunks > 0) {
            self.store.chunks.purge(&old.nuid).await;
        }
        Ok(true)
    }

    /// Tells what the objects are, then [`ObjectChange::CaughtUp`] once, then what changes.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn watch(&self) -> Result<ObjectWatch> {
        let spec = newest(&self.store.stream, self.store.metas());
        Ok(ObjectWatch::new(Changes::open(&self.store.streams, spec).await?))
    }

    /// Removes chunks that belong to no object: of puts that were killed. How many.
    ///
    /// Only where nothing has come for `idle`: a put that pauses for longer would lose what it has
    /// stored. An hour does no harm.
    ///
    /// # Errors
    /// Those of every operation.
    pub async fn sweep(&self, idle: Duration) -> Result<u64> {
        let (streams, stream) = (&self.store.streams, &self.store.stream);
        let all = self.store.chunks.of(">");
        // In this order: a put that ends in between has its chunks in both.
        let found: HashMap<_, _> = streams.subjects(stream, all.as_str()).await?.into_iter().collect();
        let used: HashSet<_> =
            self.list().await?.iter().map(|info| self.store.chunks.of(&info.nuid).as_str().to_owned()).collect();
        let mut removed = 0;
        for subject in found.into_keys().filter(|subject| !used.contains(subject)) {
            let last = streams.get_message(stream, &Get::Last(subject.clone()), false).await?;
            let age = last.map(|last| SystemTime::now().duration_since(last.time).unwrap_or_default());
            if age.is_some_and(|age| age >= idle) {
                removed += streams.purge_stream(stream, &Purge { subject: Some(subject), ..Purge::default() }).await?;
            }
        }
        Ok(removed)
    }
}

fn check_size(name: &str, size: u64, reason: &'static str) -> Result<()> {
    match size <= ObjectStore::BYTES_MAX as u64 {
        true => Ok(()),
        false => {
            let message = format!("{name:?} is {size} bytes, and {} at most go in one piece", ObjectStore::BYTES_MAX);
            Err(Status::made_here(Code::ResourceExhausted, reason, message))
        }
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("bucket", &self.store.name).finish_non_exhaustive()
    }
}

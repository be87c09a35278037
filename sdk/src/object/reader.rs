//! [`Object`]: the bytes of an object as they come.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use super::{ObjectInfo, digest::Digest, error, store::Store};
use crate::{
    Result, Status,
    bus::Subject,
    jetstream::{Delivered, OrderedSpec},
    kv::changes::{Change, Changes},
};

/// The bytes of an object as they come: an [`AsyncRead`], and a [`Stream`] of chunks. Dropping it stops
/// it.
///
/// It ends only when all of them have come and are those that were put. Until then what has been read
/// may turn out to be worth nothing: the last chunk comes after the check, or an error in its place.
/// A lost connection is waited out. At most 4 MiB are here and not read.
///
/// # Errors
/// Final, and told again at every read. An [`io::Error`] has them inside, as a [`Status`].
/// - `DATA_LOSS`: the bytes are others (`WRONG_DIGEST`), or not all there (`OBJECT_INCOMPLETE`).
/// - `ABORTED`, reason `OBJECT_CHANGED`: it was replaced or deleted meanwhile. Begin again.
/// - `NOT_FOUND`: the store is gone. `UNAVAILABLE`: the bus is closed.
pub struct Object {
    info: ObjectInfo,
    /// Where its chunks are. Whatever else comes is the info of its name, which is stored behind them.
    chunks: Subject,
    source: Option<Changes>,
    digest: Digest,
    /// What has come so far.
    chunk_count: u64,
    size: u64,
    /// What of the last chunk is not read, where it is read by bytes.
    rest: Bytes,
    failure: Option<Status>,
    /// Whether the stream has told of the failure.
    told: bool,
}

impl Object {
    pub(super) async fn open(store: &Arc<Store>, info: ObjectInfo) -> Result<Self> {
        let chunks = store.chunks.of(&info.nuid);
        let source = match info.chunks {
            0 => None,
            _ => {
                let filters = vec![chunks.as_str().to_owned(), store.meta(&info.name)?.as_str().to_owned()];
                let spec = OrderedSpec { filters, ..OrderedSpec::new(&*store.stream) };
                Some(Changes::open(&store.streams, spec).await?)
            }
        };
        let (digest, rest) = (Digest::default(), Bytes::new());
        let object = Self { info, chunks, source, digest, chunk_count: 0, size: 0, rest, failure: None, told: false };
        if object.source.is_none() {
            object.verify()?;
        }
        Ok(object)
    }

    /// What the store says of it.
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The next bytes; `None` when all have come and are right. Cancel-safe.
    ///
    /// # Errors
    /// Those of the type.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>>> {
        if let Some(status) = &self.failure {
            return Poll::Ready(Err(status.clone()));
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
        let taken = match ready!(source.poll_next(cx)) {
            Some(Ok(Change::Stored(delivered))) => self.take(delivered),
            // The chunks are before whatever ends them, so they are not there.
            Some(Ok(Change::CaughtUp)) | None => Err(error::changed(&self.info)),
            Some(Err(status)) => Err(status),
        };
        if let Err(status) = &taken {
            self.source = None;
            self.failure = Some(status.clone());
        }
        Poll::Ready(taken.map(Some))
    }

    fn take(&mut self, delivered: Delivered) -> Result<Bytes> {
        let Delivered { message, stream_sequence, time, .. } = delivered;
        if message.subject != self.chunks {
            let now = ObjectInfo::of_message(&message, stream_sequence, time)?;
            return Err(match now.nuid == self.info.nuid && !now.deleted {
                true => error::incomplete(&self.info, self.size, self.chunk_count),
                false => error::changed(&self.info),
            });
        }
        self.digest.add(&message.payload);
        self.size += message.payload.len() as u64;
        self.chunk_count += 1;
        if self.chunk_count == self.info.chunks {
            self.source = None;
            self.verify()?;
        }
        Ok(message.payload)
    }

    /// Whether what has come is what was put.
    fn verify(&self) -> Result<()> {
        if self.size != self.info.size {
            return Err(error::incomplete(&self.info, self.size, self.chunk_count));
        }
        match &self.info.digest {
            Some(digest) if !self.digest.is(digest) => Err(error::wrong_digest(&self.info)),
            _ => Ok(()),
        }
    }
}

impl Stream for Object {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.told {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_chunk(cx));
        self.told = next.is_err();
        Poll::Ready(next.transpose())
    }
}

impl AsyncRead for Object {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // No bytes mean the end, so a chunk without any is none.
        while self.rest.is_empty() {
            match ready!(self.poll_chunk(cx)) {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(status) => return Poll::Ready(Err(error::into_io(status))),
            }
        }
        let length = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("info", &self.info).field("size", &self.size).finish_non_exhaustive()
    }
}

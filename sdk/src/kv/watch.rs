//! [`KvWatch`]: the values of a bucket as they change.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use futures_util::Stream;

use super::{
    KvEntry, KvValue,
    bucket::Bucket,
    changes::{Change, Changes},
    entry::RawEntry,
};
use crate::Result;

/// What a [`KvWatch`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvChange<T> {
    /// A revision. Without a value the key is removed; its `operation` says how.
    Entry(KvEntry<Option<T>>),
    /// What the bucket held when the watch began has been told. Comes once.
    CaughtUp,
}

/// The values of a bucket as they change: a [`Stream`] that has no end. Dropping it stops it.
///
/// A lost connection, a restarted server or a new leader are waited out: it goes on where it was,
/// without a gap or a double. What is not read waits in the bucket, as long as its history is: whoever
/// reads slowly, or was away, gets the last values and may miss some between.
///
/// An item is an error, and the next one may be well, when a value cannot be decoded (`DATA_LOSS`,
/// reason `MALFORMED_EVENT`, which names key and revision). Any other error is the last item: the
/// bucket is gone (`NOT_FOUND`), may not be read (`PERMISSION_DENIED`), or the bus is closed
/// (`UNAVAILABLE`).
pub struct KvWatch<T> {
    bucket: Arc<Bucket>,
    changes: Changes,
    value: PhantomData<fn() -> T>,
}

impl<T: KvValue> KvWatch<T> {
    pub(super) fn new(bucket: Arc<Bucket>, changes: Changes) -> Self {
        Self { bucket, changes, value: PhantomData }
    }

    /// The next change; `None` after an error that was the last item. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<KvChange<T>>> {
        std::future::poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<KvChange<T>>>> {
        let Some(change) = ready!(self.changes.poll_next(cx)) else { return Poll::Ready(None) };
        Poll::Ready(Some(change.and_then(|change| match change {
            Change::Stored(delivered) => {
                let prefix = &self.bucket.prefix;
                RawEntry::of_delivered(prefix, delivered)?.decode(prefix).map(KvChange::Entry)
            }
            Change::CaughtUp => Ok(KvChange::CaughtUp),
        })))
    }
}

impl<T: KvValue> Stream for KvWatch<T> {
    type Item = Result<KvChange<T>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(cx)
    }
}

impl<T> fmt::Debug for KvWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvWatch").field("bucket", &self.bucket.name).finish_non_exhaustive()
    }
}

//! [`ObjectWatch`]: the objects of a store as they change.

use std::{
    fmt,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use futures_util::Stream;

use super::ObjectInfo;
use crate::{
    Result,
    kv::changes::{Change, Changes},
};

/// What an [`ObjectWatch`] tells.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "all but one are large")]
pub enum ObjectChange {
    /// An object was put, or is [`deleted`](ObjectInfo::deleted).
    Entry(ObjectInfo),
    /// What the store held when the watch began has been told. Comes once.
    CaughtUp,
}

/// The objects of a store as they change: a [`Stream`] that has no end. Dropping it stops it.
///
/// Goes on, ends and fails as a [`KvWatch`](crate::KvWatch) does.
pub struct ObjectWatch {
    changes: Changes,
}

impl ObjectWatch {
    pub(super) fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// The next change; `None` after an error that was the last item. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<ObjectChange>> {
        std::future::poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<ObjectChange>>> {
        let change = ready!(self.changes.poll_next(cx));
        Poll::Ready(change.map(|change| match change? {
            Change::Stored(stored) => {
                ObjectInfo::of_message(&stored.message, stored.stream_sequence, stored.time).map(ObjectChange::Entry)
            }
            Change::CaughtUp => Ok(ObjectChange::CaughtUp),
        }))
    }
}

impl Stream for ObjectWatch {
    type Item = Result<ObjectChange>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(cx)
    }
}

impl fmt::Debug for ObjectWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.fmt(f)
    }
}

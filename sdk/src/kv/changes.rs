//! [`Changes`]: what a stream holds, then that this was all, then what comes.

use std::{
    fmt,
    task::{Context as TaskContext, Poll},
};

use crate::{
    Deliver, Result,
    jetstream::{Delivered, JetStream, Ordered, OrderedSpec},
};

/// What a stream holds, then that this was all, then what comes. Without gap or double.
pub(crate) struct Changes {
    ordered: Ordered,
    /// Whether it has been said that this was all.
    told: bool,
}

/// One of [`Changes`].
#[expect(clippy::large_enum_variant, reason = "all but one are large")]
pub(crate) enum Change {
    /// Something is stored.
    Stored(Delivered),
    /// What was stored in the beginning has been told.
    CaughtUp,
}

impl Changes {
    pub(crate) async fn open(streams: &JetStream, spec: OrderedSpec) -> Result<Self> {
        Ok(Self { ordered: Ordered::open(streams.clone(), spec).await?, told: false })
    }

    /// The next one; `None` after an error. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Change>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Change>>> {
        if self.caught_up() {
            return Poll::Ready(Some(Ok(Change::CaughtUp)));
        }
        match self.ordered.poll_next(cx) {
            Poll::Ready(next) => Poll::Ready(next.map(|next| next.map(Change::Stored))),
            // What was left may have gone instead of coming.
            Poll::Pending if self.caught_up() => Poll::Ready(Some(Ok(Change::CaughtUp))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether it is time to say that this was all.
    fn caught_up(&mut self) -> bool {
        let now = !self.told && self.ordered.caught_up();
        self.told |= now;
        now
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ordered.fmt(f)
    }
}

/// Takes what a stream holds now, and no more.
pub(crate) async fn stored(
    streams: &JetStream,
    spec: OrderedSpec,
    mut take: impl FnMut(Delivered) -> Result<()>,
) -> Result<()> {
    let mut changes = Changes::open(streams, spec).await?;
    while let Some(Change::Stored(delivered)) = changes.next().await.transpose()? {
        take(delivered)?;
    }
    Ok(())
}

/// The newest message of each subject that `filter` meets.
pub(crate) fn newest(stream: &str, filter: String) -> OrderedSpec {
    OrderedSpec { filters: vec![filter], deliver: Deliver::LastPerSubject, ..OrderedSpec::new(stream) }
}

//! [`Effects`]: what has been done already.

mod memory;
mod stream;

use std::{sync::Arc, time::SystemTime};

pub use self::{memory::MemoryEffects, stream::StreamEffects};
use super::{
    delivery::Delivery,
    outcome::{Reason, Verdict},
};
use crate::{BoxFuture, Result};

/// Which messages have been done, for a worker that should not do them twice.
///
/// A message is delivered at least once: when a worker dies between doing it and saying so, it comes
/// again. With a store of effects the worker looks here before it calls the handler, and writes here after
/// the handler has said `Done` and before it acknowledges. What is left is the moment between the effect and
/// the note of it: to close that, write both in one transaction, by a store over the same database.
///
/// ```
/// use std::{collections::HashSet, sync::Mutex};
/// use subwire::{Effects, Result, Status};
///
/// #[derive(Default)]
/// struct Seen(Mutex<HashSet<String>>);
///
/// impl Effects for Seen {
///     async fn contains(&self, key: &str) -> Result<bool> {
///         Ok(self.0.lock().map_err(|_| Status::internal("poisoned"))?.contains(key))
///     }
///     async fn insert(&self, key: &str) -> Result<()> {
///         self.0.lock().map_err(|_| Status::internal("poisoned"))?.insert(key.to_owned());
///         Ok(())
///     }
/// }
/// ```
pub trait Effects: Send + Sync + 'static {
    /// Whether the message of this key has been done.
    ///
    /// # Errors
    /// Nobody can tell now: the message is tried again later.
    fn contains(&self, key: &str) -> impl Future<Output = Result<bool>> + Send;

    /// Notes that the message of this key is done.
    ///
    /// # Errors
    /// It is not noted. The message is acknowledged all the same, as it *is* done.
    fn insert(&self, key: &str) -> impl Future<Output = Result<()>> + Send;
}

/// A store may be shared.
impl<T: Effects> Effects for Arc<T> {
    async fn contains(&self, key: &str) -> Result<bool> {
        T::contains(self, key).await
    }

    async fn insert(&self, key: &str) -> Result<()> {
        T::insert(self, key).await
    }
}

/// What makes two messages the same, to a store of [`Effects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKey {
    /// Their place in the stream: one message that is handed out twice.
    Sequence,
    /// The id that their publisher gave them: also one that was stored twice, since it was published again
    /// later than the stream remembers ids. Without an id, their place. Only for ids that are never used
    /// for anything else.
    MessageId,
}

impl EffectKey {
    /// The key of a message: `<consumer>/<stream>:<sequence>@<nanoseconds>` or `<consumer>/<id>`. The time is that
    /// at which it was stored: sequences begin anew when a stream is made anew.
    pub(super) fn of(self, delivery: &Delivery) -> String {
        let consumer = delivery.consumer();
        match (self, delivery.id()) {
            (Self::MessageId, Some(id)) => format!("{consumer}/{id}"),
            _ => {
                let time = delivery.time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                format!("{consumer}/{}:{}@{}", delivery.stream(), delivery.sequence(), time.as_nanos())
            }
        }
    }
}

/// A store, whichever it is.
pub(super) trait AnyEffects: Send + Sync {
    fn contains<'a>(&'a self, key: &'a str) -> BoxFutureOf<'a, bool>;
    fn insert<'a>(&'a self, key: &'a str) -> BoxFutureOf<'a, ()>;
}

type BoxFutureOf<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl<T: Effects> AnyEffects for T {
    fn contains<'a>(&'a self, key: &'a str) -> BoxFutureOf<'a, bool> {
        Box::pin(Effects::contains(self, key))
    }

    fn insert<'a>(&'a self, key: &'a str) -> BoxFutureOf<'a, ()> {
        Box::pin(Effects::insert(self, key))
    }
}

/// The effects of a worker.
#[derive(Clone)]
pub(super) struct Once {
    pub(super) store: Arc<dyn AnyEffects>,
    pub(super) key: EffectKey,
}

impl Once {
    /// Does the work, unless its effects are there.
    pub(super) fn wrap(&self, delivery: &Delivery, work: BoxFuture<Verdict>) -> BoxFuture<Verdict> {
        let (store, key) = (self.store.clone(), self.key.of(delivery));
        Box::pin(async move {
            match store.contains(&key).await {
                Ok(true) => return Verdict::Repeated,
                Ok(false) => {}
                Err(status) => return Verdict::Retry(status.retry_delay(), Reason::from(&status)),
            }
            let verdict = work.await;
            if matches!(verdict, Verdict::Done)
                && let Err(status) = store.insert(&key).await
            {
                tracing::warn!(%status, key, "an effect could not be noted: should its message come again, it is done again");
            }
            verdict
        })
    }
}

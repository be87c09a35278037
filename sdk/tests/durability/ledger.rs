//! [`Ledger`]: who was promised what, and what became of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use subwire::{Bus, Events};
use tokio::{sync::Notify, task::JoinSet};

use crate::{reading, within};

/// Publishers, and as many events as one of them has under way.
const PUBLISHERS: usize = 8;

/// Who was promised what, and what became of it.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    stopped: AtomicBool,
    book: Mutex<Book>,
    changed: Notify,
}

#[derive(Default)]
struct Book {
    acknowledged: BTreeSet<u64>,
    /// How often each was handled.
    handled: BTreeMap<u64, u32>,
}

impl Ledger {
    /// Publishes until [`stop`](Self::stop): each publisher one event after another.
    pub(crate) fn publish(&self, bus: &Bus) -> JoinSet<()> {
        let mut publishers = JoinSet::new();
        for _ in 0..PUBLISHERS {
            let (ledger, events) = (self.clone(), Events::new(bus));
            publishers.spawn(async move {
                while !ledger.0.stopped.load(Ordering::Relaxed) {
                    let value = ledger.0.next.fetch_add(1, Ordering::Relaxed);
                    // What is not acknowledged is no promise.
                    if events.publish(&reading(value)).await.is_ok() {
                        ledger.book().acknowledged.insert(value);
                        ledger.0.changed.notify_waiters();
                    }
                }
            });
        }
        publishers
    }

    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn handle(&self, value: u64) {
        *self.book().handled.entry(value).or_default() += 1;
        self.0.changed.notify_waiters();
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.book().acknowledged.len()
    }

    /// Waits until so many events more are acknowledged than now.
    pub(crate) async fn progress(&self, more: usize) {
        let goal = self.acknowledged() + more;
        self.wait("events are acknowledged", |book| book.acknowledged.len() >= goal).await;
    }

    /// Waits until everything acknowledged is handled; how many events were handled more than once.
    pub(crate) async fn settled(&self) -> usize {
        self.wait("everything acknowledged is handled", |book| {
            book.acknowledged.iter().all(|value| book.handled.contains_key(value))
        })
        .await;
        self.book().handled.values().filter(|times| **times > 1).count()
    }

    async fn wait(&self, what: &str, done: impl Fn(&Book) -> bool) {
        within(what, async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(&self.book()) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

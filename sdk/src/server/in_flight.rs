//! [`InFlight`]: how many calls a server handles.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many calls a server handles, and how many it may.
pub(super) struct InFlight {
    max: usize,
    count: AtomicUsize,
    idle: Notify,
}

/// The place of one call. Dropping it gives the place back.
pub(super) struct Slot(Arc<InFlight>);

impl InFlight {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, count: AtomicUsize::new(0), idle: Notify::new() })
    }

    pub(super) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let taken = self.count.fetch_add(1, Ordering::AcqRel);
        let slot = Slot(self.clone());
        (taken < self.max).then_some(slot)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Waits until there is none.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.count() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

//! [`InHand`]: messages that a worker has for longer than a moment.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::delivery::{Delivery, Place};
use crate::jetstream::Delivered;

/// Messages that a worker has for longer than a moment: those whose handlers wait, those that wait for
/// others of their key, and those that cannot be set aside at the moment.
#[derive(Default)]
pub(super) struct InHand {
    all: Mutex<HashMap<Place, Delivery, RandomState>>,
    /// How many they are; most of the time none, and nobody need look.
    count: AtomicUsize,
    bytes: AtomicUsize,
    less: Notify,
}

impl InHand {
    /// Notes a message, until the guard is dropped.
    pub(super) fn hold(self: &Arc<Self>, delivery: &Delivery) -> Held {
        let held = Held { in_hand: self.clone(), place: delivery.place(), bytes: delivery.bytes() };
        let before = self.lock().insert(held.place, delivery.clone());
        if before.is_none() {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        self.bytes.fetch_add(held.bytes, Ordering::AcqRel);
        held
    }

    /// Whether a message that was handed out is in hand already: its wait was over before we could say that
    /// it is being worked on. What is acknowledged in the end is this one.
    pub(super) fn has(&self, delivered: &Delivered) -> bool {
        if self.count() == 0 {
            return false;
        }
        let all = self.lock();
        let Some(delivery) = all.get(&Place::of(delivered)) else { return false };
        delivery.came_again(delivered.clone());
        true
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Delivery> {
        self.lock().values().cloned().collect()
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether they take less than this.
    pub(super) fn is_below(&self, bytes: usize) -> bool {
        self.bytes.load(Ordering::Acquire) < bytes
    }

    /// Waits until they take less than this.
    pub(super) async fn below(&self, bytes: usize) {
        loop {
            let less = self.less.notified();
            if self.is_below(bytes) {
                return;
            }
            less.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Delivery, RandomState>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message in hand.
pub(super) struct Held {
    in_hand: Arc<InHand>,
    place: Place,
    pub(super) bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.in_hand.lock().remove(&self.place).is_some() {
            self.in_hand.count.fetch_sub(1, Ordering::AcqRel);
        }
        self.in_hand.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.in_hand.less.notify_waiters();
    }
}

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
        let held = Held { in_hand: self.clone(), delivery: delivery.clone(), bytes: delivery.bytes() };
        // Of an attempt that was given back and is not forgotten yet, nobody need know any more.
        let before = self.lock().insert(delivery.place(), delivery.clone());
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
        all.get(&Place::of(delivered)).is_some_and(|delivery| delivery.came_again(delivered))
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
    delivery: Delivery,
    pub(super) bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (mut all, place) = (self.in_hand.lock(), self.delivery.place());
        if all.get(&place).is_some_and(|delivery| delivery.is(&self.delivery)) {
            all.remove(&place);
            self.in_hand.count.fetch_sub(1, Ordering::AcqRel);
        }
        drop(all);
        self.in_hand.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.in_hand.less.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        Bus,
        bus::{Message, Subject},
        jetstream::{AckPolicy, Action, ConsumerSpec, JetStream, Pull, StreamSpec},
        worker::delivery::Life,
    };

    /// The same message, handed out for the first time and once more.
    async fn handed_out_twice() -> [Delivered; 2] {
        let streams = JetStream::new(&Bus::memory());
        streams.create_stream(&StreamSpec::new("S", ["s"])).await.expect("created");
        let consumer = ConsumerSpec { ack: AckPolicy::Explicit, ..ConsumerSpec::new("S", "c") };
        streams.put_consumer(&consumer, Action::Create).await.expect("created");
        let message = Message::new(Subject::from_static("s"), "x");
        streams.publish(message).await.expect("sent").await.expect("stored");
        let pull = Pull { messages: 1, bytes: 1_000 };
        let mut deliveries = streams.pull("S", "c", pull).await.expect("a consumer");
        let first = deliveries.next().await.expect("one").expect("read");
        let again = Delivered { attempt: 2, ..first.clone() };
        assert!(again.time > SystemTime::UNIX_EPOCH);
        [first, again]
    }

    fn delivery(delivered: Delivered) -> Delivery {
        let life = Life { abort: CancellationToken::new(), attempts: None };
        Delivery::new(delivered, &Arc::new(life))
    }

    #[tokio::test]
    async fn what_comes_again_is_known_until_it_is_given_back() {
        let [first, again] = handed_out_twice().await;
        let in_hand = Arc::new(InHand::default());
        let first = delivery(first);
        let held = in_hand.hold(&first);
        assert!(in_hand.has(&again));
        // Its ticket is the one that is good.
        assert_eq!(first.give_back().map(|again| again.attempt), Some(2));
        assert!(!in_hand.has(&again), "this is another attempt");

        // That one is in hand also when the guard of the first one is dropped late.
        let second = delivery(again.clone());
        let held_again = in_hand.hold(&second);
        drop(held);
        assert!(in_hand.has(&again) && in_hand.count() == 1);
        drop(held_again);
        assert!(in_hand.count() == 0 && in_hand.is_below(1));
    }
}

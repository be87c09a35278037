//! [`Bundle`]: requests that leave together.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{sync::Notify, task::yield_now};

use super::{Message, WeakBus};

/// Messages in a bundle. More would make every caller wait for all the others.
const BUNDLE_MESSAGES: usize = 32;

/// Requests that leave together, when the tasks that are ready have run.
///
/// A message wakes the task that takes it on, the client's or the reader's, and tokio runs a task
/// that was just woken before those that have waited. So each request of a busy process would make
/// its way alone, with a system call of its own and some between threads.
#[derive(Default)]
pub(super) struct Bundle {
    messages: Mutex<Vec<Message>>,
    /// How many there are, to be asked without a lock by whoever sends something else.
    count: AtomicUsize,
    begun: Notify,
}

impl Bundle {
    /// Adds a message; `send` gets those of a bundle that is full.
    pub(super) fn add(&self, message: Message, send: impl FnMut(Message)) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        let count = messages.len();
        self.count.store(count, Ordering::Release);
        drop(messages);
        match count {
            1 => self.begun.notify_one(),
            BUNDLE_MESSAGES.. => self.send(send),
            _ => {}
        }
    }

    /// Sends what there is. Locked until all of it is on its way, so that nothing overtakes.
    pub(super) fn send(&self, send: impl FnMut(Message)) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            messages.drain(..).for_each(send);
            self.count.store(0, Ordering::Release);
        }
    }

    /// Sends each bundle that is begun, while there is a bus; belongs into a task.
    pub(super) async fn run(&self, bus: WeakBus) {
        loop {
            self.begun.notified().await;
            yield_now().await;
            let Some(bus) = bus.upgrade() else { return };
            bus.send_bundle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Bus, Subject};

    fn numbered(number: usize) -> Message {
        Message::new(Subject::from_static("s"), number.to_string())
    }

    /// One thread, so that no bundle leaves before the test waits.
    #[tokio::test]
    async fn bundles_leave_by_themselves_and_before_what_is_sent_later() {
        let bus = Bus::memory();
        bus.inbox().await.expect("an inbox");
        let mut subscription = bus.listen(Subject::from_static("s"), None).await.expect("subscribed");
        for number in 0..=BUNDLE_MESSAGES {
            bus.bundle(numbered(number)).expect("bundled");
        }
        bus.publish(numbered(BUNDLE_MESSAGES + 1)).await.expect("sent");
        bus.bundle(numbered(BUNDLE_MESSAGES + 2)).expect("bundled");
        for number in 0..BUNDLE_MESSAGES + 3 {
            let message = subscription.next().await.expect("open");
            assert_eq!(message.payload, number.to_string());
        }
    }
}

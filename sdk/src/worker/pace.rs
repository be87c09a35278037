//! [`Pace`]: how long a handler takes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How long a handler takes, lately and on average.
///
/// A handler whose first step is quick is run where its message arrives: a task for each would cost more
/// than it does. One that computes gets a task, or the next message would wait for it, and a second
/// processor would have nothing to do.
pub(super) struct Pace {
    step: Average,
    whole: Average,
}

/// What a task costs is a small part of this.
const QUICK: Duration = Duration::from_micros(50);

impl Pace {
    /// Careful at first: nobody knows what the handler is like.
    pub(super) fn new() -> Self {
        Self { step: Average::new(2 * QUICK), whole: Average::new(2 * QUICK) }
    }

    /// Whether it takes a moment until the handler is done or waits for something.
    pub(super) fn is_quick(&self) -> bool {
        self.step.is_below(QUICK)
    }

    /// Whether it takes a moment until the handler is done.
    pub(super) fn is_done_at_once(&self) -> bool {
        self.whole.is_below(QUICK)
    }

    /// Notes what a first step took.
    pub(super) fn stepped(&self, time: Duration) {
        self.step.add(time);
    }

    /// Notes what all of it took.
    pub(super) fn ended(&self, time: Duration) {
        self.whole.add(time);
    }
}

/// An average of the last ones, about sixteen.
struct Average {
    ns: AtomicU64,
}

impl Average {
    fn new(time: Duration) -> Self {
        Self { ns: AtomicU64::new(time.as_nanos() as u64) }
    }

    fn is_below(&self, time: Duration) -> bool {
        self.ns.load(Ordering::Relaxed) <= time.as_nanos() as u64
    }

    fn add(&self, time: Duration) {
        // One slow one must not stand for many: the machine may have been busy elsewhere.
        let ns = time.min(16 * QUICK).as_nanos() as u64;
        let average = self.ns.load(Ordering::Relaxed);
        self.ns.store(average - average / 16 + ns / 16, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_quick_when_it_has_been_so_for_a_while() {
        let pace = Pace::new();
        assert!(!pace.is_quick());
        (0..20).for_each(|_| pace.stepped(Duration::from_micros(1)));
        assert!(pace.is_quick() && !pace.is_done_at_once());
        (0..3).for_each(|_| pace.stepped(Duration::from_secs(1)));
        assert!(!pace.is_quick());
    }
}

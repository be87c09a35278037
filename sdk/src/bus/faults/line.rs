//! [`Line`]: one direction of a link, and what befalls the messages on it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::time::Instant;

use super::{FaultCounts, Faults};
use crate::{bus::Message, limits};

/// How long a message that is overtaken, or the second copy of one, stays behind at most.
const STRAGGLE: Duration = Duration::from_millis(50);

/// Messages that a line holds back; beyond it they are lost, and counted.
const HELD_MESSAGES: usize = limits::SUBSCRIPTION_MESSAGES;

/// One direction of a link: it loses, doubles and holds back what is put on it.
///
/// The decisions hang on the seed and on how many messages came before, and on nothing else.
pub(super) struct Line {
    /// A generator with the same numbers on every machine and in every version.
    random: Xoshiro256PlusPlus,
    /// By the time at which they are due, and then in order.
    held: BTreeMap<(Instant, u64), Message>,
    /// When the last message that keeps its place is due.
    in_order: Option<Instant>,
    number: u64,
}

impl Line {
    /// The line with this number of a link; each has decisions of its own.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        // Any odd constant keeps the lines of one seed apart; the generator mixes its seed itself.
        let seed = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { random, held: BTreeMap::new(), in_order: None, number: 0 }
    }

    /// Puts a message on the line.
    pub(super) fn put(&mut self, faults: &Faults, tally: &Tally, message: Message, now: Instant) {
        tally.passed.add(1);
        if !faults.strike(&message) {
            let due = self.keep_place(now);
            return self.hold(tally, message, due);
        }
        if self.chance(faults.drop) {
            return tally.lost.add(1);
        }
        let delay = self.between(faults.delay.start, faults.delay.end);
        if !delay.is_zero() {
            tally.delayed.add(1);
        }
        let reordered = self.chance(faults.reorder);
        let due = match reordered {
            true => {
                tally.reordered.add(1);
                (now + delay).max(self.in_order.unwrap_or(now)) + self.straggle()
            }
            false => self.keep_place(now + delay),
        };
        if self.chance(faults.duplicate) {
            tally.duplicated.add(1);
            let late = due + self.straggle();
            self.hold(tally, message.clone(), late);
        }
        self.hold(tally, message, due);
    }

    /// The next message that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Message> {
        let first = self.held.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// When there is something to take.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.keys().next().map(|(due, _)| *due)
    }

    /// When everything that is on the line now will have left it.
    pub(super) fn clear_at(&self) -> Option<Instant> {
        self.held.keys().next_back().map(|(due, _)| *due)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Loses what is on the line.
    pub(super) fn lose(&mut self, tally: &Tally) {
        tally.lost.add(self.held.len());
        self.held.clear();
    }

    fn hold(&mut self, tally: &Tally, message: Message, due: Instant) {
        if self.held.len() >= HELD_MESSAGES {
            return tally.lost.add(1);
        }
        self.number += 1;
        self.held.insert((due, self.number), message);
    }

    /// Not before those that were put on the line earlier, as on a socket.
    fn keep_place(&mut self, due: Instant) -> Instant {
        let due = self.in_order.map_or(due, |before| before.max(due));
        self.in_order = Some(due);
        due
    }

    fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.random.random::<f64>() < rate
    }

    fn straggle(&mut self) -> Duration {
        STRAGGLE.mul_f64(self.random.random())
    }

    fn between(&mut self, min: Duration, max: Duration) -> Duration {
        match max.checked_sub(min).filter(|span| !span.is_zero()) {
            Some(span) => min + span.mul_f64(self.random.random()),
            None => min,
        }
    }
}

/// What befell the messages of a link so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) passed: Count,
    pub(super) lost: Count,
    pub(super) duplicated: Count,
    pub(super) reordered: Count,
    pub(super) delayed: Count,
    pub(super) overflowed: Count,
}

impl Tally {
    pub(super) fn counts(&self) -> FaultCounts {
        FaultCounts {
            passed: self.passed.get(),
            lost: self.lost.get(),
            duplicated: self.duplicated.get(),
            reordered: self.reordered.get(),
            delayed: self.delayed.get(),
            overflowed: self.overflowed.get(),
        }
    }
}

#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

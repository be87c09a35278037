//! [`Pending`]: the deliveries of a consumer that are not acknowledged yet.

use std::collections::VecDeque;

use super::clock::Nanos;

/// Places of acknowledged deliveries that may lie between others before they are tidied away.
const SLACK: usize = 64;

/// The deliveries of a consumer that are not acknowledged yet, by place in the stream.
///
/// A consumer hands out in ascending order, so new ones come at the end; most go from the front.
#[derive(Debug, Default)]
pub(super) struct Pending {
    out: VecDeque<Out>,
    live: usize,
    redelivered: usize,
    /// Nothing is due before this.
    next_due: Option<Nanos>,
    /// What is due, and not handed out again yet.
    again: VecDeque<u64>,
}

/// A delivery that is out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    pub(super) sequence: u64,
    /// When it is to be handed out again.
    pub(super) due: Nanos,
    pub(super) attempt: u32,
    /// Whether it is in `again`.
    queued: bool,
    live: bool,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Of these, the ones that are out for the second time or more.
    pub(super) fn redelivered(&self) -> usize {
        self.redelivered
    }

    /// The first one.
    pub(super) fn first(&self) -> Option<u64> {
        self.out.front().map(|out| out.sequence)
    }

    /// When something is due, at the earliest.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        if self.again.is_empty() { self.next_due } else { Some(0) }
    }

    pub(super) fn has(&self, sequence: u64) -> bool {
        self.position(sequence).is_some()
    }

    pub(super) fn push(&mut self, sequence: u64, due: Nanos) {
        self.out.push_back(Out { sequence, due, attempt: 1, queued: false, live: true });
        self.live += 1;
        self.due_at(due);
    }

    /// The delivery that was [`due`](Self::due) is handed out again.
    pub(super) fn again(&mut self, sequence: u64, due: Nanos) {
        self.again.pop_front();
        let Some(out) = self.position(sequence).and_then(|index| self.out.get_mut(index)) else { return };
        out.attempt += 1;
        out.due = due;
        out.queued = false;
        if out.attempt == 2 {
            self.redelivered += 1;
        }
        self.due_at(due);
    }

    /// Sets when a delivery is due, unless it is so already.
    pub(super) fn postpone(&mut self, sequence: u64, due: Nanos) {
        let Some(out) = self.position(sequence).and_then(|index| self.out.get_mut(index)) else { return };
        if !out.queued {
            out.due = due;
            self.due_at(due);
        }
    }

    /// Takes a delivery out; whether it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let Some(out) = self.position(sequence).and_then(|index| self.out.get_mut(index)) else { return false };
        out.live = false;
        self.live -= 1;
        if out.attempt > 1 {
            self.redelivered -= 1;
        }
        while self.out.front().is_some_and(|out| !out.live) {
            self.out.pop_front();
        }
        if self.out.len() > 2 * self.live + SLACK {
            self.out.retain(|out| out.live);
        }
        true
    }

    /// Finds what is due now.
    pub(super) fn expire(&mut self, now: Nanos) {
        if self.next_due.is_none_or(|due| due > now) {
            return;
        }
        let mut next_due = None;
        let mut due = Vec::new();
        for out in self.out.iter_mut().filter(|out| out.live && !out.queued) {
            if out.due <= now {
                out.queued = true;
                due.push((out.due, out.sequence));
            } else if next_due.is_none_or(|next| out.due < next) {
                next_due = Some(out.due);
            }
        }
        due.sort_unstable();
        self.again.extend(due.into_iter().map(|(_, sequence)| sequence));
        self.next_due = next_due;
    }

    /// The next one that is due.
    pub(super) fn due(&mut self) -> Option<Out> {
        while let Some(sequence) = self.again.front() {
            if let Some(out) = self.position(*sequence).and_then(|index| self.out.get(index)) {
                return Some(*out);
            }
            self.again.pop_front();
        }
        None
    }

    /// At which attempt a delivery is.
    pub(super) fn attempt(&self, sequence: u64) -> Option<u32> {
        self.position(sequence).and_then(|index| self.out.get(index)).map(|out| out.attempt)
    }

    fn due_at(&mut self, due: Nanos) {
        if self.next_due.is_none_or(|next| due < next) {
            self.next_due = Some(due);
        }
    }

    fn position(&self, sequence: u64) -> Option<usize> {
        if self.out.front().is_some_and(|out| out.sequence == sequence) {
            return Some(0);
        }
        let index = self.out.binary_search_by_key(&sequence, |out| out.sequence).ok()?;
        self.out.get(index).is_some_and(|out| out.live).then_some(index)
    }
}

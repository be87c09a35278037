//! [`EarlyCancels`]: cancels that came before their calls had begun.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::quality::RandomState;

use crate::wire::call_id::CallId;

/// Cancels kept; beyond it the oldest is forgotten, and its call runs until its deadline. Every
/// instance hears every such cancel, so most that are kept here are of calls that others have.
const CANCELS: usize = 16_384;

/// Cancels that came before their calls had begun: a cancel may overtake a request that waits for a
/// runner.
#[derive(Default)]
pub(super) struct EarlyCancels {
    /// How many there are, to be asked without a lock at every call.
    count: AtomicUsize,
    cancels: Mutex<Cancels>,
}

#[derive(Default)]
struct Cancels {
    calls: HashSet<CallId, RandomState>,
    order: VecDeque<CallId>,
}

impl EarlyCancels {
    pub(super) fn insert(&self, call: CallId) {
        let mut cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        if cancels.order.len() == CANCELS
            && let Some(oldest) = cancels.order.pop_front()
        {
            cancels.calls.remove(&oldest);
        }
        cancels.order.push_back(call);
        cancels.calls.insert(call);
        self.count.store(cancels.calls.len(), Ordering::Release);
    }

    pub(super) fn contains(&self, call: CallId) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.cancels.lock().unwrap_or_else(PoisonError::into_inner).calls.contains(&call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_memory_is_bounded() {
        let cancels = EarlyCancels::default();
        let first = CallId::random();
        assert!(!cancels.contains(first));
        cancels.insert(first);
        assert!(cancels.contains(first));
        let calls: Vec<_> = (0..CANCELS).map(|_| CallId::random()).collect();
        calls.iter().for_each(|call| cancels.insert(*call));
        assert!(!cancels.contains(first));
        assert!(calls.iter().all(|call| cancels.contains(*call)));
    }
}

//! [`Calls`]: the calls of one side that are under way.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use super::exchange::{Exchange, peer_lost};
use crate::{Status, limits, wire::call_id::CallId};

/// Enough that callers on a few dozen threads seldom meet.
const SHARDS: usize = 16;

/// The calls of one side that are under way, by id.
#[derive(Default)]
pub(crate) struct Calls {
    count: AtomicUsize,
    shards: [Mutex<HashMap<CallId, Arc<Exchange>, RandomState>>; SHARDS],
}

impl Calls {
    fn shard(&self, call: CallId) -> MutexGuard<'_, HashMap<CallId, Arc<Exchange>, RandomState>> {
        self.shards[call.shard() % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call; `false` if there is one with its id, which stays.
    pub(crate) fn insert(&self, exchange: Arc<Exchange>) -> bool {
        match self.shard(exchange.call).entry(exchange.call) {
            Entry::Vacant(vacant) => {
                vacant.insert(exchange);
                self.count.fetch_add(1, Ordering::Relaxed);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(crate) fn get(&self, call: CallId) -> Option<Arc<Exchange>> {
        self.shard(call).get(&call).cloned()
    }

    pub(crate) fn remove(&self, call: CallId) {
        if self.shard(call).remove(&call).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many there are, more or less.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Every call, as it is now: what is done with them may take other locks.
    pub(crate) fn all(&self) -> Vec<Arc<Exchange>> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Fails the calls whose other side has been silent for too long; when another one can be.
    pub(crate) fn fail_silent(&self) -> Instant {
        let now = Instant::now();
        // Whatever is leased from now on is silent later than this.
        let mut next = now + limits::PEER_SILENCE;
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let mut silent = Vec::new();
            for exchange in shard.values() {
                match exchange.silent_at() {
                    // Only those are cloned: there may be tens of thousands that are well.
                    Some(end) if end <= now => silent.push(exchange.clone()),
                    end => next = end.map_or(next, |end| next.min(end)),
                }
            }
            drop(shard);
            silent.iter().for_each(|exchange| exchange.fail(peer_lost()));
        }
        next.max(now + limits::SILENCE_CHECK)
    }

    /// Fails the calls that `which` picks.
    pub(crate) fn fail(&self, status: &Status, which: impl Fn(&Exchange) -> bool) {
        for exchange in self.all() {
            if which(&exchange) {
                exchange.fail(status.clone());
            }
        }
    }
}

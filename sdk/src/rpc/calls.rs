//! [`Calls`]: the calls of one side that are under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::quality::RandomState;

use super::exchange::Exchange;
use crate::{Status, wire::call_id::CallId};

/// Enough that callers on a few dozen threads seldom meet.
const SHARDS: usize = 16;

/// The calls of one side that are under way, by id.
#[derive(Default)]
pub(crate) struct Calls {
    shards: [Mutex<HashMap<CallId, Arc<Exchange>, RandomState>>; SHARDS],
}

impl Calls {
    fn shard(&self, call: CallId) -> MutexGuard<'_, HashMap<CallId, Arc<Exchange>, RandomState>> {
        self.shards[call.shard() % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, exchange: Arc<Exchange>) {
        self.shard(exchange.call).insert(exchange.call, exchange);
    }

    pub(crate) fn get(&self, call: CallId) -> Option<Arc<Exchange>> {
        self.shard(call).get(&call).cloned()
    }

    pub(crate) fn remove(&self, call: CallId) {
        self.shard(call).remove(&call);
    }

    /// Every call, as it is now: what is done with them may take other locks.
    pub(crate) fn all(&self) -> Vec<Arc<Exchange>> {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.values().cloned().collect::<Vec<_>>()).collect()
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

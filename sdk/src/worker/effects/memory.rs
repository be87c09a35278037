//! [`MemoryEffects`]: what this process has done.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Effects;
use crate::{Result, limits};

/// What this process has done: the last so many messages. A clone is one atomic increment.
///
/// It is gone with the process, so it catches what comes twice to one process: after a lost connection, a
/// server that restarted, a wait that was over too soon.
#[derive(Clone)]
pub struct MemoryEffects {
    state: Arc<Mutex<State>>,
    capacity: usize,
}

#[derive(Default)]
struct State {
    keys: HashSet<Arc<str>, foldhash::fast::RandomState>,
    /// In the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl MemoryEffects {
    /// Remembers the last 100,000 messages: about 15 MB.
    pub fn new() -> Self {
        Self::with_capacity(limits::EFFECTS)
    }

    /// Remembers the last so many messages.
    pub fn with_capacity(messages: usize) -> Self {
        Self { state: Arc::default(), capacity: messages.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryEffects {
    fn default() -> Self {
        Self::new()
    }
}

impl Effects for MemoryEffects {
    async fn contains(&self, key: &str) -> Result<bool> {
        Ok(self.lock().keys.contains(key))
    }

    async fn insert(&self, key: &str) -> Result<()> {
        let key: Arc<str> = key.into();
        let mut state = self.lock();
        if state.keys.insert(key.clone()) {
            state.order.push_back(key);
            if state.order.len() > self.capacity
                && let Some(oldest) = state.order.pop_front()
            {
                state.keys.remove(&oldest);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryEffects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.lock().order.len();
        f.debug_struct("MemoryEffects").field("known", &known).field("capacity", &self.capacity).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_are_forgotten() -> Result<()> {
        let effects = MemoryEffects::with_capacity(2);
        for key in ["a", "b", "b", "c"] {
            effects.insert(key).await?;
        }
        let known = [effects.contains("a").await?, effects.contains("b").await?, effects.contains("c").await?];
        assert_eq!(known, [false, true, true]);
        Ok(())
    }
}

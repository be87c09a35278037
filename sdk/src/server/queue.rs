//! [`Queue`]: calls that wait for a runner.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Work that waits for one of a few runners.
///
/// The readers of a server never run a handler themselves: one that computes for a second would
/// stop every other call. A task for each call costs a fifth of the throughput. So readers put calls
/// here, and a runner takes them one by one; while one is held up, another takes the next.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    jobs: VecDeque<T>,
    idle: Vec<Waker>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { jobs: VecDeque::new(), idle: Vec::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bounded by the limit of calls in flight, which is taken before a call gets here.
    pub(super) fn push(&self, job: T) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        let runner = state.idle.pop();
        drop(state);
        if let Some(runner) = runner {
            runner.wake();
        }
    }

    pub(super) async fn pop(&self) -> T {
        poll_fn(|cx| {
            let mut state = self.lock();
            let Some(job) = state.jobs.pop_front() else {
                if !state.idle.iter().any(|runner| runner.will_wake(cx.waker())) {
                    state.idle.push(cx.waker().clone());
                }
                return Poll::Pending;
            };
            // This job may take long, so the next must not depend on this runner coming back.
            let runner = if state.jobs.is_empty() { None } else { state.idle.pop() };
            drop(state);
            if let Some(runner) = runner {
                runner.wake();
            }
            Poll::Ready(job)
        })
        .await
    }
}

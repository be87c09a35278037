//! [`Queue`]: calls that wait for a runner.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Work that waits for one of a few runners.
///
/// The readers of a server never run a handler themselves: one that computes for a second would
/// stop every other call. A task for each call costs a fifth of the throughput. So readers put calls
/// here, and runners take them one by one.
///
/// While calls are quick, one runner takes them all: what it sends then goes out together, where two
/// runners on two threads would wake the connection for every reply. More come to help when a call
/// takes its time, and where there is no connection, when too many wait.
pub(super) struct Queue<T> {
    /// How many jobs may wait for one runner.
    crowd: usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    jobs: VecDeque<T>,
    idle: Vec<Waker>,
    runners: usize,
    /// When a runner last took a job.
    last_taken: Option<Instant>,
    /// What a job takes a runner, lately and on average.
    usual_ns: u64,
}

/// A call on which a runner spends longer is worth a second runner. A reply costs some microseconds.
const QUICK: Duration = Duration::from_micros(30);

/// When no job has been taken for this long though some wait, the runner is held up.
const HELD_UP: Duration = Duration::from_millis(1);

/// As many quick jobs as make it worth waking another thread.
const CROWD: usize = 16;

impl<T> Queue<T> {
    /// `together`: whether replies had better leave together.
    pub(super) fn new(runners: usize, together: bool) -> Self {
        let state = State { jobs: VecDeque::new(), idle: Vec::new(), runners, last_taken: None, usual_ns: 0 };
        Self { crowd: if together { usize::MAX } else { CROWD }, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job that came at `now`. Bounded by the limit of calls in flight, which is taken before.
    pub(super) fn push(&self, job: T, now: Instant) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        let all_idle = state.idle.len() == state.runners;
        let help = all_idle
            || state.jobs.len() >= self.crowd
            || state.usual_ns > QUICK.as_nanos() as u64
            || state.last_taken.is_some_and(|taken| now.saturating_duration_since(taken) > HELD_UP);
        let runner = if help { state.idle.pop() } else { None };
        drop(state);
        wake(runner);
    }

    /// Takes the next job, and says when.
    pub(super) async fn pop(&self) -> (T, Instant) {
        poll_fn(|cx| {
            let mut state = self.lock();
            let Some(job) = state.jobs.pop_front() else {
                if !state.idle.iter().any(|runner| runner.will_wake(cx.waker())) {
                    state.idle.push(cx.waker().clone());
                }
                return Poll::Pending;
            };
            let now = Instant::now();
            state.last_taken = Some(now);
            Poll::Ready((job, now))
        })
        .await
    }

    /// Notes what a job took its runner.
    pub(super) fn took(&self, time: Duration) {
        let mut state = self.lock();
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        state.usual_ns = state.usual_ns - state.usual_ns / 16 + ns / 16;
    }

    /// Calls another runner, because the job at hand may take long.
    pub(super) fn call_another(&self) {
        let mut state = self.lock();
        let runner = if state.jobs.is_empty() { None } else { state.idle.pop() };
        drop(state);
        wake(runner);
    }
}

fn wake(runner: Option<Waker>) {
    if let Some(runner) = runner {
        runner.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Wake},
    };

    use super::*;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of three idle runners are called for so many quick jobs, of which none is taken yet.
    fn called(jobs: usize, together: bool) -> usize {
        let queue = Queue::new(3, together);
        let runners = [(); 3].map(|()| Arc::new(Calls::default()));
        for runner in &runners {
            let waker = Waker::from(runner.clone());
            assert!(pin!(queue.pop()).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let now = Instant::now();
        for job in 0..jobs {
            queue.push(job, now);
        }
        runners.iter().map(|runner| runner.0.load(Ordering::Relaxed)).sum()
    }

    #[test]
    fn others_come_to_help_when_too_many_wait() {
        for (jobs, together, alone) in
            [(1, 1, 1), (CROWD - 1, 1, 1), (CROWD, 1, 2), (CROWD + 1, 1, 3), (10 * CROWD, 1, 3)]
        {
            assert_eq!((called(jobs, true), called(jobs, false)), (together, alone), "{jobs}");
        }
    }
}

//! [`Lanes`]: messages of one key, one after another.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;
use tokio::{sync::Notify, time::Instant};

use super::{delivery::Place, job::Job};

/// Messages of one key, one after another, in the order of the stream.
///
/// One that is to be tried again holds back those behind it until it comes, and others go on. Should it not
/// come, since another instance of the worker got it or somebody deleted it, its key goes on without it.
pub(super) struct Lanes {
    state: Mutex<State>,
    /// Something can begin.
    ready: Notify,
    /// How long after it was due a message is waited for.
    patience: Duration,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    lanes: HashMap<u64, Lane, RandomState>,
    /// It is their turn.
    ready: VecDeque<Job>,
    /// What those take that wait for their turn.
    bytes: usize,
    /// Nothing comes any more.
    given_up: bool,
}

/// The messages of one key, by their places in the stream.
#[derive(Default)]
struct Lane {
    running: bool,
    waiting: BTreeMap<Place, Job>,
    /// Those that will come again, and until when that is believed.
    expected: BTreeMap<Place, Instant>,
}

/// What becomes of a message that has arrived.
pub(super) enum Admitted {
    /// It is its turn.
    Now(Job),
    /// It will be called.
    Later,
    /// There is no room to keep it.
    Full(Job),
}

impl Lanes {
    pub(super) fn new(patience: Duration, bytes_max: usize) -> Self {
        Self { state: Mutex::default(), ready: Notify::new(), patience, bytes_max }
    }

    /// Lets a message in. Without a key it is always its turn.
    pub(super) fn admit(&self, job: Job) -> Admitted {
        let Some(key) = job.key else { return Admitted::Now(job) };
        let place = job.delivery.place();
        let mut state = self.lock();
        let State { lanes, bytes, .. } = &mut *state;
        let lane = lanes.entry(key).or_default();
        lane.expected.remove(&place);
        if lane.is_next(place) {
            lane.running = true;
            return Admitted::Now(job);
        }
        let size = job.delivery.bytes();
        // What has no attempt left must not be handed back, or it would never be tried.
        if *bytes + size > self.bytes_max && !job.delivery.is_last_attempt() {
            return Admitted::Full(job);
        }
        *bytes += size;
        lane.waiting.insert(place, job);
        Admitted::Later
    }

    /// A message was handed back, or is to be tried again: those behind it wait for it.
    pub(super) fn comes_again(&self, key: Option<u64>, place: Place, after: Duration) {
        let Some(key) = key else { return };
        let until = Instant::now() + after + self.patience;
        let mut state = self.lock();
        if state.given_up {
            return;
        }
        let lane = state.lanes.entry(key).or_default();
        // Unless it has come already.
        if !lane.waiting.contains_key(&place) {
            lane.expected.insert(place, until);
        }
    }

    /// One that was running is over; to be called after [`comes_again`](Self::comes_again).
    pub(super) fn over(&self, key: Option<u64>) {
        let Some(key) = key else { return };
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(&key) {
            lane.running = false;
        }
        if state.go_on(key) {
            self.ready.notify_one();
        }
    }

    /// Gives up on those that should have come long ago.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let late = |lane: &Lane| lane.expected.values().any(|until| *until <= now);
        let keys: Vec<_> = state.lanes.iter().filter(|(_, lane)| late(lane)).map(|(key, _)| *key).collect();
        let mut any = false;
        for key in keys {
            if let Some(lane) = state.lanes.get_mut(&key) {
                lane.expected.retain(|_, until| *until > now);
            }
            any |= state.go_on(key);
        }
        if any {
            self.ready.notify_one();
        }
    }

    /// One whose turn has come. Cancel-safe.
    pub(super) async fn next(&self) -> Job {
        loop {
            if let Some(job) = self.take() {
                return job;
            }
            self.ready.notified().await;
        }
    }

    /// One whose turn has come, if there is one.
    pub(super) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.ready.pop_front();
        if !state.ready.is_empty() {
            self.ready.notify_one();
        }
        job
    }

    /// Takes out those that have not begun and may be handed back.
    pub(super) fn clear(&self) -> Vec<Job> {
        let mut state = self.lock();
        let State { lanes, ready, bytes, .. } = &mut *state;
        let mut out = Vec::new();
        for lane in lanes.values_mut() {
            let (keep, go): (BTreeMap<_, _>, _) =
                std::mem::take(&mut lane.waiting).into_iter().partition(|(_, job)| job.delivery.is_last_attempt());
            lane.waiting = keep;
            out.extend(go.into_values());
        }
        *bytes -= out.iter().map(|job: &Job| job.delivery.bytes()).sum::<usize>();
        let (keep, go): (Vec<_>, Vec<_>) =
            std::mem::take(ready).into_iter().partition(|job| job.delivery.is_last_attempt());
        *ready = keep.into();
        let mut keys = Vec::new();
        for key in go.iter().filter_map(|job| job.key) {
            keys.push(key);
            if let Some(lane) = lanes.get_mut(&key) {
                lane.running = false;
            }
        }
        out.extend(go);
        // It is the turn of those behind them that stay.
        keys.into_iter().for_each(|key| _ = state.go_on(key));
        out
    }

    /// Gives up on all that should come again: nobody will take them any more.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.given_up = true;
        state.lanes.values_mut().for_each(|lane| lane.expected.clear());
        let keys: Vec<_> = state.lanes.keys().copied().collect();
        keys.into_iter().for_each(|key| _ = state.go_on(key));
    }

    /// Whether nothing waits for its turn.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.ready.is_empty() && state.lanes.values().all(|lane| lane.waiting.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Calls the next one of a key, if it is its turn. Says whether something can begin.
    fn go_on(&mut self, key: u64) -> bool {
        let Some(lane) = self.lanes.get_mut(&key) else { return false };
        if let Some((place, _)) = lane.waiting.first_key_value()
            && lane.is_next(*place)
            && let Some((_, job)) = lane.waiting.pop_first()
        {
            lane.running = true;
            self.bytes -= job.delivery.bytes();
            self.ready.push_back(job);
            return true;
        }
        if !lane.running && lane.waiting.is_empty() && lane.expected.is_empty() {
            self.lanes.remove(&key);
        }
        false
    }
}

impl Lane {
    /// Whether nobody before this one is running, waits, or will come again.
    fn is_next(&self, place: Place) -> bool {
        let first = |key: Option<&Place>| key.is_none_or(|first| *first >= place);
        !self.running && first(self.waiting.keys().next()) && first(self.expected.keys().next())
    }
}

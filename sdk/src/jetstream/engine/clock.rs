//! [`Clock`]: the time of an engine.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// Nanoseconds since 1970, as JetStream counts.
pub(super) type Nanos = u64;

/// The time of an engine: tokio's, so that a test with paused time runs days in milliseconds, and set
/// by the wall once.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    wall: Nanos,
    /// The last time that was given to one only.
    last: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), wall: from_system(SystemTime::now()), last: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Nanos {
        self.wall.saturating_add(nanos(self.start.elapsed()))
    }

    /// About now, and no other time that this gave.
    pub(super) fn now_only(&self) -> Nanos {
        let (now, order) = (self.now(), Ordering::Relaxed);
        let later = |last: Nanos| last.saturating_add(1).max(now);
        self.last.fetch_update(order, order, |last| Some(later(last))).map_or(now, later)
    }

    /// When a timer has to fire.
    pub(super) fn instant(&self, time: Nanos) -> Instant {
        let wait = Duration::from_nanos(time.saturating_sub(self.wall));
        // `None` only for a time that nobody lives to see.
        self.start.checked_add(wait).unwrap_or_else(|| self.start + Duration::from_secs(1 << 32))
    }
}

/// The nanoseconds in a time span, or as many as there are: 584 years.
pub(super) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn from_system(time: SystemTime) -> Nanos {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanos)
}

pub(super) fn to_system(time: Nanos) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(time)
}

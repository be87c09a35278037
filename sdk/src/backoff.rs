//! [`Backoff`]: how long to wait before trying again.
//!
//! Our own module over [`backon`], because the crate named `backoff` is unmaintained
//! (RUSTSEC-2025-0012).

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Waits that double up to a cap, with full jitter: each is random between nothing and its ceiling.
///
/// backon adds its jitter *on top* of the ceiling, so that clients which failed together come back
/// within a factor of two of one another; full jitter spreads them evenly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
}

/// Past this attempt every base of a nanosecond or more has reached its cap.
const ATTEMPTS_MAX: usize = 62;

impl Backoff {
    /// The first wait is at most `base`, and none is over `cap`, not even that one.
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// A wait before this attempt; the first is number 1.
    pub(crate) fn delay(self, attempt: usize) -> Duration {
        self.ceiling(attempt).mul_f64(rand::random())
    }

    /// The longest wait before this attempt.
    pub(crate) fn ceiling(self, attempt: usize) -> Duration {
        ExponentialBuilder::new()
            .with_min_delay(self.base.min(self.cap))
            .with_max_delay(self.cap)
            .without_max_times()
            .build()
            .nth(attempt.clamp(1, ATTEMPTS_MAX) - 1)
            .unwrap_or(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(8));

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let ceilings = [0, 1, 2, 3, 7, 8, 1_000_000].map(|attempt| BACKOFF.ceiling(attempt).as_millis());
        assert_eq!(ceilings, [100, 100, 200, 400, 6_400, 8_000, 8_000]);
    }

    #[test]
    fn no_ceiling_is_over_the_cap() {
        let backoff = Backoff::new(Duration::from_secs(60), Duration::from_millis(20));
        assert_eq!([1, 2, 100].map(|attempt| backoff.ceiling(attempt).as_millis()), [20; 3]);
        let backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!([1, 2, 100].map(|attempt| backoff.ceiling(attempt)), [Duration::MAX; 3]);
        assert!(backoff.delay(1) <= Duration::MAX);
    }

    #[test]
    fn delays_spread_over_the_whole_of_their_range() {
        let delays: Vec<_> = (0..1_000).map(|_| BACKOFF.delay(3)).collect();
        assert!(delays.iter().all(|delay| *delay <= BACKOFF.ceiling(3)));
        assert!(delays.iter().any(|delay| *delay < Duration::from_millis(100)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_millis(300)));
    }
}

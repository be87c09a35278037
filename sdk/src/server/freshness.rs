//! [`Freshness`]: telling a request that waited somewhere from one whose sender has another clock.

use std::{collections::HashMap, time::Duration};

use foldhash::quality::RandomState;
use tokio::time::Instant;

/// Lateness that is no sign of anything.
const SLACK: Duration = Duration::from_millis(250);

/// Lateness granted to a sender nobody has heard of: its clock may be off by that much.
const STRANGER_SLACK: Duration = Duration::from_secs(60);

/// How long a sender is remembered.
const MEMORY: Duration = Duration::from_secs(300);

/// Senders remembered; beyond it everybody is a stranger again.
const SENDERS: usize = 16_384;

/// What `now - sent` is at its smallest, for each sender: the offset of its clock plus the best
/// latency. A request for which it is larger by more than its timeout has waited too long, in a buffer
/// of the broker or in a process that was stopped, and nobody is waiting for it any more.
///
/// Comparing wall clocks plainly would refuse every request of a sender whose clock is behind.
#[derive(Default)]
pub(super) struct Freshness {
    senders: HashMap<Box<str>, Best, RandomState>,
}

struct Best {
    offset_ms: i64,
    since: Instant,
}

impl Freshness {
    /// Whether a request sent at `sent_ms` by the sender's clock, and received at `now_ms` by ours,
    /// is older than its timeout.
    pub(super) fn is_stale(
        &mut self,
        sender: &str,
        sent_ms: u64,
        now_ms: u64,
        timeout: Option<Duration>,
        now: Instant,
    ) -> bool {
        let Some(timeout) = timeout else { return false };
        let offset_ms = now_ms.wrapping_sub(sent_ms).cast_signed();
        match self.senders.get_mut(sender) {
            Some(best) => {
                if offset_ms < best.offset_ms || now.saturating_duration_since(best.since) > MEMORY {
                    *best = Best { offset_ms, since: now };
                }
                late_by(offset_ms.saturating_sub(best.offset_ms), timeout + SLACK)
            }
            None => {
                let stale = late_by(offset_ms, timeout + STRANGER_SLACK);
                if !stale {
                    if self.senders.len() >= SENDERS {
                        self.senders.clear();
                    }
                    self.senders.insert(sender.into(), Best { offset_ms, since: now });
                }
                stale
            }
        }
    }
}

fn late_by(ms: i64, limit: Duration) -> bool {
    u64::try_from(ms).is_ok_and(|ms| u128::from(ms) > limit.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_skewed_clock_does_no_harm_and_a_late_request_is_noticed() {
        for skew in [-3_600_000i64, -5_000, 0, 5_000, 50_000] {
            let mut freshness = Freshness::default();
            let now = Instant::now();
            let sent = |ms: u64| ms.wrapping_add_signed(-skew);
            assert!(!freshness.is_stale("a", sent(10_000_000), 10_000_001, SECOND, now), "{skew}");
            assert!(!freshness.is_stale("a", sent(10_001_000), 10_001_900, SECOND, now), "{skew}");
            assert!(freshness.is_stale("a", sent(10_002_000), 10_003_300, SECOND, now), "{skew}");
            assert!(!freshness.is_stale("a", sent(10_002_000), 10_003_300, None, now), "{skew}");
        }
    }

    #[test]
    fn a_stranger_gets_a_minute() {
        let mut freshness = Freshness::default();
        assert!(!freshness.is_stale("a", 0, 60_000, SECOND, Instant::now()));
        assert!(freshness.is_stale("b", 0, 62_000, SECOND, Instant::now()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut freshness = Freshness::default();
        for sender in 0..100_000 {
            freshness.is_stale(&sender.to_string(), 0, 0, SECOND, Instant::now());
        }
        assert!(freshness.senders.len() <= SENDERS);
    }
}

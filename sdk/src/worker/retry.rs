//! [`Retry`]: when a message comes again.

use std::time::Duration;

use crate::{ConsumerSpec, backoff::Backoff, limits};

/// When a message comes again that was not done.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// Those of the consumer; the last one repeats.
    delays: Vec<Duration>,
    /// For a consumer that names none.
    backoff: Backoff,
}

/// No delay is shorter: a message that fails at once and comes again at once is a storm.
const DELAY_MIN: Duration = Duration::from_millis(10);

impl Retry {
    pub(super) fn new(spec: &ConsumerSpec, base: Duration, cap: Duration) -> Self {
        Self { delays: spec.backoff.to_vec(), backoff: Backoff::new(base, cap) }
    }

    /// The wait after this attempt, the first of which is number 1; `asked` is what its handler or its
    /// error says.
    pub(super) fn delay(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let index = usize::try_from(attempt).unwrap_or(usize::MAX).saturating_sub(1);
        let delay = asked.or_else(|| self.delays.get(index).or(self.delays.last()).copied());
        delay.unwrap_or_else(|| self.backoff.delay(index + 1)).clamp(DELAY_MIN, limits::RETRY_DELAY_MAX)
    }
}

/// How often a message in hand has to be spoken for: three times in the shortest wait there is.
pub(super) fn beat(spec: &ConsumerSpec) -> Duration {
    let shortest = spec.backoff.iter().copied().chain([spec.ack_wait]).min().unwrap_or(spec.ack_wait);
    (shortest / 3).clamp(BEAT_MIN, BEAT_MAX)
}

/// Beating faster than this would be all that a worker does.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// With a beat those are looked for, too, that should have come long ago.
const BEAT_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delays_of_the_consumer_come_in_turn_and_the_last_one_repeats() {
        let spec = ConsumerSpec { backoff: vec![SECOND, 5 * SECOND].into(), ..ConsumerSpec::new("s", "c") };
        let retry = Retry::new(&spec, SECOND, SECOND);
        let delays = [1, 2, 3, 1_000].map(|attempt| retry.delay(attempt, None).as_secs());
        assert_eq!(delays, [1, 5, 5, 5]);
        assert_eq!(retry.delay(1, Some(9 * SECOND)), 9 * SECOND);
    }

    #[test]
    fn no_delay_is_none() {
        let retry = Retry::new(&ConsumerSpec::new("s", "c"), SECOND, 4 * SECOND);
        for attempt in 1..1_000 {
            let delay = retry.delay(attempt, None);
            assert!(delay >= DELAY_MIN && delay <= 4 * SECOND, "{delay:?}");
        }
        assert_eq!(retry.delay(1, Some(Duration::ZERO)), DELAY_MIN);
    }

    #[test]
    fn a_message_is_spoken_for_three_times_in_the_shortest_wait() {
        let backoff = vec![3 * SECOND, 60 * SECOND].into();
        assert_eq!(beat(&ConsumerSpec { backoff, ..ConsumerSpec::new("s", "c") }), SECOND);
        assert_eq!(beat(&ConsumerSpec::new("s", "c")), 10 * SECOND);
        let ack_wait = Duration::MAX;
        assert_eq!(beat(&ConsumerSpec { ack_wait, ..ConsumerSpec::new("s", "c") }), 3600 * SECOND);
    }
}

//! [`ReplayLetters`]: many dead letters published again.

use std::{fmt, future::IntoFuture, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{DeadLetters, Letters};
use crate::{BoxFuture, Result, Status, limits};

/// What a timer can tell apart.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Dead letters to be published again. Await it.
///
/// Letters that are written meanwhile, by those that fail again, are left for the next time. Dropped while
/// it works, it has published some; none is lost.
#[must_use = "nothing is published until it is awaited"]
#[derive(Debug)]
pub struct ReplayLetters {
    letters: DeadLetters,
    which: Letters,
    per_second: u32,
}

/// What became of letters that were published again.
#[derive(Debug, Clone, Default)]
pub struct Replays {
    /// So many were published and taken out.
    pub replayed: u64,
    /// So many could not be, and are still there.
    pub failed: u64,
    /// The first of these, by its place, and why; 0 for what was no letter.
    pub first_failure: Option<(u64, Status)>,
}

impl ReplayLetters {
    pub(super) fn new(letters: DeadLetters, which: Letters) -> Self {
        Self { letters, which, per_second: limits::REPLAYS_PER_SECOND }
    }

    /// At most so many letters a second: at least 1. Default: 100. Timers count in milliseconds, so that more
    /// than 1,000 a second are not reached.
    pub fn per_second(mut self, letters: u32) -> Self {
        self.per_second = letters.max(1);
        self
    }

    async fn run(self) -> Result<Replays> {
        let mut replays = Replays::default();
        let mut list = self.letters.list(self.which).await?;
        let period = (Duration::from_secs(1) / self.per_second).max(PERIOD_MIN);
        let mut ticks = interval_at(Instant::now(), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(letter) = list.next().await {
            ticks.tick().await;
            let (place, replayed) = match letter {
                Ok(letter) => (letter.place, self.letters.publish_again(&letter).await.map(drop)),
                Err(status) => (0, Err(status)),
            };
            match replayed {
                Ok(()) => replays.replayed += 1,
                Err(status) => {
                    tracing::warn!(place, %status, "a dead letter could not be replayed");
                    replays.failed += 1;
                    replays.first_failure.get_or_insert((place, status));
                }
            }
        }
        Ok(replays)
    }
}

impl IntoFuture for ReplayLetters {
    type Output = Result<Replays>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Display for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replayed, {} failed", self.replayed, self.failed)
    }
}

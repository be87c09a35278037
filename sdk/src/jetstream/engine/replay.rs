//! [`Replay`]: stored messages at the pace at which they came.

use super::{clock::Nanos, log::View};

/// Stored messages at the pace at which they came: what was there when the consumer was made. What
/// comes later comes at once.
#[derive(Debug)]
pub(super) struct Replay {
    /// The newest message when the consumer was made.
    until: u64,
    /// When the last message was stored, and when it was handed out.
    last: Option<(Nanos, Nanos)>,
}

impl Replay {
    pub(super) fn new(until: u64) -> Self {
        Self { until, last: None }
    }

    /// When this message, the next one, may be handed out, if not at once.
    pub(super) fn due(&self, view: &View<'_>) -> Option<Nanos> {
        let (stored, handed_out) = self.last.filter(|_| view.sequence <= self.until)?;
        Some(handed_out.saturating_add(view.entry.time.saturating_sub(stored)))
    }

    pub(super) fn holds(&self, view: &View<'_>, now: Nanos) -> bool {
        self.due(view).is_some_and(|due| due > now)
    }

    pub(super) fn handed_out(&mut self, view: &View<'_>, now: Nanos) {
        self.last = Some((view.entry.time, now));
    }
}

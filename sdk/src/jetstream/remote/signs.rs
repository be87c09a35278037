//! [`Signs`]: what a reader of a consumer has to heed beside the messages.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use tokio::{
    sync::{broadcast, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::pulls::HEARTBEAT;
use crate::bus::{Bus, BusEvent, Link};

/// What a reader of a consumer has to heed beside the messages.
pub(super) enum Sign {
    /// The connection has changed.
    Link(Link),
    Event(BusEvent),
    /// The time of a heartbeat has passed.
    Beat,
}

/// Signs, one after the other. They are looked for only while there are no messages.
pub(super) struct Signs(Pin<Box<dyn Future<Output = (Sources, Sign)> + Send + Sync>>);

struct Sources {
    link: watch::Receiver<Link>,
    events: broadcast::Receiver<BusEvent>,
    beats: Interval,
}

impl Signs {
    pub(super) fn new(bus: &Bus) -> Self {
        let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = bus.link();
        // The state of now is told first.
        link.mark_changed();
        Self(Box::pin(Sources { link, events: bus.events(), beats }.next()))
    }

    pub(super) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Sign> {
        let (sources, sign) = ready!(self.0.as_mut().poll(cx));
        self.0 = Box::pin(sources.next());
        Poll::Ready(sign)
    }
}

impl Sources {
    async fn next(mut self) -> (Self, Sign) {
        loop {
            let sign = tokio::select! {
                biased;
                // Fails only when the bus is gone, which ends the subscription too.
                Ok(()) = self.link.changed() => Sign::Link(self.link.borrow_and_update().clone()),
                event = self.events.recv() => match event {
                    Ok(event) => Sign::Event(event),
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                },
                _ = self.beats.tick() => Sign::Beat,
            };
            return (self, sign);
        }
    }
}

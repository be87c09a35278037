//! [`Pipeline`]: many events, each published without waiting for those before it.

use std::{collections::VecDeque, fmt};

use tokio::task::coop::consume_budget;

use super::publish::Attempt;
use crate::{
    Result, Status,
    bus::IntoMessage,
    jetstream::{JetStream, PublishAck},
    limits,
};

/// Publishes many events, each without waiting for those before it: some twenty times as fast.
///
/// They are stored in their order, unless one has to be published again. At most a window of them
/// is not acknowledged; then [`publish`](Self::publish) waits. Call [`finish`](Self::finish) at the end:
/// what is dropped without it was sent, and nobody knows what became of it.
///
/// ```
/// # use subwire::{Bus, Events, Result, StreamSpec, Streams};
/// # use subwire::bus::{Message, Subject};
/// # #[tokio::main] async fn main() -> Result<()> {
/// # let bus = Bus::memory();
/// # Streams::new(&bus).apply(StreamSpec::new("orders", ["order.>"])).await?;
/// let mut pipeline = Events::new(&bus).pipeline();
/// for number in 0..10_000 {
///     pipeline.publish(Message::new(Subject::new("order.created")?, number.to_string())).await?;
/// }
/// let published = pipeline.finish().await?;
/// assert_eq!(published.stored, 10_000);
/// # Ok(()) }
/// ```
pub struct Pipeline {
    streams: JetStream,
    window: usize,
    in_flight: VecDeque<Attempt>,
    /// What became of an event that nobody has been told of yet: the one at hand goes out first.
    failed: Option<Status>,
    /// Events that are stored, or not, for good.
    ended: u64,
    published: Published,
}

/// What a [`Pipeline`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Events that were stored.
    pub stored: u64,
    /// Events that were stored already, by their id.
    pub duplicates: u64,
    /// The answer to the last one.
    pub last: Option<PublishAck>,
}

impl Pipeline {
    pub(super) fn new(streams: JetStream) -> Self {
        // Their acknowledgements come to one subscription, with those of others.
        let window = limits::PUBLISH_WINDOW.min(streams.bus().subscription_capacity() / 2).max(1);
        Self { streams, window, in_flight: VecDeque::new(), failed: None, ended: 0, published: Published::default() }
    }

    /// How many events may be on their way; 1,024 unless said.
    #[must_use]
    pub fn window(mut self, events: usize) -> Self {
        self.window = events.max(1);
        self
    }

    /// Hands over an event; waits while the window is full. Dropped while it waits, it has not handed over.
    ///
    /// # Errors
    /// As [`Events::publish`](super::Events::publish), for this event or for an earlier one: the metadata of
    /// the `ErrorInfo` says which as `event`, counted from 0. Those before it are stored. Those after it, and the
    /// one at hand, go on; the pipeline can still be used.
    pub async fn publish(&mut self, event: impl IntoMessage) -> Result<()> {
        let message = event.into_message()?;
        // Where nothing has to wait, others want their turn all the same.
        consume_budget().await;
        if self.in_flight.is_empty()
            && let Some(answer) = self.streams.publish_here(&message)
        {
            match answer {
                Ok(ack) => self.stored(ack),
                // Told where it would be if the stream were far away.
                Err(status) => self.in_flight.push_back(Attempt::refused(message, status)),
            }
            return Ok(());
        }
        while self.in_flight.len() >= self.window && self.failed.is_none() {
            self.failed = self.acknowledged().await.err();
        }
        let attempt = Attempt::new(&self.streams, message, limits::PUBLISH_TIMEOUT).await;
        self.in_flight.push_back(attempt);
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Waits until all are stored.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn finish(mut self) -> Result<Published> {
        if let Some(status) = self.failed.take() {
            return Err(status);
        }
        while !self.in_flight.is_empty() {
            self.acknowledged().await?;
        }
        Ok(self.published)
    }

    /// Waits for the oldest.
    async fn acknowledged(&mut self) -> Result<()> {
        // In its place until it has ended, so that nobody is forgotten if this is dropped.
        let Some(oldest) = self.in_flight.front_mut() else { return Ok(()) };
        let ended = oldest.finish(&self.streams).await;
        self.in_flight.pop_front();
        match ended {
            Ok(ack) => self.stored(ack),
            Err(status) => {
                let number = self.ended;
                self.ended += 1;
                return Err(status.with_fact("event", number.to_string()));
            }
        }
        Ok(())
    }

    fn stored(&mut self, ack: PublishAck) {
        self.ended += 1;
        match ack.duplicate {
            true => self.published.duplicates += 1,
            false => self.published.stored += 1,
        }
        self.published.last = Some(ack);
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("in_flight", &self.in_flight.len()).finish_non_exhaustive()
    }
}

//! [`Faults`]: a link to the broker that is not to be trusted, for tests.

mod line;
mod link;
mod subscription;

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use self::link::Shared;
pub(super) use self::{link::Faulty, subscription::FaultySubscription};
use super::{Backend, Bus, Message};
use crate::limits;

/// The longest that a message is held back. Much more would be later than the clock can say.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// What befalls the messages of one connection: for tests of what must survive it.
///
/// It acts on all that the wrapped bus sends and receives, unless told otherwise; each side of a
/// call can have its own. The decisions hang on the seed and on the order of the messages alone, so
/// under paused time, on a runtime with one thread, a test that fails with a seed fails again with it.
///
/// Rates are shares from 0 to 1. What is held back is held in memory: up to 65,536 messages each
/// way, and what comes then is lost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> subwire::Result<()> {
/// use std::time::Duration;
/// use subwire::{Bus, bus::{Faults, Message, Subject}};
///
/// let broker = Bus::memory();
/// let slow = Duration::from_millis(1)..Duration::from_millis(20);
/// let (bus, link) = Faults::seeded(7).drop(0.01).duplicate(0.01).reorder(0.01).delay(slow).wrap(&broker);
///
/// let mut greetings = broker.listen(Subject::new("greetings")?, None).await?;
/// bus.publish(Message::new(Subject::new("greetings")?, "hello")).await?;
/// assert_eq!(&*greetings.next().await.expect("an open bus").payload, b"hello");
///
/// link.disconnect();
/// assert!(bus.publish(Message::new(Subject::new("greetings")?, "hello")).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "faults do nothing until they wrap a bus"]
pub struct Faults {
    seed: u64,
    drop: f64,
    duplicate: f64,
    reorder: f64,
    delay: Range<Duration>,
    buffer: usize,
    outbound: bool,
    inbound: bool,
    only: Option<Arc<Picks>>,
}

type Picks = dyn Fn(&Message) -> bool + Send + Sync;

impl Faults {
    /// A link with no faults yet, which takes its decisions from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO..Duration::ZERO,
            buffer: limits::SUBSCRIPTION_MESSAGES,
            outbound: true,
            inbound: true,
            only: None,
        }
    }

    /// Loses this share of the messages.
    pub fn drop(mut self, rate: f64) -> Self {
        self.drop = rate;
        self
    }

    /// Delivers this share of the messages twice, the second time up to 50 ms later.
    pub fn duplicate(mut self, rate: f64) -> Self {
        self.duplicate = rate;
        self
    }

    /// Holds this share of the messages back for up to 50 ms, while later ones overtake them, on
    /// the same subject and on others.
    pub fn reorder(mut self, rate: f64) -> Self {
        self.reorder = rate;
        self
    }

    /// Holds every message back for a time from this range, an hour at most; they keep their order, as on a
    /// socket. Default: none.
    pub fn delay(mut self, delay: Range<Duration>) -> Self {
        self.delay = delay.start.min(DELAY_MAX)..delay.end.min(DELAY_MAX);
        self
    }

    /// Messages that a subscription keeps for a reader that is slow; more are dropped, and counted
    /// by [`Subscription::dropped`](super::Subscription::dropped). Default: 65,536.
    pub fn buffer(mut self, messages: usize) -> Self {
        self.buffer = messages;
        self
    }

    /// Spares what the wrapped bus receives.
    pub fn outbound_only(mut self) -> Self {
        self.inbound = false;
        self
    }

    /// Spares what the wrapped bus sends.
    pub fn inbound_only(mut self) -> Self {
        self.outbound = false;
        self
    }

    /// Spares the messages that `picks` does not pick; it sees each once, in order.
    pub fn only(mut self, picks: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Arc::new(picks));
        self
    }

    /// The bus with these faults, and what breaks and mends its link.
    ///
    /// The wrapped bus is a connection of its own to the same broker: closing it leaves `bus` open.
    pub fn wrap(self, bus: impl Into<Bus>) -> (Bus, FaultsControl) {
        let faulty = Faulty::new(self, bus.into());
        let control = FaultsControl(faulty.shared.clone());
        (Bus::over(Backend::Faulty(faulty)), control)
    }

    fn strike(&self, message: &Message) -> bool {
        self.only.as_ref().is_none_or(|picks| picks(message))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("seed", &self.seed)
            .field("drop", &self.drop)
            .field("duplicate", &self.duplicate)
            .field("reorder", &self.reorder)
            .field("delay", &self.delay)
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

/// What befell the messages of a link so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Put on the link, whatever became of them.
    pub passed: u64,
    /// Lost: dropped, or on their way when the link broke.
    pub lost: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Held back while others overtook them.
    pub reordered: u64,
    /// Held back in their order.
    pub delayed: u64,
    /// Dropped because their reader was slow.
    pub overflowed: u64,
}

/// Breaks the link of a wrapped bus, and mends it. A clone controls the same link.
#[derive(Clone)]
pub struct FaultsControl(Arc<Shared>);

impl FaultsControl {
    /// Everything is lost from now on, both ways, and nobody is told. Also what is on its way.
    pub fn partition(&self) {
        self.mute();
        self.deafen();
    }

    /// What this side sends is lost from now on, and nobody is told.
    pub fn mute(&self) {
        self.0.switch.send_modify(|switch| switch.mute = true);
        self.0.outbound().lose(&self.0.tally);
    }

    /// What is sent to this side is lost from now on, and nobody is told.
    pub fn deafen(&self) {
        self.0.lose_inbound();
        self.0.switch.send_modify(|switch| switch.deaf = true);
    }

    /// Ends a partition. What was sent meanwhile stays lost.
    pub fn heal(&self) {
        if self.0.switch.borrow().deaf {
            self.0.lose_inbound();
        }
        self.0.switch.send_modify(|switch| (switch.mute, switch.deaf) = (false, false));
    }

    /// The connection breaks: what is on its way is lost, nothing can be sent, and the broker
    /// forgets the subscriptions.
    pub fn disconnect(&self) {
        self.0.switch.send_modify(|switch| (switch.cut, switch.mending) = (true, false));
        self.0.outbound().lose(&self.0.tally);
        for slot in self.0.slots() {
            slot.disconnect(&self.0);
        }
        self.0.link.send_modify(|link| link.up = false);
    }

    /// A new connection, with the next epoch. The link is up when the broker knows the subscriptions
    /// again, a moment after this: see [`Bus::link`].
    pub fn reconnect(&self) {
        self.0.switch.send_modify(|switch| switch.mending = switch.cut);
        self.0.courier.notify_one();
    }

    /// What befell the messages so far.
    pub fn counts(&self) -> FaultCounts {
        self.0.tally.counts()
    }
}

impl fmt::Debug for FaultsControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultsControl")
            .field("faults", &self.0.faults)
            .field("link", &*self.0.link.borrow())
            .field("counts", &self.counts())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;

    #[tokio::test(start_paused = true)]
    async fn a_delay_has_an_end() -> crate::Result<()> {
        let broker = Bus::memory();
        let (bus, _link) = Faults::seeded(1).delay(Duration::MAX..Duration::MAX).wrap(&broker);
        let subject = Subject::from_static("late");
        let mut late = broker.listen(subject.clone(), None).await?;
        bus.publish(Message::new(subject, "1")).await?;
        assert!(late.next().await.is_some_and(|message| message.payload == "1"));
        Ok(())
    }
}

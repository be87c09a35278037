//! [`Faults`]: a link to the broker that is not to be trusted, for tests.

mod line;
mod subscription;

use std::{
    fmt,
    ops::Range,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::subscription::FaultySubscription;
use self::{
    line::{Line, Tally},
    subscription::Slot,
};
use super::{
    Backend, Bus, WeakBus,
    message::{BusEvent, Link, Message, too_large},
};
use crate::{Code, Result, Status, limits, status::reason, wire::subject::Subject};

/// Events that a slow reader may miss.
const EVENTS: usize = 64;

/// How long a fence waits for a partition to end, as over NATS.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);

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
/// let mut greetings = broker.subscribe(Subject::new("greetings")?, None).await?;
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

    /// Holds every message back for a time from this range; they keep their order, as on a socket.
    pub fn delay(mut self, delay: Range<Duration>) -> Self {
        self.delay = delay;
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
        let inner = bus.into();
        let link = inner.link().borrow().clone();
        let shared = Arc::new(Shared {
            outbound: Mutex::new(Line::new(self.seed, 0)),
            lines: AtomicU64::new(1),
            spared: self.clone().only(|_| false),
            faults: self,
            tally: Tally::default(),
            inner_epoch: AtomicU64::new(link.epoch),
            link: watch::Sender::new(link),
            events: broadcast::Sender::new(EVENTS),
            switch: watch::Sender::new(Switch::default()),
            slots: Mutex::default(),
            courier: Notify::new(),
        });
        let control = FaultsControl(shared.clone());
        (Bus::over(Backend::Faulty(Faulty { inner, shared, courier: OnceLock::new() })), control)
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

/// A bus behind a faulty link. Dropping it closes its subscriptions.
pub(super) struct Faulty {
    pub(super) inner: Bus,
    shared: Arc<Shared>,
    /// Started by the first use of the bus, which is on a runtime.
    courier: OnceLock<AbortOnDropHandle<()>>,
}

/// What the bus, its subscriptions, its control and its courier share. Nothing in here keeps the
/// inner bus open.
struct Shared {
    faults: Faults,
    /// The same, for a direction that is spared.
    spared: Faults,
    tally: Tally,
    outbound: Mutex<Line>,
    /// Lines made so far, which number the next.
    lines: AtomicU64,
    slots: Mutex<Vec<Weak<Slot>>>,
    switch: watch::Sender<Switch>,
    link: watch::Sender<Link>,
    inner_epoch: AtomicU64,
    events: broadcast::Sender<BusEvent>,
    /// There is something to carry, or to mend.
    courier: Notify,
}

/// What the control has done to the link.
#[derive(Debug, Clone, Copy, Default)]
struct Switch {
    mute: bool,
    deaf: bool,
    cut: bool,
    /// The courier is to make a new connection.
    mending: bool,
}

impl Faulty {
    pub(super) async fn publish(&self, message: Message) -> Result<()> {
        match self.put(message)? {
            Some(message) => self.inner.publish(message).await,
            None => Ok(()),
        }
    }

    pub(super) fn post(&self, message: Message) {
        match self.put(message) {
            Ok(Some(message)) => self.inner.post(message),
            Ok(None) => {}
            Err(status) => tracing::debug!(%status, "a message could not be sent"),
        }
    }

    /// Puts a message on the line; returns the one that can go at once.
    fn put(&self, message: Message) -> Result<Option<Message>> {
        self.start_courier();
        self.shared.check_open()?;
        let (size, limit) = (message.payload.len() + message.headers.wire_len(), self.inner.max_payload());
        if size > limit {
            return Err(too_large(size, limit));
        }
        if self.shared.switch.borrow().mute {
            self.shared.tally.passed.add(1);
            self.shared.tally.lost.add(1);
            return Ok(None);
        }
        let now = Instant::now();
        let mut line = self.shared.outbound();
        line.put(self.shared.faults_outbound(), &self.shared.tally, message, now);
        if line.len() == 1 {
            let message = line.take(now);
            if message.is_none() {
                self.shared.courier.notify_one();
            }
            return Ok(message);
        }
        self.shared.carry(&mut line, &self.inner, now);
        if line.due().is_some() {
            self.shared.courier.notify_one();
        }
        Ok(None)
    }

    pub(super) async fn subscribe(&self, subject: Subject, queue: Option<&str>) -> Result<FaultySubscription> {
        self.start_courier();
        if let Some(status) = &self.shared.link.borrow().closed {
            return Err(status.clone());
        }
        let number = self.shared.lines.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot::new(subject, queue, Line::new(self.shared.faults.seed, number)));
        {
            let mut slots = self.shared.lock_slots();
            slots.retain(|slot| slot.strong_count() > 0);
            slots.push(Arc::downgrade(&slot));
        }
        if !self.shared.switch.borrow().cut {
            self.shared.establish(&self.inner, &slot).await?;
        }
        Ok(FaultySubscription::new(slot, self.shared.clone()))
    }

    pub(super) async fn fence(&self) -> Result<()> {
        self.start_courier();
        self.shared.check_open()?;
        let through = async {
            let mut switch = self.shared.switch.subscribe();
            // Closed is never: the sender is ours.
            let _ = switch.wait_for(|switch| !(switch.mute || switch.deaf)).await;
            let due = self.shared.outbound().clear_at();
            if let Some(due) = due {
                sleep_until(due).await;
            }
            self.shared.carry(&mut self.shared.outbound(), &self.inner, Instant::now());
            self.inner.fence().await
        };
        let mut link = self.shared.link.subscribe();
        tokio::select! {
            biased;
            _ = link.wait_for(|link| !link.up) => Err(disconnected()),
            through = timeout(FENCE_TIMEOUT, through) => through.unwrap_or_else(|_| {
                let message = format!("the broker did not answer within {FENCE_TIMEOUT:?}");
                Err(Status::made_here(Code::Unavailable, reason::CONNECTION_LOST, message))
            }),
        }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.start_courier();
        self.shared.link.subscribe()
    }

    pub(super) fn events(&self) -> broadcast::Receiver<BusEvent> {
        self.start_courier();
        self.shared.events.subscribe()
    }

    /// Sends what is held back, and leaves the inner bus to its other users.
    pub(super) async fn close(&self) -> Result<()> {
        let sent = self.fence().await;
        self.shared.close(disconnected());
        sent
    }

    fn start_courier(&self) {
        // Without a runtime nothing can be held back; what is due at once still goes.
        if self.courier.get().is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.courier.get_or_init(|| {
                let courier = courier(self.shared.clone(), self.inner.downgrade());
                AbortOnDropHandle::new(runtime.spawn(courier))
            });
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.close(disconnected());
    }
}

fn disconnected() -> Status {
    Status::made_here(Code::Unavailable, reason::DISCONNECTED, "there is no connection to the broker")
}

impl Shared {
    fn outbound(&self) -> MutexGuard<'_, Line> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_slots(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.lock_slots().iter().filter_map(Weak::upgrade).collect()
    }

    fn faults_outbound(&self) -> &Faults {
        if self.faults.outbound { &self.faults } else { &self.spared }
    }

    fn faults_inbound(&self) -> &Faults {
        if self.faults.inbound { &self.faults } else { &self.spared }
    }

    fn check_open(&self) -> Result<()> {
        let link = self.link.borrow();
        match &link.closed {
            Some(status) => Err(status.clone()),
            None if !link.up => Err(disconnected()),
            None => Ok(()),
        }
    }

    /// Hands to the broker what is due. Under the lock of the line, so that the order stays.
    fn carry(&self, line: &mut Line, inner: &Bus, now: Instant) {
        while let Some(message) = line.take(now) {
            inner.post(message);
        }
    }

    fn lose_inbound(&self) {
        for slot in self.slots() {
            slot.lose(self);
        }
    }

    async fn establish(&self, inner: &Bus, slot: &Slot) -> Result<()> {
        slot.establish(inner.subscribe(slot.subject.clone(), slot.queue.as_deref()).await?);
        if self.switch.borrow().cut && !self.switch.borrow().mending {
            slot.disconnect(self);
        }
        Ok(())
    }

    /// Makes a new connection: the broker is told of every subscription before the link is up.
    async fn mend(&self, inner: &Bus) {
        let wanted = || self.switch.borrow().mending;
        while wanted() {
            let missing: Vec<_> = self.slots().into_iter().filter(|slot| slot.is_missing()).collect();
            for slot in &missing {
                if let Err(status) = self.establish(inner, slot).await {
                    return tracing::debug!(%status, "a subscription could not be made again");
                }
            }
            if missing.is_empty() {
                break;
            }
        }
        let mended = self.switch.send_if_modified(|switch| {
            let mended = switch.mending;
            if mended {
                (switch.cut, switch.mending) = (false, false);
            }
            mended
        });
        if mended {
            let up = inner.link().borrow().up;
            self.link.send_modify(|link| (link.epoch, link.up) = (link.epoch + 1, up));
        }
    }

    /// Takes over what the inner bus says of its own connection.
    fn follow(&self, inner: &Link) {
        if let Some(status) = &inner.closed {
            return self.close(status.clone());
        }
        let before = self.inner_epoch.swap(inner.epoch, Ordering::Relaxed);
        let cut = self.switch.borrow().cut;
        self.link.send_modify(|link| {
            link.epoch += inner.epoch.saturating_sub(before);
            link.up = inner.up && !cut;
        });
    }

    fn close(&self, status: Status) {
        self.link.send_modify(|link| {
            link.up = false;
            link.closed.get_or_insert(status);
        });
        for slot in self.slots() {
            slot.close();
        }
    }
}

/// Delivers what was held back, mends the link, and passes on what the inner bus says. The wrapped
/// bus owns it.
async fn courier(shared: Arc<Shared>, inner: WeakBus) {
    let Some(bus) = inner.upgrade() else { return };
    let (mut link, mut events) = (bus.link(), bus.events());
    drop(bus);
    shared.follow(&link.borrow_and_update().clone());
    loop {
        let due = shared.outbound().due();
        let mut due = pin!(async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            biased;
            changed = link.changed() => match changed {
                Ok(()) => shared.follow(&link.borrow_and_update().clone()),
                Err(_) => return shared.close(disconnected()),
            },
            event = events.recv() => match event {
                // Nobody may be listening to events, and that is fine.
                Ok(event) => drop(shared.events.send(event)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return shared.close(disconnected()),
            },
            () = shared.courier.notified() => {}
            () = &mut due => {}
        }
        let Some(bus) = inner.upgrade() else { return };
        shared.carry(&mut shared.outbound(), &bus, Instant::now());
        if shared.switch.borrow().mending {
            shared.mend(&bus).await;
        }
    }
}

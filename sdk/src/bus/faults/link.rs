//! [`Faulty`]: a bus behind a faulty link.

use std::{
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

use super::{
    Faults,
    line::{Line, Tally},
    subscription::{FaultySubscription, Slot},
};
use crate::{
    Code, Result, Status,
    bus::{
        Bus, WeakBus,
        message::{BusEvent, Link, Message, too_large},
    },
    status::reason,
    wire::subject::Subject,
};

/// Events that a slow reader may miss.
const EVENTS: usize = 64;

/// How long a fence waits for a partition to end, as over NATS.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// A bus behind a faulty link. Dropping it closes its subscriptions.
pub(in crate::bus) struct Faulty {
    pub(in crate::bus) inner: Bus,
    pub(super) shared: Arc<Shared>,
    /// Started by the first use of the bus, which is on a runtime.
    courier: OnceLock<AbortOnDropHandle<()>>,
}

/// What the bus, its subscriptions, its control and its courier share. Nothing in here keeps the
/// inner bus open.
pub(super) struct Shared {
    pub(super) faults: Faults,
    /// The same, for a direction that is spared.
    spared: Faults,
    pub(super) tally: Tally,
    outbound: Mutex<Line>,
    /// Lines made so far, which number the next.
    lines: AtomicU64,
    slots: Mutex<Vec<Weak<Slot>>>,
    pub(super) switch: watch::Sender<Switch>,
    pub(super) link: watch::Sender<Link>,
    inner_epoch: AtomicU64,
    pub(super) events: broadcast::Sender<BusEvent>,
    /// There is something to carry, or to mend.
    pub(super) courier: Notify,
}

/// What the control has done to the link.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Switch {
    pub(super) mute: bool,
    pub(super) deaf: bool,
    pub(super) cut: bool,
    /// The courier is to make a new connection.
    pub(super) mending: bool,
}

impl Faulty {
    pub(super) fn new(faults: Faults, inner: Bus) -> Self {
        let link = inner.link().borrow().clone();
        let shared = Arc::new(Shared {
            outbound: Mutex::new(Line::new(faults.seed, 0)),
            lines: AtomicU64::new(1),
            spared: faults.clone().only(|_| false),
            faults,
            tally: Tally::default(),
            inner_epoch: AtomicU64::new(link.epoch),
            link: watch::Sender::new(link),
            events: broadcast::Sender::new(EVENTS),
            switch: watch::Sender::new(Switch::default()),
            slots: Mutex::default(),
            courier: Notify::new(),
        });
        Self { inner, shared, courier: OnceLock::new() }
    }

    pub(in crate::bus) async fn publish(&self, message: Message) -> Result<()> {
        match self.put(message)? {
            Some(message) => self.inner.publish(message).await,
            None => Ok(()),
        }
    }

    pub(in crate::bus) fn post(&self, message: Message) {
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

    pub(in crate::bus) async fn subscribe(&self, subject: Subject, queue: Option<&str>) -> Result<FaultySubscription> {
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

    pub(in crate::bus) async fn fence(&self) -> Result<()> {
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

    pub(in crate::bus) fn link(&self) -> watch::Receiver<Link> {
        self.start_courier();
        self.shared.link.subscribe()
    }

    pub(in crate::bus) fn events(&self) -> broadcast::Receiver<BusEvent> {
        self.start_courier();
        self.shared.events.subscribe()
    }

    /// Sends what is held back, and leaves the inner bus to its other users.
    pub(in crate::bus) async fn close(&self) -> Result<()> {
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
    pub(super) fn outbound(&self) -> MutexGuard<'_, Line> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_slots(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        self.lock_slots().iter().filter_map(Weak::upgrade).collect()
    }

    fn faults_outbound(&self) -> &Faults {
        if self.faults.outbound { &self.faults } else { &self.spared }
    }

    pub(super) fn faults_inbound(&self) -> &Faults {
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

    pub(super) fn lose_inbound(&self) {
        for slot in self.slots() {
            slot.lose(self);
        }
    }

    async fn establish(&self, inner: &Bus, slot: &Slot) -> Result<()> {
        slot.establish(inner.listen(slot.subject.clone(), slot.queue.as_deref()).await?);
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

//! [`Inbox`]: where the replies of one connection's calls arrive.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{calls::Calls, exchange::Exchange};
use crate::{
    Code, Result, Status,
    bus::{Bus, BusEvent, Link, Message, Subscription, WeakBus},
    limits,
    status::reason,
    wire::{
        call_id::CallId,
        frame::{self, Beat, Head},
        header::Headers,
        reply::{self, ReplyTo},
        subject::Subject,
    },
};

/// The token that beats arrive on: no call is called that.
pub(crate) const BEAT_TOKEN: &str = "_beat";

/// Where the replies of one connection's calls arrive: one subscription, one task, one map.
///
/// async-nats has a router of its own behind `Client::request`. It keeps an entry for every request
/// that is never answered, and knows nothing of a lost connection; so this is ours.
pub(crate) struct Inbox {
    prefix: String,
    calls: Arc<Calls>,
    link: watch::Receiver<Link>,
    _router: AbortOnDropHandle<()>,
    _bundles: AbortOnDropHandle<()>,
}

impl Inbox {
    pub(crate) async fn open(bus: &Bus) -> Result<Self> {
        let prefix = reply::new_inbox(bus.inbox_prefix());
        let calls = Arc::new(Calls::default());
        // Before there is a subscription that could be denied.
        let events = bus.events();
        let subscription = bus.listen(Subject::trusted(format!("{prefix}.>")), None).await?;
        let router = Router {
            prefix: prefix.clone(),
            calls: calls.clone(),
            // Weak, or the bus would keep itself alive through its own inbox.
            bus: bus.downgrade(),
            link: bus.link(),
            events,
            denied: None,
        };
        let router = AbortOnDropHandle::new(tokio::spawn(router.run(subscription)));
        let bundles = AbortOnDropHandle::new(tokio::spawn(bus.run_bundle()));
        Ok(Self { prefix, calls, link: bus.link(), _router: router, _bundles: bundles })
    }

    /// Registers a call that goes to `subject`.
    pub(crate) fn register(&self, subject: Subject, framed: bool) -> Arc<Exchange> {
        let epoch = self.link.borrow().epoch;
        let exchange = Arc::new(Exchange::new(CallId::random(), subject, epoch, framed));
        self.calls.insert(exchange.clone());
        exchange
    }

    /// The reply subject of a call that may take `timeout`.
    pub(crate) fn reply_to(&self, call: CallId, timeout: Option<Duration>) -> Subject {
        ReplyTo { inbox: &self.prefix, call, timeout, sent_ms: reply::unix_ms() }.subject()
    }

    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }
}

struct Router {
    prefix: String,
    calls: Arc<Calls>,
    bus: WeakBus,
    link: watch::Receiver<Link>,
    events: broadcast::Receiver<BusEvent>,
    /// Why no reply will come, on this connection: that call may only be made after it was told.
    denied: Option<Status>,
}

impl Router {
    async fn run(mut self, mut subscription: Subscription) {
        let mut beats = tokio::time::interval_at(Instant::now() + limits::BEAT, limits::BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = pin!(sleep_until(Instant::now() + limits::PEER_SILENCE));
        loop {
            tokio::select! {
                biased;
                changed = self.link.changed() => match changed {
                    Ok(()) => self.fail_lost(),
                    Err(_) => break,
                },
                event = self.events.recv() => match event {
                    Ok(event) => self.fail_denied(&event),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                _ = beats.tick() => {
                    self.beat();
                    self.fail_unheard();
                }
                () = &mut check => check.as_mut().reset(self.calls.fail_silent()),
                message = subscription.next() => match message {
                    Some(message) => {
                        self.route(message);
                        // What else is here costs no look at anything but the queue.
                        while let Some(message) = subscription.try_next() {
                            self.route(message);
                        }
                    }
                    None => break,
                },
            }
        }
        self.calls.fail(&lost("the bus is closed"), |_| true);
    }

    fn route(&self, message: Message) {
        let Some(call) = reply::call_of(message.subject.as_str(), &self.prefix) else {
            return self.hear(&message);
        };
        // A reply for a call that has ended is late, or was never ours.
        if let Some(exchange) = self.calls.get(call) {
            exchange.deliver(message);
        }
    }

    /// Fails what was in flight on a connection that is gone: its replies will never come.
    fn fail_lost(&mut self) {
        let link = self.link.borrow_and_update().clone();
        // The next one may have other rights.
        self.denied = None;
        if let Some(status) = &link.closed {
            return self.calls.fail(&status.clone().may_have_run(), |_| true);
        }
        let status = lost("the connection to the broker was lost: the call may or may not have run");
        self.calls.fail(&status, |exchange| exchange.epoch < link.epoch || (!link.up && exchange.epoch == link.epoch));
    }

    fn fail_denied(&mut self, event: &BusEvent) {
        match event {
            BusEvent::PublishDenied(subject) => {
                let message = format!("the broker does not let this client publish to {subject}");
                let status = Status::made_here(Code::PermissionDenied, reason::PERMISSION_DENIED, message);
                self.calls.fail(&status, |exchange| exchange.subject.as_str() == subject);
            }
            BusEvent::SubscribeDenied(subject) if subject.starts_with(&self.prefix) => {
                let message = format!("the broker does not let this client subscribe to {subject}");
                let status =
                    Status::made_here(Code::PermissionDenied, reason::PERMISSION_DENIED, message).may_have_run();
                self.denied = Some(status);
                self.fail_unheard();
            }
            _ => {}
        }
    }

    /// Fails the calls whose replies this connection may not hear.
    fn fail_unheard(&self) {
        if let Some(status) = &self.denied {
            self.calls.fail(status, |_| true);
        }
    }

    /// Tells every service instance which of its calls are still wanted.
    ///
    /// One beat for all calls of an instance: ten thousand idle streams cost one message a period.
    fn beat(&self) {
        let mut instances: HashMap<String, Vec<frame::CallState>> = HashMap::new();
        for exchange in self.calls.all() {
            exchange.beat(|instance, call| match instances.get_mut(instance) {
                Some(calls) => calls.push(call),
                None => drop(instances.insert(instance.to_owned(), vec![call])),
            });
        }
        let Some(bus) = self.bus.upgrade() else { return };
        let reply = Subject::trusted(format!("{}.{BEAT_TOKEN}", self.prefix));
        for (instance, calls) in instances {
            let Ok(instance) = Subject::new(instance) else { continue };
            for beat in Beat::of(calls, bus.max_payload()) {
                bus.post(Message::new(instance.clone(), beat.encode_to_vec()).with_reply(reply.clone()));
            }
        }
    }

    /// What an instance says of the calls it was asked about.
    fn hear(&self, message: &Message) {
        let Ok(beat) = Beat::decode(message.payload.clone()) else { return };
        for state in beat.calls {
            if let Some(exchange) = CallId::parse(&state.call).and_then(|call| self.calls.get(call)) {
                exchange.hear(&state);
            }
        }
    }
}

fn lost(message: &str) -> Status {
    Status::made_here(Code::Unavailable, reason::CONNECTION_LOST, message)
}

/// A registered call. Dropping it before the end cancels the call on the other side.
pub(crate) struct Registered {
    pub(crate) bus: Bus,
    pub(crate) calls: Arc<Calls>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) deadline: Option<Instant>,
    /// What a cancel names before anybody has accepted the call.
    pub(crate) reply: Subject,
    pub(crate) sent: bool,
}

impl Registered {
    /// The call ended by itself, so there is nothing to cancel.
    pub(crate) fn finish(mut self) {
        self.sent = false;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.calls.remove(self.exchange.call);
        if !self.sent {
            return;
        }
        let timed_out = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if timed_out || self.exchange.has_ended() {
            return; // the service knows by itself
        }
        let cancel = match self.exchange.accept().and_then(|accept| Subject::new(accept.subject).ok()) {
            Some(instance) => {
                let head = Head { cancel: Some(frame::Cancel {}), ..Head::default() };
                Message::new(instance, frame::control(&head))
            }
            // Nobody knows which instance has it, so all are told.
            None => {
                let Some((service, _)) = self.exchange.subject.as_str().rsplit_once('.') else { return };
                let subject = Subject::trusted(format!("{service}.{CANCEL_TOKEN}"));
                Message::new(subject, self.reply.clone().into_bytes())
            }
        };
        self.bus.post(cancel.with_headers(Headers::new()));
    }
}

/// Where a service hears of calls that nobody waits for any more. No method is called that.
pub(crate) const CANCEL_TOKEN: &str = "_cancel";

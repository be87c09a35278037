//! [`Requests`]: where JetStream's answers to one connection arrive.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker, ready},
};

use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    publish_ack::PublishAcks,
    waiting::{Answer, Key, SWEEP, Waiting, Wants},
};
use crate::{
    Code, Executed, Result, Status,
    bus::{Bus, BusEvent, Link, Message, Subject, Subscription, message::NO_RESPONDERS},
    limits,
    status::reason,
    wire::reply,
};

/// Answers that are handed out together.
const ANSWERS: usize = 64;

/// Where JetStream's answers to one connection arrive: one subscription, one task, one slab.
pub(crate) struct Requests {
    /// What the reply subjects begin with; a number follows.
    prefix: String,
    waiting: Arc<Waiting>,
    link: watch::Receiver<Link>,
    _router: AbortOnDropHandle<()>,
}

impl Requests {
    pub(crate) async fn open(bus: &Bus) -> Result<Self> {
        let prefix = format!("{}.", reply::new_inbox(bus.inbox_prefix()));
        let subscription = bus.listen(Subject::trusted(format!("{prefix}*")), None).await?;
        let waiting = Arc::new(Waiting::new());
        let router = Router {
            prefix: prefix.clone(),
            waiting: waiting.clone(),
            link: bus.link(),
            events: bus.events(),
            acks: PublishAcks::default(),
            answers: Vec::with_capacity(ANSWERS),
            wakers: Vec::with_capacity(ANSWERS),
        };
        let router = AbortOnDropHandle::new(tokio::spawn(router.run(subscription)));
        Ok(Self { prefix, waiting, link: bus.link(), _router: router })
    }

    /// A place for the answer to what is sent to `subject`, and the reply subject that leads there.
    pub(super) fn enter(&self, bus: &Bus, wants: Wants, subject: &Subject) -> Result<(Request, Subject)> {
        let epoch = self.link.borrow().epoch;
        let key = self.waiting.enter(wants, subject, epoch)?;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(key.number());
        let mut reply = String::with_capacity(self.prefix.len() + digits.len());
        reply.push_str(&self.prefix);
        reply.push_str(digits);
        Ok((Request { bus: bus.clone(), key: Some(key) }, Subject::trusted(reply)))
    }

    /// Requests that wait for an answer.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.waiting.count()
    }
}

/// A request that waits for its answer. Dropping it leaves nothing behind.
pub(super) struct Request {
    bus: Bus,
    /// Gone when it is answered.
    key: Option<Key>,
}

impl Request {
    /// Sends a message, and waits for whatever comes back.
    pub(super) async fn ask(bus: &Bus, mut message: Message) -> Result<Answer> {
        let (mut request, reply) = bus.requests().await?.enter(bus, Wants::Message, &message.subject)?;
        message.reply = Some(reply);
        bus.send(message).await?;
        Ok(poll_fn(|cx| request.poll(cx)).await)
    }

    /// Not to be asked again after it was ready.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Answer> {
        let answer = match (self.key, self.bus.opened_requests()) {
            (Some(key), Some(requests)) => ready!(requests.waiting.poll(key, cx)),
            _ => Answer::Late,
        };
        self.key = None;
        Poll::Ready(answer)
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let (Some(key), Some(requests)) = (self.key, self.bus.opened_requests()) {
            requests.waiting.leave(key);
        }
    }
}

/// The status of a request that got no answer in time.
pub(super) fn late(what: &str) -> Status {
    let message = format!("{what} was not answered within {:?}", limits::STREAM_ANSWER);
    Status::made_here(Code::DeadlineExceeded, reason::DEADLINE, message)
}

struct Router {
    prefix: String,
    waiting: Arc<Waiting>,
    link: watch::Receiver<Link>,
    events: broadcast::Receiver<BusEvent>,
    acks: PublishAcks,
    answers: Vec<(Key, Answer)>,
    wakers: Vec<Waker>,
}

impl Router {
    async fn run(mut self, mut subscription: Subscription) {
        let mut sweeps = interval_at(Instant::now() + SWEEP, SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = self.link.changed() => match changed {
                    Ok(()) => {
                        // What has come before the connection was lost is as true as ever.
                        self.route(None, &mut subscription);
                        self.fail_lost();
                    }
                    Err(_) => break,
                },
                event = self.events.recv() => match event {
                    Ok(event) => self.fail_denied(&event),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                _ = sweeps.tick() => self.waiting.sweep(),
                message = subscription.next() => match message {
                    Some(message) => self.route(Some(message), &mut subscription),
                    None => break,
                },
            }
        }
        let why = self.link.borrow().closed.clone();
        self.waiting.fail_all(&why.map_or_else(|| lost("the bus is closed"), maybe));
    }

    /// Hands out this answer, and those that are here.
    fn route(&mut self, first: Option<Message>, subscription: &mut Subscription) {
        let mut next = first.or_else(|| subscription.try_next());
        while let Some(message) = next {
            self.read(message);
            if self.answers.len() >= ANSWERS {
                self.waiting.answer(&mut self.answers, &mut self.wakers);
            }
            next = subscription.try_next();
        }
        self.waiting.answer(&mut self.answers, &mut self.wakers);
    }

    fn read(&mut self, message: Message) {
        let number = message.subject.as_str().strip_prefix(self.prefix.as_str()).and_then(|token| token.parse().ok());
        let Some(key) = number.map(Key::from_number) else { return };
        let answer = match (key.wants(), message.status) {
            (_, Some(NO_RESPONDERS)) => Answer::NoResponders,
            (Wants::Message, _) => Answer::Message(Box::new(message)),
            (Wants::PublishAck, _) => match self.acks.read(&message.payload) {
                Some(Ok(ack)) => Answer::Stored(ack),
                Some(Err(status)) => Answer::Failed(status),
                // Whoever listens to the subject can answer; only a stream's word counts.
                None => return tracing::debug!("an answer to a publish is not from a stream"),
            },
        };
        self.answers.push((key, answer));
    }

    /// Fails what was in flight on a connection that is gone: its answers will never come.
    fn fail_lost(&mut self) {
        let link = self.link.borrow_and_update().clone();
        if let Some(status) = link.closed {
            return self.waiting.fail_all(&maybe(status));
        }
        let status = lost("the connection to the broker was lost before the stream had answered");
        self.waiting.fail_lost(link.epoch, link.up, &status);
    }

    fn fail_denied(&self, event: &BusEvent) {
        match event {
            BusEvent::PublishDenied(subject) => {
                self.waiting.fail_subject(subject, &denied(&format!("publish to {subject}")));
            }
            BusEvent::SubscribeDenied(subject) if subject.starts_with(&self.prefix) => {
                // What was published is published, only its answers do not come.
                self.waiting.fail_all(&maybe(denied(&format!("subscribe to {subject}"))));
            }
            _ => {}
        }
    }
}

/// The status of what the broker does not allow.
pub(super) fn denied(what: &str) -> Status {
    let message = format!("the broker does not let this client {what}");
    Status::made_here(Code::PermissionDenied, reason::PERMISSION_DENIED, message)
}

fn lost(message: &str) -> Status {
    Status::made_here(Code::Unavailable, reason::CONNECTION_LOST, message)
}

fn maybe(status: Status) -> Status {
    status.with_executed(Executed::Maybe)
}

//! [`Deliveries`]: what a consumer of a nats-server hands out.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Remote, Ticket,
    api::PREFIX,
    name::consumer_verb,
    place::Place,
    pulls::Pulls,
    requests::denied,
    search::{Found, Search},
    signs::{Sign, Signs},
    status::{Notice, notice},
    ticket::payload,
    times::from_nanos,
};
use crate::{
    BoxFuture, Code, Result, Status,
    backoff::Backoff,
    bus::{Bus, BusEvent, Link, Message, Subject, Subscription},
    jetstream::{Ack, Delivered, Origin, Pull, delivery},
    status::reason,
    wire::reply,
};

/// Between two attempts to read on. What is added to it grows while they fail.
const PACE: Duration = Duration::from_secs(1);
const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4));

/// Heartbeats that may be missed.
const SILENCE: u32 = 2;

/// What a consumer hands out. The messages come straight from the connection: nothing runs beside it.
pub(crate) struct Deliveries {
    bus: Bus,
    origin: Arc<Origin>,
    subscription: Subscription,
    /// What was taken out of the subscription only to say that it is being worked on.
    ahead: VecDeque<Message>,
    /// What came another way, because it ends the connection.
    found: VecDeque<Delivered>,
    search: Search,
    /// The connection was lost while something was to come.
    is_cut_off: bool,
    pulls: Pulls,
    signs: Signs,
    state: State,
    /// The connection that the pulls went over, if it is there.
    epoch: Option<u64>,
    /// Messages that the consumer has handed out, as it last said. It says so behind them.
    handed_out: u64,
    /// Something came since the last beat; beats without.
    heard: bool,
    silence: u32,
    /// Attempts to read on that were in vain, and the last one.
    attempts: usize,
    attempted: Option<Instant>,
}

enum State {
    /// Pulls are under way, or will be when there is a connection.
    Flowing,
    /// Something is wrong: it is looked at again at that time.
    Pausing(Pin<Box<Sleep>>),
    /// Is the consumer there?
    Checking(BoxFuture<Result<()>>),
    /// Did one of its messages end the connection?
    Searching(BoxFuture<Result<Found>>),
    /// Nothing more is asked for.
    Stopping,
    Over,
}

impl Remote<'_> {
    pub(in crate::jetstream) async fn pull(&self, stream: &str, consumer: &str, pull: Pull) -> Result<Deliveries> {
        let next = format!("{PREFIX}{}", consumer_verb("CONSUMER.MSG.NEXT", stream, consumer)?);
        self.check_consumer(stream, consumer).await?;
        let inbox = Subject::trusted(reply::new_inbox(self.bus.inbox_prefix()));
        let subscription = self.bus.listen(inbox.clone(), None).await?;
        let pulls = Pulls::new(Subject::trusted(next), inbox, pull, self.bus.subscription_capacity());
        Ok(Deliveries {
            bus: self.bus.clone(),
            origin: Arc::new(Origin { stream: stream.into(), consumer: consumer.into() }),
            subscription,
            ahead: VecDeque::new(),
            found: VecDeque::new(),
            search: Search::default(),
            is_cut_off: false,
            pulls,
            signs: Signs::new(self.bus),
            state: State::Flowing,
            epoch: None,
            handed_out: 0,
            heard: false,
            silence: 0,
            attempts: 0,
            attempted: None,
        })
    }
}

impl Deliveries {
    pub(in crate::jetstream) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Delivered>>> {
        loop {
            if matches!(self.state, State::Over) {
                return Poll::Ready(None);
            }
            if let Some(found) = self.found.pop_front() {
                return Poll::Ready(Some(Ok(found)));
            }
            let step = match self.poll_message(cx) {
                Poll::Ready(Some(message)) => match message.status {
                    // What was published may begin with a status too, and is no word of the server.
                    Some(status) if Place::of(&message).is_none() => self.note(notice(status, &message)),
                    _ => match self.deliver(message) {
                        Some(delivered) => {
                            self.refill();
                            return Poll::Ready(Some(Ok(delivered)));
                        }
                        None => Ok(()),
                    },
                },
                Poll::Ready(None) => return self.end(),
                Poll::Pending => match self.signs.poll_next(cx) {
                    Poll::Ready(sign) => self.heed(sign),
                    Poll::Pending if matches!(self.state, State::Stopping) && !self.pulls.is_due() => {
                        return self.end();
                    }
                    Poll::Pending => match self.poll_state(cx) {
                        Poll::Ready(step) => step,
                        Poll::Pending => return Poll::Pending,
                    },
                },
            };
            if let Err(status) = step {
                self.state = State::Over;
                return Poll::Ready(Some(Err(status)));
            }
        }
    }

    fn poll_message(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        match self.ahead.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None => self.subscription.poll_next(cx),
        }
    }

    /// Says of what is here and not read that it is being worked on.
    pub(in crate::jetstream) fn progress(&mut self) {
        while let Some(message) = self.subscription.try_next() {
            self.ahead.push_back(message);
        }
        let replies = self.ahead.iter().filter_map(|message| message.reply.clone());
        for reply in replies.filter(|reply| Place::parse(reply.as_str()).is_some()) {
            self.bus.post(Message::new(reply, payload(&Ack::Progress)));
        }
    }

    /// How many messages the consumer says that it has handed out, those included that do not come.
    pub(in crate::jetstream) fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// Asks for so many from now on.
    pub(in crate::jetstream) fn ask(&mut self, messages: usize) {
        self.pulls.ask(messages);
        self.refill();
    }

    /// Asks for no more; what was asked for may still come.
    pub(in crate::jetstream) fn stop(&mut self) {
        if !matches!(self.state, State::Stopping | State::Over) {
            self.state = State::Stopping;
            self.subscription.drain();
        }
    }

    fn deliver(&mut self, mut message: Message) -> Option<Delivered> {
        let Some((reply, place)) = message.reply.take().and_then(|reply| {
            let place = Place::parse(reply.as_str())?;
            Some((reply, place))
        }) else {
            tracing::debug!(subject = %message.subject, "a message in the inbox of a consumer is not from a stream");
            return None;
        };
        let names = message.subject.as_str().len() + reply.as_str().len();
        self.pulls.took(names + message.headers.wire_len() + message.payload.len());
        self.search.came(place.stream_sequence);
        self.hear();
        Some(Delivered {
            message,
            origin: self.origin.clone(),
            stream_sequence: place.stream_sequence,
            consumer_sequence: place.consumer_sequence,
            attempt: place.attempt,
            is_readable: true,
            time: from_nanos(place.stored),
            pending: place.pending,
            ticket: delivery::Ticket::Remote(Ticket(reply)),
        })
    }

    fn hear(&mut self) {
        self.heard = true;
        self.attempts = 0;
    }

    /// Goes on, once it is known whether a message of this consumer has ended the connection.
    fn flow(&mut self) {
        self.state = match self.epoch {
            Some(_) if std::mem::take(&mut self.is_cut_off) => {
                State::Searching(self.search.begin(&self.bus, &self.origin))
            }
            _ => State::Flowing,
        };
        self.refill();
    }

    /// Asks for more, if it is time.
    fn refill(&mut self) {
        if self.epoch.is_some()
            && matches!(self.state, State::Flowing)
            && let Some(pull) = self.pulls.refill()
        {
            self.bus.post(pull);
        }
    }

    /// What the server says of a pull.
    fn note(&mut self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Alive(handed_out) => {
                self.hear();
                self.handed_out = handed_out.unwrap_or(self.handed_out);
            }
            Notice::Ended(left) => {
                self.hear();
                self.pulls.ended(left);
            }
            Notice::TooLarge(left) => {
                self.hear();
                self.pulls.ended_for_size(left);
            }
            Notice::LimitMessages(messages) => {
                self.pulls.limit_messages(messages);
                self.retry();
            }
            Notice::LimitBytes(bytes) => {
                self.pulls.limit_bytes(bytes);
                self.retry();
            }
            Notice::LimitTime => {
                self.pulls.shorten();
                self.retry();
            }
            Notice::Interrupted => self.retry(),
            // To a reader that has stopped it is no news.
            Notice::Gone(_) | Notice::Refused(_) if matches!(self.state, State::Stopping) => self.pulls.lost(),
            Notice::Gone(status) | Notice::Refused(status) => return Err(status),
        }
        self.refill();
        Ok(())
    }

    fn heed(&mut self, sign: Sign) -> Result<()> {
        match sign {
            Sign::Link(Link { up, epoch, .. }) => {
                let epoch = up.then_some(epoch);
                if self.epoch != epoch {
                    // Pulls die with their connection.
                    self.is_cut_off |= self.epoch.is_some() && self.pulls.is_due();
                    self.pulls.lost();
                    (self.epoch, self.silence) = (epoch, 0);
                }
                if matches!(self.state, State::Flowing) {
                    self.flow();
                }
            }
            Sign::Event(event) => self.check_denied(&event)?,
            Sign::Beat => {
                let waits = self.epoch.is_some() && matches!(self.state, State::Flowing);
                let heard = std::mem::take(&mut self.heard);
                self.silence = if waits && !heard { self.silence + 1 } else { 0 };
                if self.silence >= SILENCE {
                    self.silence = 0;
                    tracing::debug!(
                        stream = &*self.origin.stream,
                        consumer = &*self.origin.consumer,
                        "heartbeats are missing"
                    );
                    self.retry();
                }
            }
        }
        Ok(())
    }

    fn check_denied(&self, event: &BusEvent) -> Result<()> {
        match event {
            BusEvent::PublishDenied(subject) if subject == self.pulls.next().as_str() || self.acknowledges(subject) => {
                Err(denied(&format!("publish to {subject}")))
            }
            BusEvent::SubscribeDenied(subject) if subject == self.pulls.inbox().as_str() => {
                Err(denied(&format!("subscribe to {subject}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether this is how a delivery of this consumer is acknowledged: a reader who may not do that
    /// gets the same messages again and again.
    fn acknowledges(&self, subject: &str) -> bool {
        let names = format!(".{}.{}.", self.origin.stream, self.origin.consumer);
        subject.starts_with("$JS.ACK.") && subject.contains(&names)
    }

    /// Forgets the pulls, and looks after a while whether the consumer is there. At most once a second.
    fn retry(&mut self) {
        self.pulls.lost();
        if !matches!(self.state, State::Flowing) {
            return;
        }
        self.attempts += 1;
        let now = Instant::now();
        let earliest = self.attempted.map_or(now, |last| now.max(last + PACE));
        self.state = State::Pausing(Box::pin(sleep_until(earliest + RETRY.delay(self.attempts))));
    }

    fn poll_state(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        match &mut self.state {
            State::Pausing(pause) => {
                ready!(pause.as_mut().poll(cx));
                self.attempted = Some(Instant::now());
                let (bus, stream, consumer) =
                    (self.bus.clone(), self.origin.stream.clone(), self.origin.consumer.clone());
                self.state =
                    State::Checking(Box::pin(
                        async move { Remote::new(&bus).check_consumer(&stream, &consumer).await },
                    ));
                Poll::Ready(Ok(()))
            }
            State::Checking(check) => {
                let checked = ready!(check.as_mut().poll(cx));
                match checked {
                    Ok(()) => self.flow(),
                    Err(status) if status.code() == Code::NotFound => return Poll::Ready(Err(status)),
                    Err(status) => {
                        tracing::debug!(%status, "a consumer cannot be read at the moment");
                        self.state = State::Flowing;
                        self.retry();
                    }
                }
                Poll::Ready(Ok(()))
            }
            State::Searching(search) => {
                match ready!(search.as_mut().poll(cx)) {
                    Ok(found) => self.found.extend(self.search.end(found, &self.origin)),
                    Err(status) if status.code() == Code::PermissionDenied => {
                        tracing::warn!(%status, stream = &*self.origin.stream, "what has ended a connection cannot be looked for");
                    }
                    // The next connection that is lost is another reason to look.
                    Err(status) => tracing::debug!(%status, "what has ended a connection is not looked for"),
                }
                self.state = State::Flowing;
                self.flow();
                Poll::Ready(Ok(()))
            }
            State::Flowing | State::Stopping | State::Over => Poll::Pending,
        }
    }

    /// The end of the subscription: as asked for, or with the bus.
    fn end(&mut self) -> Poll<Option<Result<Delivered>>> {
        let stopping = matches!(self.state, State::Stopping);
        self.state = State::Over;
        Poll::Ready((!stopping).then(|| {
            let closed = self.bus.link().borrow().closed.clone();
            Err(closed
                .unwrap_or_else(|| Status::made_here(Code::Unavailable, reason::DISCONNECTED, "the bus is closed")))
        }))
    }
}

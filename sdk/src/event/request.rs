//! [`Request`]: an event that wants an answer.

use std::{
    fmt,
    future::{IntoFuture, poll_fn},
    marker::PhantomData,
    pin::pin,
    time::Duration,
};

use super::{Event, Received};
use crate::{
    BoxFuture, Code, Executed, Result, Status,
    bus::{Bus, IntoMessage, Message, Subject},
    call::wrong_kind,
    layer::deadline::{self, Within},
    limits,
    rpc::{exchange::Arrival, inbox::Registered},
    status::reason,
    wire::{reply, status},
};

impl Bus {
    /// Publishes an event and waits for an answer: `let answer: Reply = bus.request(&query).await?`.
    ///
    /// For agents and others that meet on subjects of events. What is a service has a better way: calls.
    ///
    /// # Errors
    /// `UNAVAILABLE` (`NO_RESPONDERS`) at once when nobody listens, `DEADLINE_EXCEEDED` without an answer in
    /// time, what the other side [refuses](Received::refuse) with, `INTERNAL` (`MALFORMED_RESPONSE`) for an
    /// answer of another type; and as [`publish`](Self::publish).
    pub fn request<A: prost::Message + Default>(&self, question: impl IntoMessage) -> Request<A> {
        let question = question.into_message();
        Request { bus: self.clone(), question, timeout: limits::UNARY_TIMEOUT, answer: PhantomData }
    }
}

/// A question to be asked. Await it.
#[must_use = "nothing is asked until it is awaited"]
pub struct Request<A> {
    bus: Bus,
    question: Result<Message>,
    timeout: Duration,
    answer: PhantomData<fn() -> A>,
}

impl<A: prost::Message + Default> Request<A> {
    /// How long to wait for the answer. Default: 10 s. What is too long for the clock is without an end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn answer(self) -> Result<A> {
        let Self { bus, question, timeout, .. } = self;
        let asking = pin!(ask(bus, question?, timeout));
        let answer = Within::new(deadline::after(timeout), asking).or(unanswered).await?;
        A::decode(answer.payload).map_err(|error| {
            let message = format!("the answer cannot be decoded: {error}");
            Status::made_here(Code::Internal, reason::MALFORMED_RESPONSE, message).with_source(error)
        })
    }
}

fn unanswered() -> Status {
    Status::made_here(Code::DeadlineExceeded, reason::DEADLINE, "nobody answered in time")
}

async fn ask(bus: Bus, question: Message, timeout: Duration) -> Result<Message> {
    let inbox = bus.inbox().await?;
    let exchange = inbox.register(question.subject.clone(), false);
    let reply = inbox.reply_to(exchange.call, Some(timeout));
    let calls = inbox.calls().clone();
    let question = question.with_reply(reply.clone());
    // Never `sent`: only a service knows what to do with a cancel.
    let registered = Registered { bus, calls, exchange, deadline: None, reply, sent: false };
    registered.bus.send(question).await.map_err(|status| status.with_executed(Executed::No))?;
    match poll_fn(|cx| registered.exchange.poll_arrival(cx)).await? {
        Arrival::Reply(message) => status::decode(&message).map_or(Ok(message), Err),
        Arrival::Frame(_) => Err(wrong_kind("the answer is a stream")),
    }
}

impl<A: prost::Message + Default + 'static> IntoFuture for Request<A> {
    type Output = Result<A>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answer())
    }
}

impl<A> fmt::Debug for Request<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("question", &self.question).finish_non_exhaustive()
    }
}

impl<E: Event> Received<E> {
    /// Answers whoever asked with [`Bus::request`].
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when nobody asked; and as [`Bus::publish`].
    pub async fn respond(&self, bus: &Bus, answer: &impl prost::Message) -> Result<()> {
        let reply = self.asked()?;
        bus.send(Message::new(reply, answer.encode_to_vec())).await
    }

    /// Answers with an error.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub async fn refuse(&self, bus: &Bus, why: &Status) -> Result<()> {
        let reply = self.asked()?;
        let (headers, body) = status::encode(why);
        bus.send(Message::new(reply, body).with_headers(headers)).await
    }

    /// Where the answer goes: an inbox, or nowhere. A reply subject comes from outside, and could name a
    /// stream's API or somebody else's service.
    fn asked(&self) -> Result<Subject> {
        match &self.reply {
            Some(reply) if reply::is_inbox(reply.as_str()) => Ok(reply.clone()),
            Some(reply) => Err(Status::failed_precondition(format!("{reply} is no inbox: not answered"))),
            None => Err(Status::failed_precondition("nobody asked: there is no reply subject")),
        }
    }
}

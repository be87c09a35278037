//! [`JetStream`]: the streams of a bus. One set of operations, two that do them.
//!
//! Everything durable is made of these: events, workers, key-value buckets and object stores know
//! no other door. [`engine`] keeps streams in this process; [`remote`] speaks to a nats-server, over
//! the same messages as everything else.

mod delivery;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod header;
mod info;
mod ordered;
pub(crate) mod remote;
mod spec;
#[cfg(test)]
mod suite;
mod wrapped;

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use futures_util::future::ready;

use self::{delivery::Source, engine::Engine, remote::Remote};
pub(crate) use self::{
    delivery::{Ack, Delivered, Deliveries, Done, Origin, Pull, Ticket},
    info::{Action, Get, Purge},
    ordered::{Ordered, OrderedSpec},
};
pub use self::{
    info::{ConsumerInfo, PublishAck, StoredMessage, StreamInfo},
    spec::{AckPolicy, ConsumerSpec, Deliver, Discard, ReplayPolicy, Republish, Retention, Specs, Storage, StreamSpec},
};
use crate::{
    Result,
    bus::{Bus, Message, Sending, Subject},
};

/// The streams of a bus. A clone is one atomic increment.
///
/// Errors are the same on both: see [`error`].
#[derive(Debug, Clone)]
pub(crate) struct JetStream {
    bus: Bus,
}

/// Which of the two does it.
enum Doer<'a> {
    Memory(&'a Engine),
    Remote(Remote<'a>),
}

impl JetStream {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { bus: bus.clone() }
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    fn doer(&self) -> Doer<'_> {
        match self.bus.engine() {
            Some(engine) => Doer::Memory(engine),
            None => Doer::Remote(Remote::new(&self.bus)),
        }
    }

    /// Hands a message over, in order. The answer says whether and where it is stored.
    ///
    /// # Errors
    /// As [`Bus::publish`]: nothing was sent.
    pub(crate) async fn publish(&self, message: Message) -> Result<Acknowledgement> {
        Ok(Acknowledgement(match self.doer() {
            Doer::Memory(engine) => Answer::Here(Some(engine.publish(&message))),
            Doer::Remote(remote) => Answer::Coming(remote.publish(message).await?),
        }))
    }

    /// The same where the answer is there at once, because the stream is in this process.
    pub(crate) fn publish_here(&self, message: &Message) -> Option<Result<PublishAck>> {
        self.bus.engine().map(|engine| engine.publish(message))
    }

    /// Stores all of these, or none. They must all belong to one stream that allows it.
    pub(crate) async fn publish_batch(&self, messages: Vec<Message>) -> Result<PublishAck> {
        match self.doer() {
            Doer::Memory(engine) => engine.publish_batch(messages),
            Doer::Remote(remote) => remote.publish_batch(messages).await,
        }
    }

    /// Makes a stream. One that is there already, with the same spec, is fine.
    pub(crate) async fn create_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        spec.check()?;
        match self.doer() {
            Doer::Memory(engine) => engine.create_stream(spec),
            Doer::Remote(remote) => remote.create_stream(spec).await,
        }
    }

    pub(crate) async fn update_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        spec.check()?;
        match self.doer() {
            Doer::Memory(engine) => engine.update_stream(spec),
            Doer::Remote(remote) => remote.update_stream(spec).await,
        }
    }

    pub(crate) async fn stream_info(&self, stream: &str) -> Result<StreamInfo> {
        match self.doer() {
            Doer::Memory(engine) => engine.stream_info(stream),
            Doer::Remote(remote) => remote.stream_info(stream).await,
        }
    }

    /// The names of all streams, sorted.
    pub(crate) async fn stream_names(&self) -> Result<Vec<String>> {
        match self.doer() {
            Doer::Memory(engine) => Ok(engine.stream_names()),
            Doer::Remote(remote) => remote.stream_names().await,
        }
    }

    /// How many messages each subject has that `filter` meets.
    pub(crate) async fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<(String, u64)>> {
        match self.doer() {
            Doer::Memory(engine) => engine.subjects(stream, filter),
            Doer::Remote(remote) => remote.subjects(stream, filter).await,
        }
    }

    pub(crate) async fn delete_stream(&self, stream: &str) -> Result<()> {
        match self.doer() {
            Doer::Memory(engine) => engine.delete_stream(stream),
            Doer::Remote(remote) => remote.delete_stream(stream).await,
        }
    }

    /// Takes messages out; how many.
    pub(crate) async fn purge_stream(&self, stream: &str, purge: &Purge) -> Result<u64> {
        match self.doer() {
            Doer::Memory(engine) => engine.purge_stream(stream, purge),
            Doer::Remote(remote) => remote.purge_stream(stream, purge).await,
        }
    }

    /// One message, if it is there. `direct`: any replica may answer, which the stream must allow.
    pub(crate) async fn get_message(&self, stream: &str, get: &Get, direct: bool) -> Result<Option<StoredMessage>> {
        match self.doer() {
            Doer::Memory(engine) => engine.get_message(stream, get),
            Doer::Remote(remote) => remote.get_message(stream, get, direct).await,
        }
    }

    pub(crate) async fn delete_message(&self, stream: &str, sequence: u64) -> Result<()> {
        match self.doer() {
            Doer::Memory(engine) => engine.delete_message(stream, sequence),
            Doer::Remote(remote) => remote.delete_message(stream, sequence).await,
        }
    }

    pub(crate) async fn put_consumer(&self, spec: &ConsumerSpec, action: Action) -> Result<ConsumerInfo> {
        let made = match self.doer() {
            Doer::Memory(engine) => engine.put_consumer(spec, action),
            Doer::Remote(remote) => remote.put_consumer(spec, action).await,
        };
        made.map_err(|status| status.with_context(format_args!("stream {}", spec.stream)))
    }

    pub(crate) async fn consumer_info(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo> {
        match self.doer() {
            Doer::Memory(engine) => engine.consumer_info(stream, consumer),
            Doer::Remote(remote) => remote.consumer_info(stream, consumer).await,
        }
    }

    /// The names of all consumers of a stream, sorted.
    pub(crate) async fn consumer_names(&self, stream: &str) -> Result<Vec<String>> {
        match self.doer() {
            Doer::Memory(engine) => engine.consumer_names(stream),
            Doer::Remote(remote) => remote.consumer_names(stream).await,
        }
    }

    pub(crate) async fn delete_consumer(&self, stream: &str, consumer: &str) -> Result<()> {
        match self.doer() {
            Doer::Memory(engine) => engine.delete_consumer(stream, consumer),
            Doer::Remote(remote) => remote.delete_consumer(stream, consumer).await,
        }
    }

    /// Deletes a consumer from where nothing can wait. What fails is left to its inactive threshold.
    pub(crate) fn abandon_consumer(&self, stream: &str, consumer: &str) {
        match self.doer() {
            Doer::Memory(engine) => drop(engine.delete_consumer(stream, consumer)),
            Doer::Remote(_) => {
                let subject = Subject::trusted(format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}"));
                self.bus.post(Message::new(subject, Bytes::new()));
            }
        }
    }

    /// Begins to read a consumer.
    pub(crate) async fn pull(&self, stream: &str, consumer: &str, pull: Pull) -> Result<Deliveries> {
        Ok(Deliveries(match self.doer() {
            Doer::Memory(engine) => Source::Memory(engine.pull(stream, consumer, pull)?),
            Doer::Remote(remote) => Source::Remote(Box::new(remote.pull(stream, consumer, pull).await?)),
        }))
    }

    /// Says what became of a delivery. `Ok` means that it is on its way. Sent where it is called if
    /// nothing has to wait.
    pub(crate) fn ack(&self, delivered: &Delivered, ack: Ack) -> Sending<'_> {
        match &delivered.ticket {
            Ticket::Memory(ticket) => Sending::Left(ready(ticket.ack(&ack))),
            Ticket::Remote(ticket) => Remote::new(&self.bus).ack(ticket, &ack),
        }
    }

    /// Says of deliveries that they are done. A failure is logged: they come again after their wait.
    pub(crate) async fn say_done(&self, done: &mut Done) {
        done.here.say();
        while let Some(ticket) = done.remote.pop_front() {
            if let Err(status) = Remote::new(&self.bus).ack_done(ticket).await {
                tracing::debug!(%status, "the broker could not be told that a message is done");
            }
        }
    }

    /// Says what became of a delivery, and waits until the broker knows.
    pub(crate) async fn ack_confirmed(&self, delivered: &Delivered, ack: Ack) -> Result<()> {
        match &delivered.ticket {
            Ticket::Memory(ticket) => ticket.ack_confirmed(&ack),
            Ticket::Remote(ticket) => Remote::new(&self.bus).ack_confirmed(ticket, &ack).await,
        }
    }
}

/// Whether and where a message is stored, when the broker has said so. Dropping it changes nothing.
///
/// # Errors
/// `NOT_FOUND` (`NO_STREAM`): no stream takes this subject. `RESOURCE_EXHAUSTED`: the stream is full or
/// the message too large. `ABORTED` (`WRONG_SEQUENCE`): another was there first. `UNAVAILABLE` or
/// `DEADLINE_EXCEEDED`: it may be stored or not; publish it again with the same id.
#[derive(Debug)]
pub(crate) struct Acknowledgement(Answer);

#[derive(Debug)]
enum Answer {
    Here(Option<Result<PublishAck>>),
    Coming(remote::Acknowledgement),
}

impl Future for Acknowledgement {
    type Output = Result<PublishAck>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Here(answer) => Poll::Ready(answer.take().unwrap_or_else(|| Err(error::polled_again()))),
            Answer::Coming(coming) => Pin::new(coming).poll(cx),
        }
    }
}

//! [`Fixture`]: a broker, and short words for what the suite does all the time.

use std::{future::Future, time::Duration};

#[cfg(feature = "testing")]
use crate::testing::NatsServer;
use crate::{
    Bus, Code, Result, Status,
    bus::{Message, Subject},
    jetstream::{
        Ack, Action, ConsumerInfo, ConsumerSpec, Delivered, Deliveries, Get, JetStream, PublishAck, Pull, StreamInfo,
        StreamSpec,
    },
};

/// Longer than a broker takes for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing must come, where nothing may.
const SILENCE: Duration = Duration::from_millis(150);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A broker with streams.
pub(super) struct Fixture {
    pub(super) streams: JetStream,
    pub(super) bus: Bus,
    #[cfg(feature = "testing")]
    _server: Option<NatsServer>,
}

impl Fixture {
    pub(super) fn memory() -> Self {
        let bus = Bus::memory();
        Self {
            streams: JetStream::new(&bus),
            bus,
            #[cfg(feature = "testing")]
            _server: None,
        }
    }

    #[cfg(feature = "testing")]
    pub(super) async fn nats() -> Self {
        let server = NatsServer::builder().jetstream().start().await.expect("a server");
        let bus = Bus::nats(server.url()).await.expect("a connection");
        Self { streams: JetStream::new(&bus), bus, _server: Some(server) }
    }

    pub(super) async fn stream(&self, spec: &StreamSpec) -> StreamInfo {
        self.streams.create_stream(spec).await.expect("the stream is made")
    }

    /// The stream `S` on `s.>`.
    pub(super) async fn plain(&self) {
        self.stream(&StreamSpec::new("S", ["s.>"])).await;
    }

    pub(super) async fn consumer(&self, spec: &ConsumerSpec) -> ConsumerInfo {
        self.streams.put_consumer(spec, Action::Create).await.expect("the consumer is made")
    }

    pub(super) async fn publish(&self, message: Message) -> Result<PublishAck> {
        self.streams.publish(message).await?.await
    }

    /// Publishes a short text; its place.
    pub(super) async fn put(&self, subject: &str, payload: &str) -> u64 {
        self.publish(message(subject, payload)).await.expect("it is stored").sequence
    }

    /// Publishes one message on each of these subjects.
    pub(super) async fn put_all(&self, subjects: &[&str]) {
        for subject in subjects {
            self.put(subject, subject).await;
        }
    }

    pub(super) async fn read(&self, stream: &str, consumer: &str) -> Reader {
        self.read_with(stream, consumer, Pull { messages: 100, bytes: 1024 * 1024 }).await
    }

    pub(super) async fn read_with(&self, stream: &str, consumer: &str, pull: Pull) -> Reader {
        let deliveries = self.streams.pull(stream, consumer, pull).await.expect("it can be read");
        Reader { deliveries, streams: self.streams.clone() }
    }

    pub(super) async fn info(&self, stream: &str) -> StreamInfo {
        self.streams.stream_info(stream).await.expect("the stream is there")
    }

    /// How many messages it has, and its first and last place.
    pub(super) async fn state(&self, stream: &str) -> (u64, u64, u64) {
        let info = self.info(stream).await;
        (info.messages, info.first_sequence, info.last_sequence)
    }

    /// Waits until the [`state`](Self::state) is this.
    pub(super) async fn becomes(&self, stream: &str, expected: (u64, u64, u64)) {
        eventually(expected, || self.state(stream)).await;
    }

    pub(super) async fn consumer_info(&self, stream: &str, consumer: &str) -> ConsumerInfo {
        self.streams.consumer_info(stream, consumer).await.expect("the consumer is there")
    }

    /// What is pending, what is out, and up to where it is acknowledged.
    pub(super) async fn progress(&self, stream: &str, consumer: &str) -> (u64, u64, u64) {
        let info = self.consumer_info(stream, consumer).await;
        (info.pending, info.ack_pending, info.ack_floor)
    }

    /// The subjects of all messages in their places.
    pub(super) async fn all(&self, stream: &str) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        let mut from = 1;
        loop {
            let get = Get::Next { from, subject: ">".to_owned() };
            let Some(found) = self.streams.get_message(stream, &get, false).await.expect("it can be read") else {
                return all;
            };
            from = found.sequence + 1;
            all.push((found.sequence, found.message.subject.as_str().to_owned()));
        }
    }
}

/// Waits until a look at something shows this.
pub(super) async fn eventually<T, F>(expected: T, mut look: impl FnMut() -> F)
where
    T: PartialEq + std::fmt::Debug,
    F: Future<Output = T>,
{
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = look().await;
        if found == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{found:?} does not become {expected:?}");
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) fn subject(text: &str) -> Subject {
    Subject::new(text).expect("a subject")
}

pub(super) fn message(to: &str, payload: &str) -> Message {
    Message::new(subject(to), payload.to_owned())
}

/// A message with one header.
pub(super) fn asking(to: &str, name: &'static str, value: &str) -> Message {
    message(to, "x").with_header(name, value)
}

/// What an error is, for programs.
pub(super) fn kind<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let status = result.expect_err("it is refused");
    (status.code(), status.reason().unwrap_or_default())
}

pub(super) fn refusal(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

/// A reader of a consumer.
pub(super) struct Reader {
    pub(super) deliveries: Deliveries,
    streams: JetStream,
}

impl Reader {
    pub(super) async fn next(&mut self) -> Delivered {
        let next = tokio::time::timeout(PATIENCE, self.deliveries.next()).await;
        next.expect("it comes in time").expect("there is one").expect("it is no error")
    }

    /// The places of the next ones.
    pub(super) async fn places(&mut self, count: usize) -> Vec<u64> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(self.next().await.stream_sequence);
        }
        places
    }

    pub(super) async fn error(&mut self) -> Status {
        let next = tokio::time::timeout(PATIENCE, self.deliveries.next()).await;
        next.expect("it comes in time").expect("there is one").expect_err("it is an error")
    }

    pub(super) async fn ack(&self, delivered: &Delivered, ack: Ack) {
        self.streams.ack_confirmed(delivered, ack).await.expect("it is heard");
    }

    /// The next one, acknowledged.
    pub(super) async fn done(&mut self) -> Delivered {
        let delivered = self.next().await;
        self.ack(&delivered, Ack::Done).await;
        delivered
    }

    /// Nothing comes for a while.
    pub(super) async fn nothing(&mut self) {
        let next = tokio::time::timeout(SILENCE, self.deliveries.next()).await;
        assert!(next.is_err(), "nothing was to come, and there is {next:?}");
    }
}

pub(super) fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).expect("text")
}

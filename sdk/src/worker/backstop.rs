//! The backstop: what the broker has given up on becomes a dead letter too.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Delivery, RunningWorker, Worker, outcome::Reason};
use crate::{
    Code, ConsumerSpec, Result, Retention, Status, StreamSpec,
    bus::{Bus, Message},
    dead_letters::{Burial, DeadLetter},
    jetstream::{Get, JetStream},
};

/// The stream that keeps what the broker says.
const STREAM: &str = "dead-letter-advisories";

/// Where the broker says that it has handed out a message too often: `.<stream>.<consumer>` follows.
const SUBJECT: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES";

/// How long what it says is kept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Advisories that are kept.
const MESSAGES: u64 = 100_000;

/// Sweeps for one consumer.
pub(super) async fn start(bus: &Bus, consumer: &ConsumerSpec, dead_letters: &StreamSpec) -> Result<RunningWorker> {
    let streams = JetStream::new(bus);
    if let Err(status) = streams.stream_info(STREAM).await {
        if status.code() != Code::NotFound {
            return Err(status);
        }
        match streams.create_stream(&spec()).await {
            Err(status) if status.code() != Code::AlreadyExists => return Err(status),
            _ => {}
        }
    }
    let (stream, name) = (&consumer.stream, &consumer.name);
    let advisories = ConsumerSpec {
        filters: vec![format!("{SUBJECT}.{stream}.{name}").into()].into(),
        // The length tells `a-b` of `c` from `b` of `c-a`.
        ..ConsumerSpec::new(STREAM, format!("{}-{stream}-{name}", stream.len()))
    };
    let sweep = Arc::new(Sweep { burial: Burial::new(&streams, dead_letters.clone()), streams });
    let handler = async move |cx: Delivery, advisory: Message| sweep.handle(&cx, &advisory).await;
    Worker::builder(bus).handle(&advisories, handler).start().await
}

fn spec() -> StreamSpec {
    StreamSpec {
        description: Cow::Borrowed("what the broker says of messages that were handed out too often"),
        max_age: Some(KEEP),
        max_messages: Some(MESSAGES),
        ..StreamSpec::new(STREAM, [format!("{SUBJECT}.*.*")])
    }
}

struct Sweep {
    streams: JetStream,
    burial: Burial,
}

impl Sweep {
    async fn handle(&self, cx: &Delivery, advisory: &Message) -> Result<()> {
        let advisory: serde_json::Value = serde_json::from_slice(&advisory.payload)
            .map_err(|error| Status::data_loss("the advisory is no JSON").with_source(error))?;
        let text = |name: &str| advisory[name].as_str().ok_or_else(|| Status::data_loss("the advisory lacks a field"));
        let number =
            |name: &str| advisory[name].as_u64().ok_or_else(|| Status::data_loss("the advisory lacks a field"));
        let (stream, consumer) = (text("stream")?, text("consumer")?);
        let (sequence, deliveries) = (number("stream_seq")?, number("deliveries")?);
        let found = match self.streams.get_message(stream, &Get::Sequence(sequence), false).await {
            Err(status) if status.code() == Code::NotFound => None,
            found => found?,
        };
        // It was done after all, or somebody took it out.
        let Some(found) = found else { return Ok(()) };
        let attempts = u32::try_from(deliveries).unwrap_or(u32::MAX);
        let reason = Reason::new(Code::Aborted, "the broker handed it out too often: its workers died with it");
        let letter = DeadLetter::swept(found, (stream, consumer), attempts, &reason, cx.time());
        self.burial.bury(&letter).await?;
        tracing::warn!(stream, consumer, sequence, "a message that the broker had given up on was set aside");
        // Elsewhere it stays for others, and its consumer will not see it again. Here it would stay for ever.
        if self.streams.stream_info(stream).await?.spec.retention == Retention::WorkQueue {
            match self.streams.delete_message(stream, sequence).await {
                Err(status) if status.code() != Code::NotFound => return Err(status),
                _ => {}
            }
        }
        Ok(())
    }
}

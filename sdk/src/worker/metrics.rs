//! [`Metrics`]: how a worker is doing, for whoever collects it with OpenTelemetry.
//!
//! Only the API is used: without a meter provider it costs next to nothing. The provider has to be set
//! before the worker starts.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};

use super::{
    monitor::{Lag, WorkerCounts},
    outcome::Verdict,
};
use crate::ConsumerSpec;

/// Names of instruments. Those that OpenTelemetry has are as it has them (semantic conventions for
/// messaging, in development).
pub(super) mod name {
    /// Seconds from the beginning of an attempt to its end.
    pub(crate) const PROCESS_DURATION: &str = "messaging.process.duration";
    /// Messages, by `outcome`.
    pub(crate) const MESSAGES: &str = "subwire.worker.messages";
    /// Messages that are worked on, or wait here.
    pub(crate) const IN_HAND: &str = "subwire.worker.in_hand";
    /// Messages that the consumer has not handed out.
    pub(crate) const PENDING: &str = "subwire.worker.pending";
    /// Messages that are out.
    pub(crate) const ACK_PENDING: &str = "subwire.worker.ack_pending";
    /// Messages that are out for the second time or more.
    pub(crate) const REDELIVERED: &str = "subwire.worker.redelivered";
    /// Seconds that the oldest message lies there which is not done.
    pub(crate) const OLDEST_AGE: &str = "subwire.worker.oldest_age";
}

/// Names of attributes.
pub(super) mod attribute {
    pub(crate) const SYSTEM: &str = "messaging.system";
    pub(crate) const STREAM: &str = "messaging.destination.name";
    pub(crate) const CONSUMER: &str = "messaging.consumer.group.name";
    pub(crate) const ERROR: &str = "error.type";
    pub(crate) const OUTCOME: &str = "outcome";
}

/// The buckets of a duration, in seconds: what the conventions advise.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The instruments of one worker.
pub(super) struct Metrics {
    duration: Histogram<f64>,
    messages: Counter<u64>,
    in_hand: Gauge<u64>,
    pending: Gauge<u64>,
    ack_pending: Gauge<u64>,
    redelivered: Gauge<u64>,
    oldest_age: Gauge<f64>,
    attributes: Vec<KeyValue>,
    /// What has been reported so far.
    reported: Mutex<WorkerCounts>,
}

impl Metrics {
    pub(super) fn new(consumer: &ConsumerSpec) -> Self {
        let meter = global::meter("subwire");
        let gauge = |name: &'static str, text: &'static str| meter.u64_gauge(name).with_description(text).build();
        Self {
            duration: meter
                .f64_histogram(name::PROCESS_DURATION)
                .with_description("Duration of processing a message")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            messages: meter.u64_counter(name::MESSAGES).with_description("Messages, by what became of them").build(),
            in_hand: gauge(name::IN_HAND, "Messages that are worked on, or wait in the worker"),
            pending: gauge(name::PENDING, "Messages that are not handed out yet"),
            ack_pending: gauge(name::ACK_PENDING, "Messages that are handed out and not acknowledged"),
            redelivered: gauge(name::REDELIVERED, "Messages that are out for the second time or more"),
            oldest_age: meter
                .f64_gauge(name::OLDEST_AGE)
                .with_description("Age of the oldest message that is not done")
                .with_unit("s")
                .build(),
            attributes: vec![
                KeyValue::new(attribute::SYSTEM, "nats"),
                KeyValue::new(attribute::STREAM, consumer.stream.to_string()),
                KeyValue::new(attribute::CONSUMER, consumer.name.to_string()),
            ],
            reported: Mutex::default(),
        }
    }

    /// An attempt has ended.
    pub(super) fn processed(&self, took: Duration, verdict: &Verdict) {
        let seconds = took.as_secs_f64();
        match verdict {
            Verdict::Retry(_, reason) | Verdict::Panicked(reason) | Verdict::DeadLetter(reason) => {
                self.duration.record(seconds, &self.with(KeyValue::new(attribute::ERROR, reason.code.name())));
            }
            _ => self.duration.record(seconds, &self.attributes),
        }
    }

    /// Reports what has been counted since the last time: counting each message here would cost more
    /// than the message.
    pub(super) fn report(&self, now: WorkerCounts, in_hand: usize, lag: Option<Lag>) {
        let before = std::mem::replace(&mut *self.reported.lock().unwrap_or_else(PoisonError::into_inner), now);
        for (outcome, now, before) in [
            ("done", now.done, before.done),
            ("repeated", now.repeated, before.repeated),
            ("failed", now.failed, before.failed),
            ("dead_letter", now.dead_letters, before.dead_letters),
            ("burial_failed", now.burials_failed, before.burials_failed),
            ("handed_back", now.handed_back, before.handed_back),
        ] {
            if now > before {
                self.messages.add(now - before, &self.with(KeyValue::new(attribute::OUTCOME, outcome)));
            }
        }
        self.in_hand.record(in_hand as u64, &self.attributes);
        if let Some(lag) = lag {
            self.pending.record(lag.pending, &self.attributes);
            self.ack_pending.record(lag.ack_pending, &self.attributes);
            self.redelivered.record(lag.redelivered, &self.attributes);
            self.oldest_age.record(lag.oldest_age.unwrap_or_default().as_secs_f64(), &self.attributes);
        }
    }

    fn with(&self, attribute: KeyValue) -> Vec<KeyValue> {
        self.attributes.iter().cloned().chain([attribute]).collect()
    }
}

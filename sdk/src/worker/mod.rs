//! [`Worker`]: does what is in a stream, message by message.

mod backstop;
mod builder;
mod core;
mod delivery;
mod dispatch;
mod effects;
mod group;
mod handler;
mod in_hand;
mod intake;
mod job;
mod lanes;
mod metrics;
mod monitor;
mod outcome;
mod pace;
mod retry;
mod running;

pub(crate) use self::outcome::Reason;
pub use self::{
    builder::WorkerBuilder,
    delivery::Delivery,
    dispatch::Dispatch,
    effects::{EffectKey, Effects, MemoryEffects, StreamEffects},
    group::WorkerGroup,
    handler::{Handler, IntoHandler, Payload},
    monitor::{Lag, WorkerCounts, WorkerMonitor, WorkerState},
    outcome::{IntoOutcome, Outcome},
    running::RunningWorker,
};
use crate::{Bus, ConsumerSpec};

#[doc = include_str!("worker.md")]
#[derive(Debug)]
pub struct Worker {
    bus: Bus,
}

impl Worker {
    /// A worker on this bus, with nothing to do yet.
    pub fn builder(bus: impl Into<Bus>) -> Self {
        Self { bus: bus.into() }
    }

    /// Handles the messages of a durable consumer.
    ///
    /// The handler is an async function or closure of a [`Delivery`] and an event, or a [`Dispatch`] of
    /// several; see [`IntoHandler`].
    pub fn handle<Kind>(self, consumer: &ConsumerSpec, handler: impl IntoHandler<Kind>) -> WorkerBuilder {
        WorkerBuilder::new(self.bus, consumer, handler.into_handler())
    }
}

//! [`Remote`]: the streams of a nats-server, by JetStream's own messages.
//!
//! Not by async-nats: its double acknowledgement takes an error for success, its pulls stall when a
//! server goes away, and its futures know nothing of our links and faults.

mod api;
mod batch;
mod consumer_config;
mod consumers;
mod deliveries;
mod messages;
mod name;
mod nanos;
mod place;
mod publish;
mod publish_ack;
mod pulls;
mod requests;
mod search;
mod signs;
mod status;
mod stream_config;
mod streams;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod ticket;
mod times;
mod waiting;

pub(super) use self::publish::Acknowledgement;
pub(crate) use self::{deliveries::Deliveries, requests::Requests, ticket::Ticket};
use crate::bus::Bus;

/// The streams of a nats-server.
pub(super) struct Remote<'a> {
    bus: &'a Bus,
}

impl<'a> Remote<'a> {
    pub(super) fn new(bus: &'a Bus) -> Self {
        Self { bus }
    }
}

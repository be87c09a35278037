//! What a stream tells the world of its own accord, as nats-server does.

use serde_json::json;

use super::deliveries::Handle;
use crate::bus::{Message, Subject};

/// The attempts at a message are used up.
pub(super) fn max_deliveries(handle: &Handle, sequence: u64, deliveries: u32) -> Message {
    let (stream, consumer) = (&*handle.origin.stream, &*handle.origin.consumer);
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{consumer}");
    let payload = json!({
        "type": "io.nats.jetstream.advisory.v1.max_deliver",
        "stream": stream,
        "consumer": consumer,
        "stream_seq": sequence,
        "deliveries": deliveries,
    });
    Message::new(Subject::trusted(subject), payload.to_string())
}

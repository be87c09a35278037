//! [`Stored`]: what a stream says to a publisher.

use std::{mem, sync::Arc};

use bytes::Bytes;
use serde_json::json;

use super::{intake::Place, refusal::Refusal};
use crate::{Result, Status, bus::Message, jetstream::PublishAck};

/// What a stream says to a publisher, and what it has published itself.
#[derive(Debug)]
pub(crate) struct Stored {
    stream: Arc<str>,
    place: Result<Place, Refusal>,
    copies: Vec<Message>,
}

impl Stored {
    pub(super) fn new(stream: &Arc<str>, place: Result<Place, Refusal>, copies: Vec<Message>) -> Self {
        Self { stream: stream.clone(), place, copies }
    }

    /// What the stream publishes because of the message.
    pub(crate) fn take_copies(&mut self) -> Vec<Message> {
        mem::take(&mut self.copies)
    }

    /// # Errors
    /// It is not stored.
    pub(crate) fn into_ack(self) -> Result<PublishAck> {
        let Place { sequence, duplicate } = self.place.map_err(Status::from)?;
        Ok(PublishAck { stream: self.stream, sequence, duplicate })
    }

    /// What NATS sends to the reply subject of a message.
    pub(crate) fn answer(&self) -> Bytes {
        let stream = &*self.stream;
        let answer = match &self.place {
            Ok(Place { sequence, duplicate: false }) => json!({"stream": stream, "seq": sequence}),
            Ok(Place { sequence, duplicate: true }) => json!({"stream": stream, "seq": sequence, "duplicate": true}),
            Err(Refusal { number, http, description }) => json!({
                "error": {"code": http, "err_code": number, "description": description},
                "stream": stream,
                "seq": 0,
            }),
        };
        answer.to_string().into()
    }
}

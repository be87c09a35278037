//! [`Wrapped`]: a stored message as its leader hands it out, wrapped in JSON.
//!
//! So it can be read also where the client would end its connection at it (a header that is not UTF-8, a name of two
//! words). Such a message ends the connection of each reader again and again, with every call that goes over it, so
//! readers that are cut off look for it here.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{
    Remote, Ticket, api,
    messages::{malformed, request},
    name::stream_verb,
    times::from_rfc3339,
};
use crate::{
    Result, Status,
    bus::{Message, Subject, read_headers},
    jetstream::{Delivered, Get, OrderedSpec, Origin, StoredMessage, delivery},
    status::reason,
};

/// A stored message, and whether the client can read it.
pub(super) struct Wrapped {
    pub(super) stored: StoredMessage,
    pub(super) is_readable: bool,
}

impl Wrapped {
    /// As if a consumer had handed it out.
    pub(super) fn deliver(self, origin: &Arc<Origin>) -> Delivered {
        let Self { stored: StoredMessage { message, sequence, time }, is_readable } = self;
        // By its place in the stream the server finds what is acknowledged; it looks at nothing else.
        let ticket = format!("$JS.ACK.{}.{}.1.{sequence}.0.0.0", origin.stream, origin.consumer);
        Delivered {
            message,
            origin: origin.clone(),
            stream_sequence: sequence,
            consumer_sequence: 0,
            attempt: 1,
            is_readable,
            time,
            pending: 0,
            ticket: delivery::Ticket::Remote(Ticket(Subject::trusted(ticket))),
        }
    }
}

impl Remote<'_> {
    /// A message, from the leader of its stream.
    pub(super) async fn get_wrapped(&self, stream: &str, get: &Get) -> Result<Option<Wrapped>> {
        #[derive(Deserialize)]
        struct Found {
            message: Stored,
        }
        #[derive(Deserialize)]
        struct Stored {
            subject: String,
            seq: u64,
            time: String,
            #[serde(default)]
            hdrs: String,
            #[serde(default)]
            data: String,
        }
        let verb = stream_verb("STREAM.MSG.GET", stream)?;
        match api::call(self.bus, &verb, &request(get)).await {
            Ok(Found { message }) => {
                let block = BASE64_STANDARD.decode(&message.hdrs).map_err(malformed)?;
                let payload = BASE64_STANDARD.decode(&message.data).map_err(malformed)?;
                let (headers, headers_are_readable) = read_headers(&block);
                let (subject, subject_is_readable) = read_subject(&message.subject);
                Ok(Some(Wrapped {
                    stored: StoredMessage {
                        message: Message::new(subject, payload).with_headers(headers),
                        sequence: message.seq,
                        time: from_rfc3339(&message.time).ok_or_else(|| malformed("time"))?,
                    },
                    is_readable: headers_are_readable && subject_is_readable,
                }))
            }
            Err(status) if is_no_message(&status) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// The first message behind `after` that one of `filters` takes; without a filter, the first of all.
    pub(super) async fn next_wrapped(
        &self,
        stream: &str,
        filters: &[impl AsRef<str>],
        after: u64,
    ) -> Result<Option<Wrapped>> {
        let mut next: Option<Wrapped> = None;
        let all = filters.is_empty().then_some(">");
        for filter in filters.iter().map(AsRef::as_ref).chain(all) {
            let get = Get::Next { from: after + 1, subject: filter.to_owned() };
            next = [next, self.get_wrapped(stream, &get).await?]
                .into_iter()
                .flatten()
                .min_by_key(|found| found.stored.sequence);
        }
        Ok(next)
    }

    /// The first message behind `after` that one of `filters` takes and that is the last one of its subject.
    pub(super) async fn next_newest(
        &self,
        stream: &str,
        filters: &[impl AsRef<str>],
        mut after: u64,
    ) -> Result<Option<Wrapped>> {
        while let Some(next) = self.next_wrapped(stream, filters, after).await? {
            let last = Get::Last(next.stored.message.subject.as_str().to_owned());
            match self.get_wrapped(stream, &last).await? {
                Some(last) if last.stored.sequence > next.stored.sequence => after = next.stored.sequence,
                // What is not UTF-8 cannot be asked for by its name.
                _ => return Ok(Some(next)),
            }
        }
        Ok(None)
    }

    /// What an ordered reader finds next behind `after`.
    pub(in crate::jetstream) async fn look(
        &self,
        spec: &OrderedSpec,
        after: u64,
        newest: bool,
    ) -> Result<Option<Delivered>> {
        let next = match newest {
            true => self.next_newest(&spec.stream, &spec.filters, after).await?,
            false => self.next_wrapped(&spec.stream, &spec.filters, after).await?,
        };
        let origin = Arc::new(Origin { stream: spec.stream.as_str().into(), consumer: "".into() });
        Ok(next.map(|next| next.deliver(&origin)))
    }
}

fn is_no_message(status: &Status) -> bool {
    status.error_info().is_some_and(|info| info.reason == reason::MESSAGE_NOT_FOUND)
}

/// A subject, as far as it can be made out, and whether the client takes it in: for white space it takes that of
/// Unicode, the broker that of the protocol; and what is no UTF-8 it does not take.
fn read_subject(text: &str) -> (Subject, bool) {
    let shown: String = text.chars().map(|c| if c.is_whitespace() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    let is_readable = !shown.contains(char::REPLACEMENT_CHARACTER);
    (Subject::trusted(shown), is_readable)
}

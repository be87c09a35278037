//! [`Wrapped`]: a stored message as its leader hands it out, wrapped in JSON.
//!
//! So it can be read also where the client would end its connection at it (a header that is not UTF-8, a name of two
//! words). Such a message ends the connection of each reader again and again, with every call that goes over it, so
//! readers that are cut off look for it here.

use std::sync::Arc;

use super::{Delivered, Doer, Get, JetStream, Origin, StoredMessage, delivery, remote};
use crate::Result;

/// A stored message, and whether the client can read it.
pub(super) struct Wrapped {
    pub(super) stored: StoredMessage,
    pub(super) is_readable: bool,
}

impl Wrapped {
    /// As if a consumer had handed it out.
    pub(super) fn deliver(self, origin: &Arc<Origin>) -> Delivered {
        let Self { stored: StoredMessage { message, sequence, time }, is_readable } = self;
        Delivered {
            message,
            origin: origin.clone(),
            stream_sequence: sequence,
            consumer_sequence: 0,
            attempt: 1,
            is_readable,
            time,
            pending: 0,
            ticket: delivery::Ticket::Remote(remote::Ticket::new(origin, sequence)),
        }
    }
}

impl JetStream {
    async fn get_wrapped(&self, stream: &str, get: &Get) -> Result<Option<Wrapped>> {
        match self.doer() {
            Doer::Memory(engine) => {
                let found = engine.get_message(stream, get)?;
                Ok(found.map(|stored| Wrapped { stored, is_readable: true }))
            }
            Doer::Remote(remote) => remote.get_wrapped(stream, get).await,
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

    /// The first message behind `after`, up to `end`, that one of `filters` takes and that is the last one of its
    /// subject.
    pub(super) async fn next_newest(
        &self,
        stream: &str,
        filters: &[impl AsRef<str>],
        mut after: u64,
        end: u64,
    ) -> Result<Option<Wrapped>> {
        while let Some(next) = self.next_wrapped(stream, filters, after).await?
            && next.stored.sequence <= end
        {
            let last = Get::Last(next.stored.message.subject.as_str().to_owned());
            match self.get_wrapped(stream, &last).await? {
                Some(last) if last.stored.sequence > next.stored.sequence => after = next.stored.sequence,
                // What is not UTF-8 cannot be asked for by its name.
                _ => return Ok(Some(next)),
            }
        }
        Ok(None)
    }
}

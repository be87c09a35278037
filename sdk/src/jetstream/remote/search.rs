//! [`Search`]: for messages that end the connection of whoever reads a consumer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    BoxFuture, Result,
    bus::Bus,
    jetstream::{Delivered, JetStream, Origin, wrapped::Wrapped},
};

/// A connection that is lost again within this time is no accident: everything that is out is looked at.
const AGAIN: Duration = Duration::from_secs(600);

/// What has been found is not handed out again so soon: it may be done, and only something older is still out.
const ONCE: Duration = Duration::from_secs(60);

/// Messages that are looked at in one search, and bytes of them.
const MESSAGES: usize = 1_000;
const BYTES: usize = 64 * 1024 * 1024;

/// A search for messages that the client cannot read ([`Wrapped`]), among those that a consumer has handed out and
/// nobody has acknowledged.
///
/// The connection is lost behind the last message that came, so the next one is looked at. If it was not that one,
/// and the connection is lost again, then all of them are.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The newest message of the stream that came.
    newest: u64,
    /// When the connection was last lost while something was to come.
    lost: Option<Instant>,
    /// Where the last search among all has ended, if not at the end.
    searched: u64,
    /// What was found, and when.
    found: HashMap<u64, Instant>,
}

/// What a search has found.
pub(super) struct Found {
    messages: Vec<Wrapped>,
    searched: u64,
}

impl Search {
    /// This one came.
    pub(super) fn came(&mut self, sequence: u64) {
        self.newest = self.newest.max(sequence);
    }

    /// Begins, after the connection was lost.
    pub(super) fn begin(&mut self, bus: &Bus, origin: &Arc<Origin>) -> BoxFuture<Result<Found>> {
        let now = Instant::now();
        let again = self.lost.replace(now).is_some_and(|lost| now - lost < AGAIN);
        let (streams, origin) = (JetStream::new(bus), origin.clone());
        let (newest, searched) = (self.newest, again.then_some(self.searched));
        Box::pin(async move { search(&streams, &origin, newest, searched).await })
    }

    /// Takes what was found, as if the consumer had handed it out once more.
    pub(super) fn end(&mut self, found: Found, origin: &Arc<Origin>) -> impl Iterator<Item = Delivered> {
        let now = Instant::now();
        self.found.retain(|_, at| now - *at < ONCE);
        self.searched = found.searched;
        let is_new = |message: &Wrapped| self.found.insert(message.stored.sequence, now).is_none();
        let mut new = found.messages;
        new.retain(is_new);
        let origin = origin.clone();
        new.into_iter().map(move |message| message.deliver(&origin))
    }
}

/// Looks at what comes behind `newest`; and, if a search among all has ended at `searched`, from there on.
async fn search(streams: &JetStream, origin: &Origin, newest: u64, searched: Option<u64>) -> Result<Found> {
    let mut found = Found { messages: Vec::new(), searched: 0 };
    let info = streams.consumer_info(&origin.stream, &origin.consumer).await?;
    if info.ack_pending == 0 {
        return Ok(found);
    }
    let (mut after, mut bytes) = (newest.max(info.ack_floor), 0);
    while found.messages.len() < MESSAGES
        && bytes < BYTES
        && let Some(next) = streams.next_wrapped(&origin.stream, &info.spec.filters, after).await?
        && next.stored.sequence <= info.delivered
        && !next.is_readable
    {
        after = next.stored.sequence;
        bytes += next.stored.message.payload.len();
        found.messages.push(next);
    }
    let Some(searched) = searched else { return Ok(found) };
    let mut after = searched.max(info.ack_floor);
    for _ in 0..MESSAGES {
        if bytes >= BYTES {
            break;
        }
        let next = streams.next_wrapped(&origin.stream, &info.spec.filters, after).await?;
        let Some(next) = next.filter(|next| next.stored.sequence <= info.delivered) else { return Ok(found) };
        after = next.stored.sequence;
        bytes += next.stored.message.payload.len();
        if !next.is_readable && found.messages.iter().all(|known| known.stored.sequence != after) {
            found.messages.push(next);
        }
    }
    found.searched = after;
    Ok(found)
}

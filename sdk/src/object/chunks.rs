//! [`Chunks`]: where the bytes of objects are.

use std::time::Duration;

use futures_util::FutureExt;
use rand::seq::IndexedRandom;
use tokio::time::{Instant, sleep};

use crate::{
    Code, Result,
    backoff::Backoff,
    bus::Subject,
    jetstream::{Get, JetStream, Purge},
    limits,
};

/// Waits between attempts to remove chunks that nobody wants.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// Letters and digits of a nuid: 130 bits.
const NUID_LENGTH: usize = 22;

/// Where the bytes of a store's objects are. Each version of each object has a nuid.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    streams: JetStream,
    bucket: String,
    stream: String,
}

impl Chunks {
    pub(super) fn new(streams: &JetStream, bucket: &str, stream: &str) -> Self {
        Self { streams: streams.clone(), bucket: bucket.to_owned(), stream: stream.to_owned() }
    }

    /// Where those of a version are.
    pub(super) fn of(&self, nuid: &str) -> Subject {
        Subject::trusted(format!("$O.{}.C.{nuid}", self.bucket))
    }

    /// Whether there is one of a version.
    pub(super) async fn any(&self, nuid: &str) -> Result<bool> {
        let get = Get::Last(self.of(nuid).as_str().to_owned());
        Ok(self.streams.get_message(&self.stream, &get, false).await?.is_some())
    }

    /// Removes those of a version that nobody reaches any more. What cannot be removed in a while stays,
    /// and the log says so.
    pub(super) async fn purge(&self, nuid: &str) {
        let end = Instant::now() + limits::PUBLISH_TIMEOUT;
        for attempt in 1.. {
            let Err(status) = self.streams.purge_stream(&self.stream, &self.all(nuid)).await else { return };
            let wait = RETRY.delay(attempt);
            let is_final = matches!(status.code(), Code::NotFound | Code::PermissionDenied)
                || self.streams.bus().link().borrow().closed.is_some();
            if is_final || Instant::now() + wait > end {
                tracing::warn!(%status, bucket = self.bucket, nuid, "chunks of no object are left");
                return;
            }
            sleep(wait).await;
        }
    }

    /// The same from where nothing can wait: sent, and not looked after.
    pub(super) fn purge_unseen(&self, nuid: &str) {
        // There are timers in it, which have to have a runtime.
        if tokio::runtime::Handle::try_current().is_ok() {
            let _ = self.streams.purge_stream(&self.stream, &self.all(nuid)).now_or_never();
        }
    }

    fn all(&self, nuid: &str) -> Purge {
        Purge { subject: Some(self.of(nuid).as_str().to_owned()), ..Purge::default() }
    }
}

/// Letters and digits that nobody has used before.
pub(super) fn nuid() -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = rand::rng();
    (0..NUID_LENGTH).filter_map(|_| DIGITS.choose(&mut random)).map(|digit| char::from(*digit)).collect()
}

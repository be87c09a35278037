//! [`KvEntry`]: a revision of a key.

use std::time::SystemTime;

use bytes::Bytes;

use super::KvValue;
use crate::{
    Code, Result, Status, StoredMessage,
    bus::{Headers, Message},
    jetstream::{Delivered, header},
    status::reason,
};

/// What a revision did, where it is no value (ADR-8).
pub(super) const OPERATION: &str = "KV-Operation";
pub(super) const DELETE: &str = "DEL";
pub(super) const PURGE: &str = "PURGE";

/// A revision of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry<T> {
    /// Which key.
    pub key: String,
    /// Its value.
    pub value: T,
    /// The place of the revision. Counts the writes to the whole bucket, so that a key has holes in it.
    pub revision: u64,
    /// When it was stored.
    pub time: SystemTime,
    /// What was done.
    pub operation: KvOperation,
}

/// What a revision did to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvOperation {
    /// Gave it a value.
    Put,
    /// Removed it; earlier revisions are still in its history.
    Delete,
    /// Removed it, and its history.
    Purge,
    /// Its time to live was up. Only buckets with markers for that tell.
    Expire,
}

/// A revision whose value is not decoded yet.
pub(super) struct RawEntry {
    pub(super) key: String,
    pub(super) payload: Bytes,
    pub(super) revision: u64,
    pub(super) time: SystemTime,
    pub(super) operation: KvOperation,
}

impl RawEntry {
    /// The revision that a message of the bucket with this prefix is.
    pub(super) fn of_message(prefix: &str, message: Message, revision: u64, time: SystemTime) -> Result<Self> {
        let subject = message.subject.as_str();
        let key = subject.strip_prefix(prefix).unwrap_or(subject).to_owned();
        let operation = operation(&message.headers)
            .map_err(|operation| malformed(prefix, &key, revision, &format!("nobody knows what {operation} is")))?;
        Ok(Self { key, payload: message.payload, revision, time, operation })
    }

    pub(super) fn of_stored(prefix: &str, stored: StoredMessage) -> Result<Self> {
        Self::of_message(prefix, stored.message, stored.sequence, stored.time)
    }

    pub(super) fn of_delivered(prefix: &str, delivered: Delivered) -> Result<Self> {
        Self::of_message(prefix, delivered.message, delivered.stream_sequence, delivered.time)
    }

    /// The revision with its value; `None` where the key was removed.
    pub(super) fn decode<T: KvValue>(self, prefix: &str) -> Result<KvEntry<Option<T>>> {
        let Self { key, payload, revision, time, operation } = self;
        let value = match operation {
            KvOperation::Put => Some(
                T::from_bytes(payload)
                    .map_err(|error| malformed(prefix, &key, revision, &error.to_string()).with_source(error))?,
            ),
            _ => None,
        };
        Ok(KvEntry { key, value, revision, time, operation })
    }
}

impl<T> KvEntry<Option<T>> {
    /// The revision, unless it has no value.
    pub(super) fn present(self) -> Option<KvEntry<T>> {
        let Self { key, value, revision, time, operation } = self;
        value.map(|value| KvEntry { key, value, revision, time, operation })
    }
}

fn operation(headers: &Headers) -> Result<KvOperation, String> {
    Ok(match (headers.get(OPERATION), headers.get(header::MARKER_REASON)) {
        (None | Some("PUT"), None) => KvOperation::Put,
        (Some(DELETE), _) | (None, Some("Remove")) => KvOperation::Delete,
        (Some(PURGE), _) | (None, Some("Purge")) => KvOperation::Purge,
        (_, Some("MaxAge")) => KvOperation::Expire,
        (operation, reason) => return Err(format!("{:?}", operation.or(reason).unwrap_or_default())),
    })
}

fn malformed(prefix: &str, key: &str, revision: u64, why: &str) -> Status {
    let message = format!("revision {revision} of {prefix}{key} is not what the bucket holds: {why}");
    Status::made_here(Code::DataLoss, reason::MALFORMED_EVENT, message).with_field_violation(key, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: Option<KvOperation>) {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.append(*name, *value);
        }
        assert_eq!(operation(&all).ok(), expected, "{headers:?}");
    }

    #[test]
    fn headers_say_what_a_revision_did() {
        check(&[], Some(KvOperation::Put));
        check(&[(OPERATION, "PUT")], Some(KvOperation::Put));
        check(&[(OPERATION, "DEL")], Some(KvOperation::Delete));
        check(&[(OPERATION, "PURGE")], Some(KvOperation::Purge));
        check(&[(header::MARKER_REASON, "MaxAge")], Some(KvOperation::Expire));
        check(&[(header::MARKER_REASON, "Purge")], Some(KvOperation::Purge));
        check(&[(header::MARKER_REASON, "Remove")], Some(KvOperation::Delete));
        check(&[(OPERATION, "SHRED")], None);
        check(&[(header::MARKER_REASON, "Boredom")], None);
    }
}

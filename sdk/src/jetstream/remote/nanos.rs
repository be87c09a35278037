//! Durations as JetStream writes them: whole nanoseconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

use crate::limits;

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(count(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    // Where a duration may be missing, a server says 0 or less.
    Ok(Duration::from_nanos(i64::deserialize(deserializer)?.try_into().unwrap_or(0)))
}

/// The nanoseconds of a duration, up to 100 years. The server can count 292, and adds to what it is told:
/// with more, what is to come again does not.
pub(super) fn count(duration: Duration) -> i64 {
    i64::try_from(duration.min(limits::STREAM_TIME_MAX).as_nanos()).unwrap_or(i64::MAX)
}

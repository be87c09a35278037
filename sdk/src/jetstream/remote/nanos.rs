//! Durations as JetStream writes them: whole nanoseconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(count(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    // Where a duration may be missing, a server says 0 or less.
    Ok(Duration::from_nanos(i64::deserialize(deserializer)?.try_into().unwrap_or(0)))
}

/// The nanoseconds of a duration, up to the 292 years that the server can count.
pub(super) fn count(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

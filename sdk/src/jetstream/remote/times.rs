//! Times as JetStream writes them: RFC 3339, or nanoseconds since 1970.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// `None` also for the year 1, which is how the server writes "never".
pub(super) fn from_rfc3339(text: &str) -> Option<SystemTime> {
    let time = SystemTime::try_from(text.parse::<Timestamp>().ok()?).ok()?;
    (time >= SystemTime::UNIX_EPOCH).then_some(time)
}

pub(super) fn to_rfc3339(time: SystemTime) -> String {
    Timestamp::from(time).to_string()
}

pub(super) fn from_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_nanoseconds() {
        let time = from_nanos(1_732_176_000_123_456_789);
        assert_eq!(to_rfc3339(time), "2024-11-21T08:00:00.123456789Z");
        for text in ["2024-11-21T08:00:00.123456789Z", "2024-11-21T09:00:00.123456789+01:00"] {
            assert_eq!(from_rfc3339(text), Some(time), "{text}");
        }
    }

    #[test]
    fn never_is_no_time() {
        for text in ["0001-01-01T00:00:00Z", "", "soon"] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }
}

//! Times as the database knows them: `timestamptz`.

use std::time::{Duration, SystemTime};

/// The first, 4714-11-24 before Christ, before 1970.
const FIRST: Duration = Duration::from_secs(210_866_803_200);

/// The last, in the year 294276, after 1970.
const LAST: Duration = Duration::from_micros(9_224_318_016_000_000_000 - 1);

/// The time itself, or the nearest one that the database can hold: no event lies beyond.
pub(crate) fn nearest(time: SystemTime) -> SystemTime {
    // A system whose clock knows neither end has no time beyond it.
    let time = SystemTime::UNIX_EPOCH.checked_sub(FIRST).map_or(time, |first| time.max(first));
    SystemTime::UNIX_EPOCH.checked_add(LAST).map_or(time, |last| time.min(last))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use tokio_postgres::types::{ToSql, Type};

    use super::*;

    /// What the database gets: microseconds after 2000.
    fn sent(time: SystemTime) -> i64 {
        let mut bytes = BytesMut::new();
        nearest(time).to_sql(&Type::TIMESTAMPTZ, &mut bytes).expect("bytes");
        i64::from_be_bytes(bytes[..].try_into().expect("eight bytes"))
    }

    #[test]
    fn what_the_database_can_hold_stays() {
        let epoch = SystemTime::UNIX_EPOCH;
        for time in [epoch, epoch + LAST, epoch - FIRST, epoch + Duration::from_micros(1_763_725_200_000_001)] {
            assert_eq!(nearest(time), time);
        }
    }

    #[test]
    fn what_lies_beyond_is_the_end() {
        let ever = Duration::from_secs(i64::MAX.cast_unsigned());
        // The limits of timestamptz in PostgreSQL's `datatype/timestamp.h`.
        let (first, end) = (-211_813_488_000_000_000, 9_223_371_331_200_000_000);
        for more in [LAST + Duration::from_micros(1), ever] {
            assert_eq!(sent(SystemTime::UNIX_EPOCH + more), end - 1, "{more:?}");
        }
        for less in [FIRST + Duration::from_micros(1), ever] {
            assert_eq!(sent(SystemTime::UNIX_EPOCH - less), first, "{less:?}");
        }
    }
}

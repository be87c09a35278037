//! [`Ttl`]: the time to live of one message (ADR-43).

use std::time::Duration;

use super::clock::{Nanos, nanos};
use crate::{bus::Headers, jetstream::header};

/// The time to live of one message: the header `Nats-TTL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ttl {
    /// Not even `max_age` ends it.
    Never,
    After(Duration),
}

impl Ttl {
    /// That of a message which is stored.
    pub(super) fn of(headers: &Headers) -> Option<Self> {
        let (_, text) = headers.iter().find(|(name, _)| *name == header::TTL)?;
        read(text)
    }

    /// When a message stored at `time` goes.
    pub(super) fn end(self, time: Nanos) -> Option<Nanos> {
        match self {
            Self::Never => None,
            Self::After(ttl) => Some(time.saturating_add(nanos(ttl))),
        }
    }
}

/// The longest time span that Go can hold: 292 years.
const GO_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// Reads the header: whole seconds, `never`, or a time span as Go writes it, cut to seconds; one at
/// least.
pub(super) fn read(text: &str) -> Option<Ttl> {
    if text == "never" {
        return Some(Ttl::Never);
    }
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => go_duration(text)?.as_secs(),
    };
    (seconds > 0).then_some(Ttl::After(Duration::from_secs(seconds)))
}

/// `1h30m`, `90s`, `1.5h`, as Go's `time.ParseDuration`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    Duration::try_from_secs_f64(total).ok().filter(|span| *span <= GO_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_seconds_or_what_go_writes() {
        let after = |seconds| Some(Ttl::After(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("5", after(5)),
            ("90s", after(90)),
            ("never", Some(Ttl::Never)),
            ("1h30m", after(5400)),
            ("1.5s", after(1)),
            ("1500ms", after(1)),
            ("", None),
            ("0", None),
            ("0s", None),
            ("0.5", None),
            ("500ms", None),
            ("-1", None),
            ("soon", None),
            ("1d", None),
            ("9223372036s", after(9_223_372_036)),
            ("9223372037s", None),
            ("1000000000000s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}

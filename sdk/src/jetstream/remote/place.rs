//! [`Place`]: what the subject that acknowledges a delivery says of it.

use crate::{bus::Message, wire::number::decimal};

/// What the subject that acknowledges a delivery says of it (ADR-15).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) attempt: u32,
    pub(super) stream_sequence: u64,
    pub(super) consumer_sequence: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub(super) stored: u64,
    pub(super) pending: u64,
}

impl Place {
    /// Where a message lies that a consumer has handed out. Nothing else has one.
    pub(super) fn of(message: &Message) -> Option<Self> {
        Self::parse(message.reply.as_ref()?.as_str())
    }

    /// Reads `$JS.ACK.<stream>.<consumer>.<attempt>.<stream sequence>.<consumer sequence>.<time>.<pending>`,
    /// and the newer form, which has domain and account before the stream, and may have more at the end.
    pub(super) fn parse(subject: &str) -> Option<Self> {
        // By bytes, not by characters: this runs for every delivery.
        let rest = subject.strip_prefix("$JS.ACK.")?.as_bytes();
        // Beside the two tokens of the prefix: 7, or 9 and more.
        let names = match rest.iter().filter(|byte| **byte == b'.').count() + 1 {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let mut numbers = rest.split(|byte| *byte == b'.').skip(names).map(decimal);
        Some(Self {
            attempt: u32::try_from(numbers.next()??).unwrap_or(u32::MAX),
            stream_sequence: numbers.next()??,
            consumer_sequence: numbers.next()??,
            stored: numbers.next()??,
            pending: numbers.next()??,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_says_the_same() {
        let place = Place { attempt: 2, stream_sequence: 7, consumer_sequence: 5, stored: 1_732_176_000, pending: 9 };
        for subject in [
            "$JS.ACK.S.C.2.7.5.1732176000.9",
            "$JS.ACK.hub.A1B2.S.C.2.7.5.1732176000.9",
            "$JS.ACK._.A1B2.S.C.2.7.5.1732176000.9.x7",
        ] {
            assert_eq!(Place::parse(subject).as_ref(), Some(&place), "{subject}");
        }
    }

    #[test]
    fn other_subjects_are_no_acknowledgement() {
        for subject in [
            "",
            "_INBOX.a",
            "$JS.ACK",
            "$JS.ACK.S.C.2.7.5.1732176000",
            "$JS.ACK.x.S.C.2.7.5.1732176000.9",
            "$JS.ACK.S.C.2.7.5.-1.9",
            "$JS.ACK.S.C.2.7..1.9",
            "$JS.ACK.S.C.2.99999999999999999999.5.1.9",
        ] {
            assert_eq!(Place::parse(subject), None, "{subject}");
        }
    }
}

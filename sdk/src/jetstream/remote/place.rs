//! [`Place`]: what the subject that acknowledges a delivery says of it.

/// Tokens behind the prefix: the newer form has 9, one more at its end, and room for others.
const TOKENS_MAX: usize = 16;

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
    /// Reads `$JS.ACK.<stream>.<consumer>.<attempt>.<stream sequence>.<consumer sequence>.<time>.<pending>`,
    /// and the newer form, which has domain and account before the stream, and may have more at the end.
    pub(super) fn parse(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix("$JS.ACK.")?;
        // What each token is as a number, in one pass: this runs for every delivery.
        let mut numbers = [None; TOKENS_MAX];
        let mut tokens = 0;
        let mut number = Some(0u64);
        let mut length = 0;
        for byte in rest.bytes().chain([b'.']) {
            if byte == b'.' {
                *numbers.get_mut(tokens)? = number.filter(|_| length > 0);
                (tokens, number, length) = (tokens + 1, Some(0), 0);
            } else {
                length += 1;
                let digit = byte.wrapping_sub(b'0');
                number =
                    number.filter(|_| digit < 10).and_then(|number| number.checked_mul(10)?.checked_add(digit.into()));
            }
        }
        // Beside the two tokens of the prefix: 7, or 9 and more.
        let names = match tokens {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let &[attempt, stream_sequence, consumer_sequence, stored, pending] = numbers.get(names..names + 5)? else {
            return None;
        };
        Some(Self {
            attempt: u32::try_from(attempt?).unwrap_or(u32::MAX),
            stream_sequence: stream_sequence?,
            consumer_sequence: consumer_sequence?,
            stored: stored?,
            pending: pending?,
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

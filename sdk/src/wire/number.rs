//! Numbers in the tokens of a subject.

/// Digits of a number, at most. As many always fit 64 bits.
const DIGITS: usize = 19;

/// The largest number that has so many.
pub(crate) const DECIMAL_MAX: u64 = 9_999_999_999_999_999_999;

/// The number that a token is: digits, and nothing else. Subjects are read for every message, and the
/// standard library's way looks for a sign and an overflow at each digit.
pub(crate) fn decimal(token: &[u8]) -> Option<u64> {
    if token.is_empty() || token.len() > DIGITS || !token.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(token.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_that_fit() {
        for (token, number) in [("0", 0), ("007", 7), ("1732176000123", 1_732_176_000_123)] {
            assert_eq!(decimal(token.as_bytes()), Some(number));
        }
        assert_eq!(decimal(DECIMAL_MAX.to_string().as_bytes()), Some(DECIMAL_MAX));
        for token in ["", "-1", "+1", "1x", " 1", "\u{663}", "10000000000000000000"] {
            assert_eq!(decimal(token.as_bytes()), None, "{token:?}");
        }
    }
}

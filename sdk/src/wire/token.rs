//! One token of a subject that a field's value has become.

use std::fmt::Write;

/// Whether `value` can be a token as it is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("it is empty");
    }
    // `%` means something only where values are escaped.
    match value.bytes().find(|byte| !is_plain(*byte) && *byte != b'%') {
        None => Ok(()),
        Some(b'.') => Err("`.` separates tokens"),
        Some(b'*' | b'>') => Err("`*` and `>` are wildcards"),
        Some(b' ' | b'\t' | b'\r' | b'\n') => Err("white space is not legal in a subject"),
        Some(byte) if byte.is_ascii() => Err("it has a character that is not legal in a subject"),
        Some(_) => Err("only ASCII travels everywhere; the option `escape` allows the rest"),
    }
}

/// Bytes that stand for themselves: visible ASCII, but for what means something in a subject.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'>' | b'%')
}

/// Adds `value` as one token, whatever it is: a byte that is not plain becomes `%` and two upper-case
/// hexadecimal digits, and nothing at all becomes `%`.
pub(crate) fn escape(value: &str, subject: &mut String) {
    if value.is_empty() {
        subject.push('%');
    }
    for byte in value.bytes() {
        match is_plain(byte) {
            true => subject.push(char::from(byte)),
            // Writing to a `String` cannot fail.
            false => drop(write!(subject, "%{byte:02X}")),
        }
    }
}

/// The value that [`escape`] made a token of; `None` for what it cannot have made.
pub(crate) fn unescape(token: &str) -> Option<String> {
    if token == "%" {
        return Some(String::new());
    }
    let mut value = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let byte = digits.iter().try_fold(0, |sum, digit| {
                    let digit = char::from(*digit).to_digit(16)?;
                    Some(sum * 16 + u8::try_from(digit).ok()?)
                });
                value.push(byte?);
            }
            byte if is_plain(byte) => value.push(byte),
            _ => return None,
        }
    }
    let value = String::from_utf8(value).ok().filter(|value| !value.is_empty())?;
    let mut again = String::new();
    escape(&value, &mut again);
    // One spelling each, or two subjects would mean the same.
    (again == token).then_some(value)
}

/// The token of an enum's value: its name without the enum's prefix, in lower case. Empty for the
/// value that stands for none.
pub(crate) fn of_enum(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        name => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(value: &str) -> String {
        let mut token = String::new();
        escape(value, &mut token);
        token
    }

    #[test]
    fn a_value_that_could_mean_more_is_refused() {
        for value in ["", ".", "a.b", "*", ">", "a b", "a\r\nPUB evil 0\r\n\r\n", "é", "\0", "\u{7f}"] {
            assert!(check(value).is_err(), "{value:?}");
        }
        assert_eq!(check("backend-1_x$100%"), Ok(()));
    }

    #[test]
    fn escapes_are_spelt_in_one_way() {
        for (value, token) in [("", "%"), ("a.b", "a%2Eb"), ("100%", "100%25"), ("é", "%C3%A9"), ("plain", "plain")] {
            assert_eq!(escaped(value), token);
            assert_eq!(unescape(token).as_deref(), Some(value));
        }
        for token in ["", "%2", "%2e", "%61", "a%", "a.b", "%FF", "é"] {
            assert_eq!(unescape(token), None, "{token:?}");
        }
    }

    #[test]
    fn an_enum_value_loses_its_prefix() {
        assert_eq!(of_enum("MESSAGE_TYPE_TASK_DONE", "MESSAGE_TYPE_"), "task_done");
        assert_eq!(of_enum("TASK_DONE", "MESSAGE_TYPE_"), "task_done");
        assert_eq!(of_enum("MESSAGE_TYPE_UNSPECIFIED", "MESSAGE_TYPE_"), "");
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value: String) {
            let token = escaped(&value);
            prop_assert_eq!(unescape(&token), Some(value));
            prop_assert!(!token.is_empty() && token.bytes().all(|byte| is_plain(byte) || byte == b'%'));
        }

        #[test]
        fn whatever_comes_is_one_value_or_none(token: String) {
            if let Some(value) = unescape(&token) {
                prop_assert_eq!(escaped(&value), token);
            }
        }
    }
}

//! Percent-encoding of header values: brokers and clients trim, fold and refuse what is not plain text.

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `text` as printable ASCII without a space at either end; `%` starts an escape.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let last = text.len().saturating_sub(1);
    let plain = |(index, byte): (usize, u8)| match byte {
        b' ' => index != 0 && index != last,
        b'%' => false,
        _ => byte.is_ascii_graphic(),
    };
    if text.bytes().enumerate().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for (index, byte) in text.bytes().enumerate() {
        if plain((index, byte)) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(encoded)
}

/// The text again. An escape that is none stays as it is, and bytes that are not UTF-8 become U+FFFD.
pub(crate) fn decode(encoded: &str) -> Cow<'_, str> {
    if !encoded.contains('%') {
        return Cow::Borrowed(encoded);
    }
    let bytes = encoded.as_bytes();
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                text.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                text.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_comes_back_and_travels_as_printable_ascii(text: String) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(encoded.trim(), &*encoded);
            prop_assert_eq!(&*decode(&encoded), &*text);
        }

        #[test]
        fn decoding_never_fails(text: String) {
            decode(&text);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["100%", "%zz", "%4", "a%"] {
            assert_eq!(decode(text), text);
        }
    }
}

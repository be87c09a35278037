//! Headers as a log keeps them: short, and without an allocation each.

use std::borrow::Cow;

use crate::{bus::Headers, jetstream::header};

/// Names that come often: kept as their place here, and given back without an allocation.
const KNOWN: [&str; 16] = [
    header::ID,
    "traceparent",
    "tracestate",
    "baggage",
    "Content-Type",
    header::TTL,
    header::ROLLUP,
    header::EXPECTED_STREAM,
    header::EXPECTED_SEQUENCE,
    header::EXPECTED_SUBJECT_SEQUENCE,
    header::EXPECTED_SUBJECT,
    header::EXPECTED_ID,
    header::MARKER_REASON,
    "KV-Operation",
    header::SIZE,
    header::STREAM,
];

/// Stands before the place of a known name, where else the length of a name is: none is empty.
const IS_KNOWN: u8 = 0;

/// Stands before a length of four bytes.
const IS_LONG: u8 = u8::MAX;

pub(super) fn write(headers: &Headers, data: &mut Vec<u8>) {
    // A header without a name is not legal, and could not be told from a known one here.
    let named = || headers.iter().filter(|(name, _)| !name.is_empty());
    write_len(named().count(), data);
    for (name, value) in named() {
        match KNOWN.iter().position(|known| *known == name).and_then(|place| u8::try_from(place).ok()) {
            Some(place) => data.extend([IS_KNOWN, place]),
            None => write_text(name, data),
        }
        write_text(value, data);
    }
}

fn write_text(text: &str, data: &mut Vec<u8>) {
    write_len(text.len(), data);
    data.extend_from_slice(text.as_bytes());
}

fn write_len(length: usize, data: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short) if short != IS_LONG => data.push(short),
        _ => {
            data.push(IS_LONG);
            data.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
}

/// The headers that `data` begins with, and how many bytes they are there.
pub(super) fn read(data: &[u8]) -> (Headers, usize) {
    let mut headers = Headers::new();
    let length = walk(data, |name, value| headers.append(name, text(value)));
    (headers, length)
}

/// How many bytes the headers are that `data` begins with.
pub(super) fn len(data: &[u8]) -> usize {
    walk(data, |_, _| ())
}

fn walk(data: &[u8], mut found: impl FnMut(Cow<'static, str>, &[u8])) -> usize {
    let mut rest = data;
    for _ in 0..read_len(&mut rest) {
        let name = match rest.split_first() {
            Some((&IS_KNOWN, after)) => {
                let place = after.first().copied().unwrap_or_default();
                rest = after.get(1..).unwrap_or_default();
                Cow::Borrowed(KNOWN.get(usize::from(place)).copied().unwrap_or_default())
            }
            _ => Cow::Owned(text(read_text(&mut rest))),
        };
        found(name, read_text(&mut rest));
    }
    data.len() - rest.len()
}

fn text(bytes: &[u8]) -> String {
    // They were written from text.
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = read_len(rest);
    let (text, after) = rest.split_at(length.min(rest.len()));
    *rest = after;
    text
}

fn read_len(rest: &mut &[u8]) -> usize {
    match rest.split_first() {
        Some((&IS_LONG, after)) => match after.split_first_chunk() {
            Some((length, after)) => {
                *rest = after;
                u32::from_le_bytes(*length) as usize
            }
            None => 0,
        },
        Some((short, after)) => {
            *rest = after;
            usize::from(*short)
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_come_back_as_they_were(all in proptest::collection::vec(("[a-zA-Z-]{1,300}", ".{0,300}"), 1..8)) {
            let mut headers = Headers::new();
            headers.append("Nats-Msg-Id", "7");
            for (name, value) in all {
                headers.append(name, value);
            }
            let mut data = Vec::new();
            write(&headers, &mut data);
            let length = data.len();
            data.extend_from_slice(b"payload");
            prop_assert_eq!(len(&data), length);
            prop_assert_eq!(read(&data), (headers, length));
        }
    }
}

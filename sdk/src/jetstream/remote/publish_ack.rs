//! [`PublishAcks`]: what a stream says of a message that was published to it.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;

use super::api::Refusal;
use crate::{Result, jetstream::PublishAck};

/// Reads acknowledgements. Those of the same stream share its name.
#[derive(Debug, Default)]
pub(super) struct PublishAcks {
    stream: Option<Arc<str>>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(default, borrow)]
    stream: Cow<'a, str>,
    #[serde(default, rename = "seq")]
    sequence: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Refusal>,
}

impl PublishAcks {
    /// `None` for what no stream says.
    pub(super) fn read(&mut self, payload: &[u8]) -> Option<Result<PublishAck>> {
        if let Some((stream, sequence)) = plain(payload) {
            return Some(Ok(PublishAck { stream: self.name(stream), sequence, duplicate: false }));
        }
        let fields: Fields<'_> = serde_json::from_slice(payload).ok()?;
        match fields.error {
            Some(refusal) => Some(Err(refusal.status())),
            None if fields.stream.is_empty() => None,
            None => {
                let Fields { sequence, duplicate, .. } = fields;
                Some(Ok(PublishAck { stream: self.name(&fields.stream), sequence, duplicate }))
            }
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        match &self.stream {
            Some(stream) if **stream == *name => stream.clone(),
            _ => self.stream.insert(name.into()).clone(),
        }
    }
}

/// `{"stream":"NAME", "seq":1}`, which nearly all of them are: the name and the number.
fn plain(payload: &[u8]) -> Option<(&str, u64)> {
    let rest = payload.strip_prefix(br#"{"stream":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (name, rest) = rest.split_at_checked(end)?;
    if name.is_empty() || name.contains(&b'\\') {
        return None;
    }
    let digits = rest.strip_prefix(br#"", "seq":"#)?.strip_suffix(b"}")?;
    if digits.is_empty() {
        return None;
    }
    let sequence = digits.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    Some((std::str::from_utf8(name).ok()?, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn read(payload: &str) -> Option<Result<PublishAck>> {
        PublishAcks::default().read(payload.as_bytes())
    }

    #[test]
    fn an_acknowledgement_names_stream_and_place() {
        for (payload, sequence, duplicate) in [
            (r#"{"stream":"S", "seq":7}"#, 7, false),
            (r#"{"stream":"S","seq":7}"#, 7, false),
            (r#"{"stream":"S", "seq":18446744073709551615}"#, u64::MAX, false),
            (r#"{"stream":"S", "seq":7,"duplicate": true}"#, 7, true),
            (r#"{"stream":"S", "domain":"hub", "seq":7}"#, 7, false),
            (r#"{"stream":"S", "seq":7,"batch":"b","count":3}"#, 7, false),
            (r#"{"stream":"\u0053", "seq":7}"#, 7, false),
        ] {
            let ack = read(payload).expect(payload).expect(payload);
            assert_eq!(ack, PublishAck { stream: "S".into(), sequence, duplicate }, "{payload}");
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let payload =
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}"#;
        assert_eq!(read(payload).expect("a refusal").expect_err("refused").code(), Code::Aborted);
    }

    #[test]
    fn what_others_answer_is_none() {
        for payload in ["", "ok", "{}", "[]", r#"{"stream":"", "seq":1}"#, r#"{"stream":"S", "seq":x}"#, "\u{7f}"] {
            assert!(read(payload).is_none(), "{payload}");
        }
    }

    #[test]
    fn acknowledgements_of_one_stream_share_its_name() {
        let mut acks = PublishAcks::default();
        let mut stream = |payload: &str| acks.read(payload.as_bytes()).expect("an ack").expect("stored").stream;
        let (one, two) = (stream(r#"{"stream":"S", "seq":1}"#), stream(r#"{"stream":"S", "seq":2}"#));
        assert!(Arc::ptr_eq(&one, &two));
    }
}

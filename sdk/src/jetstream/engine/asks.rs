//! [`Asks`]: what a publisher asks for beside storing a message.

use super::{refusal::Refusal, ttl};
use crate::{
    bus::Message,
    jetstream::{StreamSpec, error::number, header},
};

/// What a publisher asks for beside storing a message: the headers that a stream knows.
///
/// Their names are compared as they are written, as nats-server does.
#[derive(Debug, Default)]
pub(super) struct Asks<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    pub(super) last_id: Option<&'a str>,
    pub(super) last_sequence: Option<&'a str>,
    pub(super) last_subject_sequence: Option<&'a str>,
    /// Whose last sequence `last_subject_sequence` is; `None`: the message's subject.
    pub(super) last_subject: Option<&'a str>,
    rollup: Option<&'a str>,
    ttl: Option<&'a str>,
}

/// What a message replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollup {
    Subject,
    All,
}

impl<'a> Asks<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        let mut asks = Self::default();
        for (name, value) in message.headers.iter().filter(|(_, value)| !value.is_empty()) {
            let place = match name {
                header::ID => &mut asks.id,
                header::EXPECTED_STREAM => &mut asks.stream,
                header::EXPECTED_ID => &mut asks.last_id,
                header::EXPECTED_SEQUENCE => &mut asks.last_sequence,
                header::EXPECTED_SUBJECT_SEQUENCE => &mut asks.last_subject_sequence,
                header::EXPECTED_SUBJECT => &mut asks.last_subject,
                header::ROLLUP => &mut asks.rollup,
                header::TTL => &mut asks.ttl,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        asks
    }

    /// Whether the stream can do it at all.
    pub(super) fn check(&self, spec: &StreamSpec) -> Result<(), Refusal> {
        if self.stream.is_some_and(|name| name != spec.name) {
            return Err(Refusal::new(number::STREAM_NOT_MATCHING, 400, "expected stream does not match"));
        }
        if let Some(text) = self.ttl {
            if ttl::read(text).is_none() {
                return Err(Refusal::new(number::MESSAGE_TTL_INVALID, 400, "invalid per-message TTL"));
            }
            if !spec.allow_message_ttl {
                return Err(Refusal::new(number::MESSAGE_TTL_DISABLED, 400, "per-message TTL is disabled"));
            }
        }
        if self.last_subject.is_some() && self.last_subject_sequence.is_none() {
            let why = "missing sequence for expected last sequence per subject";
            return Err(Refusal::new(number::MISSING_SUBJECT_SEQUENCE, 400, why));
        }
        Ok(())
    }

    pub(super) fn rollup(&self, spec: &StreamSpec) -> Result<Option<Rollup>, Refusal> {
        let Some(rollup) = self.rollup else { return Ok(None) };
        if !spec.allow_rollup {
            return Err(Refusal::rollup("rollup not permitted"));
        }
        match rollup.to_ascii_lowercase().as_str() {
            "sub" => Ok(Some(Rollup::Subject)),
            "all" => Ok(Some(Rollup::All)),
            _ => Err(Refusal::rollup(format!("rollup value invalid: {rollup:?}"))),
        }
    }

    /// Whether what it expects to be the last place is `last`. What is no number is never right.
    pub(super) fn is_last(expected: &str, last: u64) -> Result<(), Refusal> {
        match expected.parse::<u64>() {
            Ok(expected) if expected == last => Ok(()),
            _ => Err(Refusal::new(number::WRONG_LAST_SEQUENCE, 400, format!("wrong last sequence: {last}"))),
        }
    }
}

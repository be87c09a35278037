//! [`Refusal`]: what the engine does not do, with the numbers and words of nats-server.

use std::borrow::Cow;

use super::super::error::{self, number};
use crate::Status;

/// What the engine does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) number: u32,
    pub(super) http: u16,
    pub(super) description: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(number: u32, http: u16, description: impl Into<Cow<'static, str>>) -> Self {
        Self { number, http, description: description.into() }
    }

    pub(super) fn stream_not_found() -> Self {
        Self::new(number::STREAM_NOT_FOUND, 404, "stream not found")
    }

    pub(super) fn consumer_not_found() -> Self {
        Self::new(number::CONSUMER_NOT_FOUND, 404, "consumer not found")
    }

    /// The stream cannot be like that.
    pub(super) fn stream_config(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(number::STREAM_CONFIG_INVALID, 500, why)
    }

    /// The consumer cannot be like that.
    pub(super) fn consumer_config(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(number::CONSUMER_CREATE, 500, why)
    }

    /// The stream is full; `why` says which limit.
    pub(super) fn full(why: &'static str) -> Self {
        Self::new(number::STREAM_STORE_FAILED, 503, why)
    }

    pub(super) fn rollup(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(number::ROLLUP_FAILED, 500, why)
    }

    /// The request makes no sense.
    pub(super) fn bad_request() -> Self {
        Self::new(number::BAD_REQUEST, 400, "bad request")
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        error::refused(refusal.number, refusal.http, &refusal.description)
    }
}

//! [`Error`]: why there is no answer.

use std::{error, time::Duration};

use subwire::{Code, Status};

use crate::limits;

/// The `domain` of every error of this service.
pub const DOMAIN: &str = "ai.llm.v1";

/// The result of asking a model.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was asked.
    #[error("`{field}` is empty")]
    Empty {
        /// The field of the request.
        field: &'static str,
    },
    /// More was asked than is allowed.
    #[error("`{field}` has more than {limit_bytes} bytes")]
    TooLarge {
        /// The field of the request.
        field: &'static str,
        /// The most it may have.
        limit_bytes: usize,
    },
    /// The temperature is not one.
    #[error("a temperature of {0} is outside of {min} to {max}", min = limits::TEMPERATURE.start(), max = limits::TEMPERATURE.end())]
    Temperature(f32),
    /// There is no model of the name that the caller gave.
    #[error("there is no model `{0}`")]
    UnknownModel(String),
    /// The endpoint finds the request wrong, and says why.
    #[error("the endpoint refuses the request: {0}")]
    Refused(String),
    /// The endpoint has had too many requests from us.
    #[error("the endpoint gets too many requests")]
    RateLimited {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The endpoint cannot answer now.
    #[error("the endpoint cannot answer now: HTTP {status}")]
    Overloaded {
        /// The HTTP status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// There is no connection to the endpoint.
    #[error("the endpoint cannot be reached")]
    Unreachable(#[source] Box<dyn error::Error + Send + Sync>),
    /// The answer stopped in the middle.
    #[error("the answer of the endpoint broke off")]
    BrokenOff(#[source] Option<Box<dyn error::Error + Send + Sync>>),
    /// The endpoint does not let this service in, or is not one.
    #[error("the endpoint does not work with the settings of this service: HTTP {status}")]
    Misconfigured {
        /// The HTTP status.
        status: u16,
    },
    /// A setting makes no sense.
    #[error("{variable}: {problem}")]
    Setting {
        /// The variable of the environment.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There was no answer in time.
    #[error("the model did not answer in time")]
    Timeout,
    /// The endpoint answered something else.
    #[error("the answer of the endpoint cannot be read: {0}")]
    Malformed(String),
}

/// The one place that chooses codes.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = match &error {
            // The caller can fix these.
            Error::Empty { .. } => (Code::InvalidArgument, "EMPTY_FIELD"),
            Error::Temperature(_) => (Code::InvalidArgument, "TEMPERATURE_OUT_OF_RANGE"),
            Error::Refused(_) => (Code::InvalidArgument, "REFUSED_BY_MODEL"),
            Error::UnknownModel(_) => (Code::NotFound, "UNKNOWN_MODEL"),
            // As everywhere else for what is too big.
            Error::TooLarge { .. } => (Code::ResourceExhausted, "TEXT_TOO_LARGE"),
            Error::RateLimited { .. } => (Code::ResourceExhausted, "MODEL_RATE_LIMIT"),
            // Trying again can help.
            Error::Overloaded { .. } => (Code::Unavailable, "MODEL_OVERLOADED"),
            Error::Unreachable(_) => (Code::Unavailable, "MODEL_UNREACHABLE"),
            Error::BrokenOff(_) => (Code::Unavailable, "ANSWER_BROKE_OFF"),
            // The operator must do something first, and no caller can. Not UNAUTHENTICATED: that
            // would speak of the caller's credentials. Not INTERNAL: nothing here is broken.
            Error::Misconfigured { .. } => (Code::FailedPrecondition, "MODEL_MISCONFIGURED"),
            Error::Setting { .. } => (Code::InvalidArgument, "INVALID_SETTING"),
            Error::Timeout => (Code::DeadlineExceeded, "MODEL_TIMEOUT"),
            Error::Malformed(_) => (Code::Internal, "MALFORMED_ANSWER"),
        };
        let mut status = Self::new(code, error.to_string()).with_error_info(reason, DOMAIN, []);
        match &error {
            Error::Empty { field } => status = status.with_field_violation(*field, "must not be empty"),
            Error::Temperature(_) => status = status.with_field_violation("temperature", "must be from 0 to 2"),
            Error::TooLarge { field, limit_bytes } => {
                status = status.with_field_violation(*field, format!("must have {limit_bytes} bytes at most"));
            }
            Error::UnknownModel(_) => status = status.with_field_violation("model", "must be one that there is"),
            Error::RateLimited { retry_after: Some(delay) } | Error::Overloaded { retry_after: Some(delay), .. } => {
                status = status.with_retry_delay(*delay);
            }
            _ => {}
        }
        status.with_source(error)
    }
}

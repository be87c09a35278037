//! The error details of `google.rpc`, as protobuf messages.
//!
//! Attach one with [`Status::with_details`](crate::Status::with_details) and read it back with
//! [`Status::details`](crate::Status::details). Field numbers are those of
//! `google/rpc/error_details.proto` and `google/rpc/status.proto`; AIP-193 says which to use when.

use std::collections::BTreeMap;

use prost::Name;
use prost_types::{Any, Duration};

/// An error as it travels: code, message, details.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// The number of the [`Code`](crate::Code).
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For developers, in English.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What went wrong, for programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// The cause of an error, stable enough to match on. Exactly one on every error this crate makes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorInfo {
    /// Why, in `UPPER_SNAKE_CASE`; unique within `domain`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Who says so: `subwire` for this crate, else the service.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// The facts that the message mentions.
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
}

/// When trying again can help.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RetryInfo {
    /// How long to wait first.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<Duration>,
}

/// For the developers of the service; never sent unless attached.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DebugInfo {
    /// Where it happened.
    #[prost(string, repeated, tag = "1")]
    pub stack_entries: Vec<String>,
    /// Whatever else helps.
    #[prost(string, tag = "2")]
    pub detail: String,
}

/// Which quota ran out.
#[derive(Clone, PartialEq, prost::Message)]
pub struct QuotaFailure {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<quota_failure::Violation>,
}

/// Inside [`QuotaFailure`].
pub mod quota_failure {
    /// One quota that ran out.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Violation {
        /// Whose quota.
        #[prost(string, tag = "1")]
        pub subject: String,
        /// How it ran out.
        #[prost(string, tag = "2")]
        pub description: String,
    }
}

/// What must be true first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreconditionFailure {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub violations: Vec<precondition_failure::Violation>,
}

/// Inside [`PreconditionFailure`].
pub mod precondition_failure {
    /// One condition that does not hold.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Violation {
        /// The kind of condition.
        #[prost(string, tag = "1")]
        pub r#type: String,
        /// What it is about.
        #[prost(string, tag = "2")]
        pub subject: String,
        /// How to make it hold.
        #[prost(string, tag = "3")]
        pub description: String,
    }
}

/// Which fields of the request are wrong.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BadRequest {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<bad_request::FieldViolation>,
}

/// Inside [`BadRequest`].
pub mod bad_request {
    /// One field that is wrong.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct FieldViolation {
        /// The path of the field: `parent.child[2].name`.
        #[prost(string, tag = "1")]
        pub field: String,
        /// Why it is wrong.
        #[prost(string, tag = "2")]
        pub description: String,
        /// Why, in `UPPER_SNAKE_CASE`.
        #[prost(string, tag = "3")]
        pub reason: String,
        /// The same for a person, in their language.
        #[prost(message, optional, tag = "4")]
        pub localized_message: Option<super::LocalizedMessage>,
    }
}

/// How to find the request in the logs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestInfo {
    /// What the service calls the request.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// What the service wants back with a question.
    #[prost(string, tag = "2")]
    pub serving_data: String,
}

/// Which resource the error is about.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceInfo {
    /// What kind of thing.
    #[prost(string, tag = "1")]
    pub resource_type: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub resource_name: String,
    /// Whose it is.
    #[prost(string, tag = "3")]
    pub owner: String,
    /// What happened to it.
    #[prost(string, tag = "4")]
    pub description: String,
}

/// Where to read more.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Help {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub links: Vec<help::Link>,
}

/// Inside [`Help`].
pub mod help {
    /// One page.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Link {
        /// What is there.
        #[prost(string, tag = "1")]
        pub description: String,
        /// Where it is.
        #[prost(string, tag = "2")]
        pub url: String,
    }
}

/// A message for a person, in their language.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LocalizedMessage {
    /// The language, as in BCP 47.
    #[prost(string, tag = "1")]
    pub locale: String,
    /// The text.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `Any` carries its type as a URL, so each message says its name.
macro_rules! named {
    ($($message:ident),+ $(,)?) => {$(
        impl Name for $message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = "google.rpc";

            fn full_name() -> String {
                concat!("google.rpc.", stringify!($message)).to_owned()
            }

            fn type_url() -> String {
                concat!("type.googleapis.com/google.rpc.", stringify!($message)).to_owned()
            }
        }
    )+};
}

named!(
    Status,
    ErrorInfo,
    RetryInfo,
    DebugInfo,
    QuotaFailure,
    PreconditionFailure,
    BadRequest,
    RequestInfo,
    ResourceInfo,
    Help,
    LocalizedMessage,
);

//! From JetStream's error numbers to a [`Status`]: one table for both brokers.

use self::number as n;
use crate::{Code, Executed, Status, status::reason};

/// Numbers of nats-server (`server/errors.json`) that mean something to us, or that the engine gives.
pub(crate) mod number {
    /// Something in the request cannot be.
    pub(crate) const BAD_REQUEST: u32 = 10_003;
    pub(crate) const CLUSTER_NOT_ACTIVE: u32 = 10_006;
    pub(crate) const CLUSTER_NOT_AVAILABLE: u32 = 10_008;
    pub(crate) const CLUSTER_NOT_LEADER: u32 = 10_009;
    /// Something in the consumer's spec cannot be: `description` says what.
    pub(crate) const CONSUMER_CREATE: u32 = 10_012;
    pub(crate) const CONSUMER_NAME_EXISTS: u32 = 10_013;
    pub(crate) const CONSUMER_NOT_FOUND: u32 = 10_014;
    pub(crate) const INSUFFICIENT_RESOURCES: u32 = 10_023;
    pub(crate) const NO_MESSAGE: u32 = 10_037;
    pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u32 = 10_039;
    pub(crate) const MEMORY_EXCEEDED: u32 = 10_028;
    pub(crate) const SEQUENCE_NOT_FOUND: u32 = 10_043;
    pub(crate) const STORAGE_EXCEEDED: u32 = 10_047;
    pub(crate) const STREAM_CONFIG_INVALID: u32 = 10_052;
    pub(crate) const STREAM_MESSAGE_TOO_LARGE: u32 = 10_054;
    /// There is no such message, or it may not be deleted: `description` says which.
    pub(crate) const DELETE_FAILED: u32 = 10_057;
    pub(crate) const STREAM_NAME_EXISTS: u32 = 10_058;
    pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
    pub(crate) const STREAM_NOT_MATCHING: u32 = 10_060;
    pub(crate) const STREAM_OVERLAP: u32 = 10_065;
    pub(crate) const WRONG_LAST_ID: u32 = 10_070;
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10_071;
    pub(crate) const REPLICAS_NOT_SUPPORTED: u32 = 10_074;
    pub(crate) const NOT_ENABLED: u32 = 10_076;
    /// A limit of the stream: `description` says which.
    pub(crate) const STREAM_STORE_FAILED: u32 = 10_077;
    pub(crate) const PULL_REQUIRES_ACK: u32 = 10_084;
    pub(crate) const HEADERS_TOO_LARGE: u32 = 10_097;
    pub(crate) const WORK_QUEUE_UNFILTERED: u32 = 10_099;
    pub(crate) const WORK_QUEUE_OVERLAP: u32 = 10_100;
    pub(crate) const WORK_QUEUE_DELIVER_ALL: u32 = 10_101;
    pub(crate) const SEALED: u32 = 10_109;
    pub(crate) const ROLLUP_FAILED: u32 = 10_111;
    pub(crate) const BACKOFF_TOO_LONG: u32 = 10_116;
    pub(crate) const STREAM_OFFLINE: u32 = 10_118;
    pub(crate) const CONSUMER_OFFLINE: u32 = 10_119;
    pub(crate) const FILTERS_OVERLAP: u32 = 10_138;
    pub(crate) const CONSUMER_EXISTS: u32 = 10_148;
    pub(crate) const CONSUMER_DOES_NOT_EXIST: u32 = 10_149;
    pub(crate) const MESSAGE_TTL_INVALID: u32 = 10_165;
    pub(crate) const MESSAGE_TTL_DISABLED: u32 = 10_166;
    pub(crate) const MAXIMUM_MESSAGES: u32 = 10_167;
    pub(crate) const BATCH_DISABLED: u32 = 10_174;
    pub(crate) const BATCH_INCOMPLETE: u32 = 10_176;
    pub(crate) const BATCH_HEADER: u32 = 10_177;
    pub(crate) const MISSING_SUBJECT_SEQUENCE: u32 = 10_193;
    pub(crate) const BATCH_DUPLICATE: u32 = 10_201;
    pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10_158;
    pub(crate) const WRONG_LAST_SEQUENCE_CONSTANT: u32 = 10_164;
}

/// The status of what JetStream refused. `http` is its coarse code (400, 404, 503 ...).
///
/// JetStream answered, so nothing was done: not executed.
pub(crate) fn refused(error: u32, http: u16, description: &str) -> Status {
    let (code, reason) = match error {
        n::STREAM_NOT_FOUND => (Code::NotFound, reason::STREAM_NOT_FOUND),
        n::CONSUMER_NOT_FOUND | n::CONSUMER_DOES_NOT_EXIST => (Code::NotFound, reason::CONSUMER_NOT_FOUND),
        n::NO_MESSAGE | n::SEQUENCE_NOT_FOUND => (Code::NotFound, reason::MESSAGE_NOT_FOUND),
        n::STREAM_NAME_EXISTS => (Code::AlreadyExists, reason::STREAM_EXISTS),
        n::CONSUMER_NAME_EXISTS | n::CONSUMER_EXISTS => (Code::AlreadyExists, reason::CONSUMER_EXISTS),
        n::WRONG_LAST_SEQUENCE | n::WRONG_LAST_SEQUENCE_CONSTANT | n::WRONG_LAST_ID => {
            (Code::Aborted, reason::WRONG_SEQUENCE)
        }
        n::STREAM_MESSAGE_TOO_LARGE | n::HEADERS_TOO_LARGE => (Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE),
        n::INSUFFICIENT_RESOURCES
        | n::STORAGE_EXCEEDED
        | n::MEMORY_EXCEEDED
        | n::STREAM_STORE_FAILED
        | n::MAXIMUM_MESSAGES => (Code::ResourceExhausted, reason::STREAM_FULL),
        n::CLUSTER_NOT_ACTIVE | n::CLUSTER_NOT_AVAILABLE | n::CLUSTER_NOT_LEADER | n::DUPLICATE_IN_PROCESS => {
            (Code::Unavailable, reason::STREAM_UNAVAILABLE)
        }
        n::NOT_ENABLED | n::NOT_ENABLED_FOR_ACCOUNT => (Code::FailedPrecondition, reason::NO_JETSTREAM),
        n::STREAM_OFFLINE | n::CONSUMER_OFFLINE => (Code::Unavailable, reason::STREAM_UNAVAILABLE),
        // The stream would have to be another one.
        n::BATCH_DISABLED | n::MESSAGE_TTL_DISABLED | n::ROLLUP_FAILED | n::SEALED => {
            (Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM)
        }
        n::DELETE_FAILED if description.contains("not permitted") => {
            (Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM)
        }
        n::DELETE_FAILED => (Code::NotFound, reason::MESSAGE_NOT_FOUND),
        // The server calls these its own fault, and they are the caller's.
        n::CONSUMER_CREATE | n::STREAM_CONFIG_INVALID | n::REPLICAS_NOT_SUPPORTED => {
            (Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM)
        }
        _ => match http {
            404 => (Code::NotFound, reason::REFUSED_BY_JETSTREAM),
            408 | 503 => (Code::Unavailable, reason::STREAM_UNAVAILABLE),
            429 => (Code::ResourceExhausted, reason::REFUSED_BY_JETSTREAM),
            500 => (Code::Internal, reason::REFUSED_BY_JETSTREAM),
            _ => (Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM),
        },
    };
    let hint = match error {
        n::STREAM_NOT_FOUND => ": apply the specs of its schema first",
        n::BATCH_DISABLED => ": set allow_atomic_publish on the stream",
        _ => "",
    };
    let message = format!("JetStream refused: {description} ({error}){hint}");
    Status::made_here(code, reason, message).with_executed(Executed::No)
}

/// The status of a publish on a subject that nobody stores.
pub(crate) fn no_stream(subject: &str) -> Status {
    let message = format!(
        "no stream takes the subject {subject}: apply the specs of its schema first, or use Bus::publish for what is not \
         stored"
    );
    Status::made_here(Code::NotFound, reason::NO_STREAM, message).with_executed(Executed::No)
}

/// The status of a future that is asked again after it has answered.
pub(super) fn polled_again() -> Status {
    Status::internal("the acknowledgement was taken already")
}

//! The `reason` of every error that this crate makes, beside the domain
//! [`ERROR_DOMAIN`](crate::ERROR_DOMAIN): for programs to match on.

/// The caller stopped waiting, or the server stopped before the call had ended.
pub const CANCELLED: &str = "CANCELLED";
/// The connection to the broker broke while the call was under way.
pub const CONNECTION_LOST: &str = "CONNECTION_LOST";
/// The time was up.
pub const DEADLINE: &str = "DEADLINE";
/// There was no connection to the broker, so nothing was sent.
pub const DISCONNECTED: &str = "DISCONNECTED";
/// The request came when its time was up, and was not started.
pub const EXPIRED: &str = "EXPIRED";
/// The other side sent more than it had credit for.
pub const FLOW_CONTROL: &str = "FLOW_CONTROL";
/// The handler panicked.
pub const HANDLER_PANIC: &str = "HANDLER_PANIC";
/// A setting is misspelt, impossible, or contradicts another.
pub const INVALID_CONFIG: &str = "INVALID_CONFIG";
/// The other side sent a frame that cannot be decoded.
pub const INVALID_FRAME: &str = "INVALID_FRAME";
/// A metadata name or value is not legal.
pub const INVALID_METADATA: &str = "INVALID_METADATA";
/// A subject is not legal.
pub const INVALID_SUBJECT: &str = "INVALID_SUBJECT";
/// A timeout is not a whole number of microseconds above 0.
pub const INVALID_TIMEOUT: &str = "INVALID_TIMEOUT";
/// The server has as many calls as it takes.
pub const IN_FLIGHT_LIMIT: &str = "IN_FLIGHT_LIMIT";
/// The request cannot be decoded.
pub const MALFORMED_REQUEST: &str = "MALFORMED_REQUEST";
/// The response cannot be decoded.
pub const MALFORMED_RESPONSE: &str = "MALFORMED_RESPONSE";
/// Nobody listens on the subject.
pub const NO_RESPONDERS: &str = "NO_RESPONDERS";
/// The other side of the call has gone silent.
pub const PEER_LOST: &str = "PEER_LOST";
/// The broker does not let this client use the subject.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
/// A part of the stream was lost on the way.
pub const STREAM_GAP: &str = "STREAM_GAP";
/// The request is over a limit.
pub const TOO_LARGE_REQUEST: &str = "TOO_LARGE_REQUEST";
/// The response is over a limit.
pub const TOO_LARGE_RESPONSE: &str = "TOO_LARGE_RESPONSE";
/// The broker does not accept the credentials.
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
/// The service has no such method.
pub const UNKNOWN_METHOD: &str = "UNKNOWN_METHOD";
/// One side streams where the other does not: their schemas differ.
pub const WRONG_KIND: &str = "WRONG_KIND";

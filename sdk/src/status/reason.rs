//! The `reason` of every error that this crate makes, beside the domain
//! [`ERROR_DOMAIN`](crate::ERROR_DOMAIN): for programs to match on.

/// The caller stopped waiting, or the server stopped before the call had ended.
pub const CANCELLED: &str = "CANCELLED";
/// The connection to the broker broke while the call was under way.
pub const CONNECTION_LOST: &str = "CONNECTION_LOST";
/// There is a consumer of that name, and it is another.
pub const CONSUMER_EXISTS: &str = "CONSUMER_EXISTS";
/// There is no such consumer: it was never made, or is deleted.
pub const CONSUMER_NOT_FOUND: &str = "CONSUMER_NOT_FOUND";
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
/// The key has a value already.
pub const KEY_EXISTS: &str = "KEY_EXISTS";
/// The payload is not what the schema of its subject says.
pub const MALFORMED_EVENT: &str = "MALFORMED_EVENT";
/// The request cannot be decoded.
pub const MALFORMED_REQUEST: &str = "MALFORMED_REQUEST";
/// The response cannot be decoded.
pub const MALFORMED_RESPONSE: &str = "MALFORMED_RESPONSE";
/// There is no message in that place of the stream.
pub const MESSAGE_NOT_FOUND: &str = "MESSAGE_NOT_FOUND";
/// The broker has no streams: it runs without JetStream, or this account may not use it.
pub const NO_JETSTREAM: &str = "NO_JETSTREAM";
/// Nobody listens on the subject.
pub const NO_RESPONDERS: &str = "NO_RESPONDERS";
/// No stream stores the subject.
pub const NO_STREAM: &str = "NO_STREAM";
/// The object was replaced or deleted while it was read.
pub const OBJECT_CHANGED: &str = "OBJECT_CHANGED";
/// Parts of the object are not there.
pub const OBJECT_INCOMPLETE: &str = "OBJECT_INCOMPLETE";
/// The store has no object of that name.
pub const OBJECT_NOT_FOUND: &str = "OBJECT_NOT_FOUND";
/// The other side of the call has gone silent.
pub const PEER_LOST: &str = "PEER_LOST";
/// The broker does not let this client use the subject.
pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
/// JetStream refused, for a reason that its text tells.
pub const REFUSED_BY_JETSTREAM: &str = "REFUSED_BY_JETSTREAM";
/// A subscriber read too slowly, and messages were dropped.
pub const SLOW_CONSUMER: &str = "SLOW_CONSUMER";
/// What an object was to be read from has failed.
pub const SOURCE_FAILED: &str = "SOURCE_FAILED";
/// There is a stream of that name, and it is another.
pub const STREAM_EXISTS: &str = "STREAM_EXISTS";
/// The stream, its disk or its account is full.
pub const STREAM_FULL: &str = "STREAM_FULL";
/// A part of the stream was lost on the way.
pub const STREAM_GAP: &str = "STREAM_GAP";
/// There is no such stream: it was never made, or is deleted.
pub const STREAM_NOT_FOUND: &str = "STREAM_NOT_FOUND";
/// The stream has no leader at the moment, or its cluster no quorum.
pub const STREAM_UNAVAILABLE: &str = "STREAM_UNAVAILABLE";
/// The message is larger than the stream takes: one in JetStream, or one of requests.
pub const TOO_LARGE_MESSAGE: &str = "TOO_LARGE_MESSAGE";
/// The request is over a limit.
pub const TOO_LARGE_REQUEST: &str = "TOO_LARGE_REQUEST";
/// The response is over a limit.
pub const TOO_LARGE_RESPONSE: &str = "TOO_LARGE_RESPONSE";
/// The broker does not accept the credentials.
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
/// The service has no such method.
pub const UNKNOWN_METHOD: &str = "UNKNOWN_METHOD";
/// The change would delete messages that are stored.
pub const WOULD_LOSE_DATA: &str = "WOULD_LOSE_DATA";
/// The bytes of the object are not those that were put.
pub const WRONG_DIGEST: &str = "WRONG_DIGEST";
/// One side streams where the other does not: their schemas differ.
pub const WRONG_KIND: &str = "WRONG_KIND";
/// The stream has gone on: another message was there first.
pub const WRONG_SEQUENCE: &str = "WRONG_SEQUENCE";

//! The headers that JetStream knows, by its own names (ADR-8, ADR-43, ADR-50 and nats-server).

/// What makes it the same message when it is published twice.
pub(crate) const ID: &str = "Nats-Msg-Id";

/// Store it only in this stream.
pub(crate) const EXPECTED_STREAM: &str = "Nats-Expected-Stream";
/// Store it only behind the message with this id.
pub(crate) const EXPECTED_ID: &str = "Nats-Expected-Last-Msg-Id";
/// Store it only if this is the last place of the stream.
pub(crate) const EXPECTED_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
/// Store it only if this is the last place of the subject.
pub(crate) const EXPECTED_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// Which subject that is, if it is not its own.
pub(crate) const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// How long it is kept.
pub(crate) const TTL: &str = "Nats-TTL";
/// Which earlier messages it replaces: those of its subject, or all.
pub(crate) const ROLLUP: &str = "Nats-Rollup";
/// Those of its subject.
pub(crate) const ROLLUP_SUBJECT: &str = "sub";
/// Why the server itself has put a marker where a message was.
pub(crate) const MARKER_REASON: &str = "Nats-Marker-Reason";

/// Which batch it belongs to, its place there, and whether it is the last of it.
pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
pub(crate) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
pub(crate) const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Where a message lies that is handed out directly, or published again.
pub(crate) const STREAM: &str = "Nats-Stream";
pub(crate) const SUBJECT: &str = "Nats-Subject";
pub(crate) const SEQUENCE: &str = "Nats-Sequence";
/// When it was stored there.
pub(crate) const TIME: &str = "Nats-Time-Stamp";
/// Where the one before it of its subject lies.
pub(crate) const LAST_SEQUENCE: &str = "Nats-Last-Sequence";
/// The size of a payload that is left out.
pub(crate) const SIZE: &str = "Nats-Msg-Size";

/// How many messages a consumer has handed out, in what it says while it has none.
pub(crate) const HANDED_OUT: &str = "Nats-Last-Consumer";

/// What a pull that has ended had left to hand out.
pub(crate) const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

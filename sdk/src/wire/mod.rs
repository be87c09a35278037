//! The bytes on the wire, as PROTOCOL.md describes them: pure functions, no I/O.

pub(crate) mod call_id;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod number;
pub(crate) mod pattern;
pub(crate) mod percent;
pub(crate) mod reply;
pub(crate) mod status;
pub(crate) mod subject;
pub(crate) mod token;

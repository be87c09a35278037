//! [`MessageLimit`]: how large the messages of one direction may be.

use crate::{Code, Kind, Result, Status, message::Batch, status::reason};

/// How large the messages of one direction of a call may be, to one of its sides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageLimit {
    side: Side,
    what: &'static str,
    reason: &'static str,
    bytes: usize,
}

/// Whose `max_message_bytes` it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Channel,
    Server,
}

impl MessageLimit {
    pub(crate) fn requests(side: Side, kind: Kind, bytes: usize) -> Self {
        // One that is all there is to ask keeps the handler from being started; one of many may come later.
        let reason = match kind.streams_requests() {
            true => reason::TOO_LARGE_MESSAGE,
            false => reason::TOO_LARGE_REQUEST,
        };
        Self { side, what: "request", reason, bytes }
    }

    pub(crate) fn responses(side: Side, bytes: usize) -> Self {
        Self { side, what: "response", reason: reason::TOO_LARGE_RESPONSE, bytes }
    }

    /// # Errors
    /// `RESOURCE_EXHAUSTED` for a message of more bytes, with both sizes.
    pub(crate) fn check(&self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let Self { side, what, reason, bytes: limit } = *self;
        let side = match side {
            Side::Channel => "channel",
            Side::Server => "server",
        };
        let message =
            format!("a {what} is {bytes} bytes and the {side} takes {limit}: raise its max_message_bytes or send less");
        Err(Status::made_here(Code::ResourceExhausted, reason, message))
    }

    /// Leaves in a batch what comes before the first message that is too large, which is the error.
    pub(crate) fn cut(&self, batch: &mut Batch) -> Result<()> {
        match batch.bytes() > self.bytes {
            true => batch.truncate_before(|message_bytes| self.check(message_bytes)),
            false => Ok(()),
        }
    }
}

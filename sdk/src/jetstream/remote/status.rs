//! [`Notice`]: what the server says of a pull.

use crate::{
    Code, Status,
    bus::message::{DESCRIPTION, Message},
    jetstream::{
        error::{self, number},
        header,
    },
    status::reason,
};

/// What the server says of a pull: a status, and words (ADR-13).
#[derive(Debug)]
pub(super) enum Notice {
    /// It waits. So many messages its consumer has handed out, if it says so.
    Alive(Option<u64>),
    /// It has ended, with so many messages left of it.
    Ended(Option<usize>),
    /// It has ended because the next message is larger than the bytes that are left of it.
    TooLarge(Option<usize>),
    /// The consumer takes only pulls of so many messages, or bytes, or for a shorter time.
    LimitMessages(usize),
    LimitBytes(usize),
    LimitTime,
    /// It is lost: the consumer moves to another server, or nobody answers for it.
    Interrupted,
    /// The consumer is gone.
    Gone(Status),
    /// The consumer cannot be read like this.
    Refused(Status),
}

/// Reads the status of a message that is no message of the stream.
pub(super) fn notice(status: u16, message: &Message) -> Notice {
    let words = message.headers.get(DESCRIPTION).unwrap_or_default();
    let left = message.headers.get(header::PENDING_MESSAGES).and_then(|left| left.parse().ok());
    let limit = |prefix: &str| words.strip_prefix(prefix)?.trim_start().parse().ok();
    match (status, words) {
        (100, _) => Notice::Alive(message.headers.get(header::HANDED_OUT).and_then(|count| count.parse().ok())),
        (404 | 408, _) | (409, "Batch Completed") => Notice::Ended(left),
        (409, "Message Size Exceeds MaxBytes") => Notice::TooLarge(left),
        (409, "Consumer Deleted") => Notice::Gone(error::refused(number::CONSUMER_NOT_FOUND, 404, "consumer deleted")),
        (409, "Consumer is push based") => {
            let message = "a consumer that pushes cannot be read by pulls";
            Notice::Refused(Status::made_here(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM, message))
        }
        (409, _) => match (limit("Exceeded MaxRequestBatch of"), limit("Exceeded MaxRequestMaxBytes of")) {
            (Some(messages), _) => Notice::LimitMessages(messages),
            (_, Some(bytes)) => Notice::LimitBytes(bytes),
            _ if words.starts_with("Exceeded MaxRequestExpires") => Notice::LimitTime,
            // Leadership Change, Server Shutdown, Exceeded MaxWaiting, and what later servers say.
            _ => Notice::Interrupted,
        },
        (400, _) => Notice::Refused(error::refused(number::BAD_REQUEST, 400, words)),
        _ => Notice::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;

    fn told(status: u16, words: &str, headers: &[(&'static str, &str)]) -> String {
        let mut message = Message::new(Subject::from_static("_INBOX.a"), "").with_header(DESCRIPTION, words);
        for (name, value) in headers {
            message.headers.append(*name, *value);
        }
        let notice = notice(status, &message);
        format!("{notice:?}").split_inclusive(')').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_the_server_says_is_understood() {
        let left = [("Nats-Pending-Messages", "7"), ("Nats-Pending-Bytes", "100")];
        for (status, words, headers, expected) in [
            (100, "Idle Heartbeat", &[][..], "Alive(None"),
            (100, "Idle Heartbeat", &[("Nats-Last-Consumer", "5")], "Alive(Some(5)"),
            (404, "No Messages", &[], "Ended(None"),
            (408, "Request Timeout", &left, "Ended(Some(7)"),
            (409, "Batch Completed", &left, "Ended(Some(7)"),
            (409, "Message Size Exceeds MaxBytes", &left, "TooLarge(Some(7)"),
            (409, "Exceeded MaxRequestBatch of 10", &[], "LimitMessages(10)"),
            (409, "Exceeded MaxRequestMaxBytes of 1000", &[], "LimitBytes(1000)"),
            (409, "Exceeded MaxRequestExpires of 5s", &[], "LimitTime"),
            (409, "Exceeded MaxWaiting", &[], "Interrupted"),
            (409, "Leadership Change", &left, "Interrupted"),
            (409, "Server Shutdown", &[], "Interrupted"),
            (409, "Something New", &[], "Interrupted"),
            (503, "", &[], "Interrupted"),
            (599, "", &[], "Interrupted"),
        ] {
            let told = told(status, words, headers);
            assert!(told.starts_with(expected), "{status} {words}: {told}");
        }
        assert!(matches!(notice_of(409, "Consumer Deleted"), Notice::Gone(status) if status.code() == Code::NotFound));
        assert!(matches!(notice_of(409, "Consumer is push based"), Notice::Refused(_)));
        assert!(matches!(notice_of(400, "Bad Request - no"), Notice::Refused(_)));
    }

    fn notice_of(status: u16, words: &str) -> Notice {
        notice(status, &Message::new(Subject::from_static("_INBOX.a"), "").with_header(DESCRIPTION, words))
    }
}

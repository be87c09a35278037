//! [`ReplyTo`]: the reply subject of a call, which says who calls, which call, and how long it may take.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    call_id::CallId,
    number::{DECIMAL_MAX, decimal},
    subject::Subject,
};

/// What inboxes begin with. Nothing else gets an answer: a reply subject is chosen by the caller and
/// published to with the rights of the service.
pub(crate) const INBOX: &str = "_INBOX";

/// `<inbox>.<call id>.<timeout in us, 0 for none>.<sent, in ms since 1970>`
///
/// The deadline rides on the reply subject because every request has one anyway: a header of its
/// own costs a map and three allocations at the receiver. PROTOCOL.md has the header for callers
/// that cannot choose their reply subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplyTo<'a> {
    pub(crate) inbox: &'a str,
    pub(crate) call: CallId,
    pub(crate) timeout: Option<Duration>,
    pub(crate) sent_ms: u64,
}

impl ReplyTo<'_> {
    pub(crate) fn subject(&self) -> Subject {
        let timeout_us = self
            .timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_micros()).unwrap_or(DECIMAL_MAX).clamp(1, DECIMAL_MAX));
        let mut text = String::with_capacity(self.inbox.len() + 64);
        text.push_str(self.inbox);
        text.push('.');
        text.push_str(self.call.as_str());
        for number in [timeout_us, self.sent_ms] {
            text.push('.');
            text.push_str(itoa::Buffer::new().format(number));
        }
        Subject::trusted(text)
    }
}

impl<'a> ReplyTo<'a> {
    /// `None` for a subject of another form: a caller that knows nothing of this protocol.
    pub(crate) fn parse(subject: &'a str) -> Option<Self> {
        let (subject, sent_ms) = last_number(subject)?;
        let (subject, timeout_us) = last_number(subject)?;
        let (inbox, call) = subject.rsplit_once('.')?;
        let timeout = (timeout_us > 0).then(|| Duration::from_micros(timeout_us));
        Some(Self { inbox, call: CallId::parse(call)?, timeout, sent_ms })
    }
}

/// The number behind the last dot, and what stands before that.
fn last_number(text: &str) -> Option<(&str, u64)> {
    let (rest, digits) = text.rsplit_once('.')?;
    Some((rest, decimal(digits.as_bytes())?))
}

/// The call that a message on one of our own subjects belongs to: the token behind `prefix.`
pub(crate) fn call_of(subject: &str, prefix: &str) -> Option<CallId> {
    let token = subject.strip_prefix(prefix)?.strip_prefix('.')?;
    CallId::parse(token.split_once('.').map_or(token, |(token, _)| token))
}

/// Whether a service may answer there.
pub(crate) fn is_inbox(subject: &str) -> bool {
    subject.split_once('.').is_some_and(|(first, rest)| first.starts_with(INBOX) && !rest.is_empty())
}

/// A new inbox prefix, which nobody can guess.
pub(crate) fn new_inbox(prefix: &str) -> String {
    format!("{prefix}.{}", CallId::random())
}

/// The wall clock, for the one thing it is good for here: telling a request that waited somewhere.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_subject_comes_back() {
        let call = CallId::random();
        for timeout in [
            None,
            Some(Duration::from_micros(1)),
            Some(Duration::from_secs(3600)),
            Some(Duration::from_micros(DECIMAL_MAX)),
        ] {
            let reply = ReplyTo { inbox: "_INBOX.x.y", call, timeout, sent_ms: 1_732_176_000_123 };
            let subject = reply.subject();
            assert_eq!(ReplyTo::parse(subject.as_str()), Some(reply));
            assert_eq!(call_of(subject.as_str(), "_INBOX.x.y"), Some(call));
            assert!(is_inbox(subject.as_str()));
        }
    }

    #[test]
    fn other_reply_subjects_are_foreign() {
        for subject in [
            "",
            "_INBOX.abc",
            "_INBOX.abc.def",
            "_INBOX.a.b.-1.5",
            "_INBOX.a.AAAAAAAAAAAAAAAAAAAAAA.1.x",
            "_INBOX.a.AAAAAAAAAAAAAAAAAAAAAA.1.99999999999999999999",
        ] {
            assert_eq!(ReplyTo::parse(subject), None, "{subject}");
        }
    }

    #[test]
    fn only_an_inbox_gets_an_answer() {
        for subject in ["$JS.API.STREAM.DELETE.X", "svc.ai.llm.v1.infer", "_INBOX", "", "INBOX.a"] {
            assert!(!is_inbox(subject), "{subject}");
        }
    }
}

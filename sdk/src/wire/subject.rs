//! [`Subject`]: where a message goes.

use std::{
    borrow::{Borrow, Cow},
    fmt,
};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{Code, Result, Status, limits, status::reason};

/// Where a message goes: tokens with dots between them. A clone is one atomic increment.
///
/// NATS itself refuses little (traps: `*`, `>` and empty tokens pass a publish), so it is checked here,
/// before a byte is written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(ByteString);

impl Subject {
    /// A subject to publish to.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if it is empty, over 512 bytes, has an empty token, a wildcard, white
    /// space or a control character.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text)?;
        match text.split('.').find(|token| matches!(*token, "*" | ">")) {
            Some(wildcard) => {
                Err(invalid(&text, &format!("`{wildcard}` is a wildcard, which only a subscription takes")))
            }
            None => Ok(Self(text.into())),
        }
    }

    /// A subject to subscribe to: a token may be `*`, the last may be `>`.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for the wildcards.
    pub fn pattern(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        check(&text)?;
        let mut tokens = text.split('.').rev();
        tokens.next();
        match tokens.any(|token| token == ">") {
            true => Err(invalid(&text, "`>` stands for the rest, so it must be the last token")),
            false => Ok(Self(text.into())),
        }
    }

    /// A subject that codegen or this crate has checked.
    pub(crate) const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// A subject put together from parts that were checked, or that a broker has delivered on.
    pub(crate) fn trusted(text: String) -> Self {
        Self(text.into())
    }

    /// A subject that a broker writes in its answer. Others may publish to what we would not, but to nothing
    /// that ends a line of the protocol.
    pub(crate) fn told(text: String) -> Option<Self> {
        (!text.is_empty() && !text.chars().any(ends_subject)).then(|| Self(text.into()))
    }

    /// A subject put together from tokens that were checked, but may be too long together.
    pub(crate) fn checked_length(text: &str) -> Result<Self> {
        if text.len() > limits::SUBJECT_BYTES {
            check(text)?
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject that `part`, a piece of this one's text, is. Shares the text.
    pub(crate) fn slice(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part))
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

/// For maps: it hashes and compares as its text.
impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

fn check(text: &str) -> Result<()> {
    if text.len() > limits::SUBJECT_BYTES {
        return Err(invalid(
            &text.chars().take(40).collect::<String>(),
            &format!("it is {} bytes long and the limit is {}", text.len(), limits::SUBJECT_BYTES),
        ));
    }
    if text.split('.').any(str::is_empty) {
        return Err(invalid(text, "a token is empty"));
    }
    if text.chars().any(ends_subject) {
        return Err(invalid(text, "white space and control characters are not legal"));
    }
    Ok(())
}

fn ends_subject(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// Checks a namespace: tokens of `[A-Za-z0-9_-]`.
pub(crate) fn check_namespace(namespace: &str) -> Result<()> {
    let legal =
        |token: &str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if namespace.len() <= 64 && namespace.split('.').all(legal) {
        return Ok(());
    }
    Err(invalid(namespace, "a namespace is tokens of letters, digits, `_` and `-`, at most 64 bytes"))
}

fn invalid(text: &str, why: &str) -> Status {
    Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, format!("subject {text:?} is not legal: {why}"))
}

impl From<Subject> for Cow<'static, str> {
    fn from(subject: Subject) -> Self {
        Cow::Owned(subject.as_str().to_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_hurt_the_broker_is_refused() {
        let long = "x".repeat(513);
        for text in
            ["", ".", "a.", ".a", "a..b", "a b", "a\r\nPUB evil 0\r\n\r\n", "a.*", "a.>", "a\u{7f}", "a\0", &long]
        {
            let status = Subject::new(text).expect_err(text);
            assert_eq!(status.code(), Code::InvalidArgument, "{text:?}");
        }
        assert!(Subject::new("svc.ai.llm.v1.infer").is_ok());
    }

    #[test]
    fn a_pattern_may_have_wildcards_in_their_places() {
        for text in ["*", ">", "a.*.b", "a.>"] {
            assert!(Subject::pattern(text).is_ok(), "{text}");
        }
        assert!(Subject::pattern("a.>.b").is_err());
    }
}

//! Names of streams and consumers, which become tokens of subjects.

use crate::{Code, Result, Status, status::reason};

/// The longest name that the server takes, in bytes.
const NAME_BYTES: usize = 255;

/// `STREAM.INFO.<stream>`
pub(super) fn stream_verb(verb: &str, stream: &str) -> Result<String> {
    check("stream", stream)?;
    Ok(format!("{verb}.{stream}"))
}

/// `CONSUMER.INFO.<stream>.<consumer>`
pub(super) fn consumer_verb(verb: &str, stream: &str, consumer: &str) -> Result<String> {
    check("stream", stream)?;
    check("consumer", consumer)?;
    Ok(format!("{verb}.{stream}.{consumer}"))
}

/// What the server refuses, before a byte is written: as a part of a subject it would do harm.
fn check(what: &str, name: &str) -> Result<()> {
    let illegal = |c: char| matches!(c, '.' | '*' | '>' | '/' | '\\') || c.is_whitespace() || c.is_control();
    if !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(illegal) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    let message = format!("{shown:?} is not the name of a {what}: write 1 to {NAME_BYTES} of [A-Za-z0-9_-]");
    Err(Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_token() {
        for name in ["", "a.b", "*", ">", "a b", "a\r\nPUB x 0", "a/b", "a\\b", &"x".repeat(256)] {
            assert!(stream_verb("STREAM.INFO", name).is_err(), "{name:?}");
            assert!(consumer_verb("CONSUMER.INFO", "s", name).is_err(), "{name:?}");
        }
        assert_eq!(consumer_verb("X", "KV_a-b", "c").ok().as_deref(), Some("X.KV_a-b.c"));
    }
}

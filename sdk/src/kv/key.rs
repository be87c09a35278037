//! What a key, or a filter of keys, may be.

use crate::{Code, Result, Status, bus::Subject, status::reason};

/// The subject of `key`: `prefix` is the bucket's.
pub(super) fn subject(prefix: &str, key: &str) -> Result<Subject> {
    match key.split('.').find_map(|token| check(token).err()) {
        Some(why) => Err(illegal("key", key, why)),
        None => Subject::checked_length(&format!("{prefix}{key}")),
    }
}

/// The subjects of the keys that `filter` meets: a token may be `*`, the last may be `>`.
pub(super) fn filter(prefix: &str, filter: &str) -> Result<String> {
    let mut tokens = filter.split('.').peekable();
    while let Some(token) = tokens.next() {
        let wrong = match token {
            "*" => None,
            ">" if tokens.peek().is_none() => None,
            ">" => Some("`>` stands for the rest, so it must be the last token"),
            token => check(token).err(),
        };
        if let Some(why) = wrong {
            return Err(illegal("filter", filter, why));
        }
    }
    Ok(Subject::checked_length(&format!("{prefix}{filter}"))?.as_str().to_owned())
}

/// ADR-8: `[-/_=.a-zA-Z0-9]+`.
fn check(token: &str) -> Result<(), &'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=".contains(&byte);
    if token.is_empty() {
        return Err("it is empty, begins or ends with `.`, or has two of them together");
    }
    match token.bytes().all(legal) {
        true => Ok(()),
        false => Err("only letters, digits and `-`, `/`, `_`, `=`, `.` travel everywhere"),
    }
}

fn illegal(what: &str, text: &str, why: &str) -> Status {
    let message = format!("the {what} {text:?} is not legal: {why}");
    Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message).with_field_violation(what, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        for key in ["", ".", "a.", ".a", "a..b", "a b", "a*", "*", ">", "é", "a\r\n", "a:b", &"x".repeat(600)] {
            let status = subject("$KV.b.", key).expect_err(key);
            assert_eq!(status.code(), Code::InvalidArgument, "{key:?}");
            assert!(key.len() > 500 || status.message().contains(&format!("{key:?}")), "{status}");
        }
        assert_eq!(subject("$KV.b.", "a/b.C_-=.9").expect("legal").as_str(), "$KV.b.a/b.C_-=.9");
    }

    #[test]
    fn a_filter_may_have_wildcards_in_their_places() {
        for text in ["*", ">", "a.*.b", "a.>", "a.b"] {
            assert_eq!(filter("$KV.b.", text).expect(text), format!("$KV.b.{text}"));
        }
        for text in ["", "a.>.b", "a*", "a.", "a b"] {
            assert!(filter("$KV.b.", text).is_err(), "{text:?}");
        }
    }
}

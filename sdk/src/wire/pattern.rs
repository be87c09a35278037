//! How subjects and patterns of subjects meet.

/// Whether `subject`, which has no wildcard, is one of those that `pattern` stands for.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    covers(pattern, subject)
}

/// Whether every subject that `inner` stands for is one that `outer` stands for.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let mut inner = inner.split('.');
    for token in outer.split('.') {
        match (token, inner.next()) {
            (">", Some(_)) => return true,
            (_, None | Some(">")) => return false,
            ("*", Some(_)) => {}
            (literal, Some(other)) if literal == other => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// Whether there is a subject that both stand for.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(left), Some(right)) if left == right || left == "*" || right == "*" => {}
            _ => return false,
        }
    }
}

/// Whether it has a wildcard.
pub(crate) fn is_pattern(subject: &str) -> bool {
    subject.split('.').any(|token| matches!(token, "*" | ">"))
}

/// Whether it may be subscribed to.
pub(crate) fn is_legal(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || token.contains(char::is_whitespace) || (token == ">" && tokens.peek().is_some()) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_what_nats_says() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.c", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_pattern_covers_another_or_only_meets_it() {
        for (one, other, covers_it, meets_it) in [
            ("a.>", "a.*", true, true),
            ("a.*", "a.>", false, true),
            ("a.*", "*.b", false, true),
            ("a.*", "b.*", false, false),
            ("a.*.c", "a.b", false, false),
            (">", "a.>", true, true),
            ("a.*", "a.b.c", false, false),
        ] {
            assert_eq!(covers(one, other), covers_it, "{one} {other}");
            assert_eq!(overlap(one, other), meets_it, "{one} {other}");
            assert_eq!(overlap(other, one), meets_it, "{other} {one}");
        }
    }
}

//! Sets of subjects, as streams, consumers and subscriptions name them.

use std::fmt;

/// Longest subject, in bytes: the runtime's limit.
pub(crate) const MAX_BYTES: usize = 512;

/// Which subjects: tokens, of which `*` stands for any one and a last `>` for one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<String>,
}

impl Pattern {
    /// A pattern that somebody wrote; an error says why it is none, and what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let quoted = text.escape_debug();
        if text.is_empty() {
            return Err("a subject is not empty; write `orders.>`".into());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("a subject of {} bytes, and {MAX_BYTES} are allowed; write a shorter one", text.len()));
        }
        let tokens: Vec<&str> = text.split('.').collect();
        if tokens.contains(&"") {
            let full = tokens.into_iter().filter(|token| !token.is_empty()).collect::<Vec<_>>().join(".");
            let instead = if full.is_empty() { "orders.>" } else { &full };
            return Err(format!("`{quoted}` has an empty token; write `{}`", instead.escape_debug()));
        }
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
            let c = c.escape_debug();
            return Err(format!("`{quoted}` has `{c}`, which is not legal in a subject; write visible ASCII"));
        }
        // It stands between subjects in the lock, and in what one writes who means several.
        if text.contains(',') {
            let each: Vec<_> = text.split(',').filter(|one| !one.is_empty()).map(|one| format!("{one:?}")).collect();
            let instead = if each.is_empty() { "\"orders.>\"".to_owned() } else { each.join(", ") };
            return Err(format!(
                "`{quoted}` has a `,`; write one subject, or `[{instead}]` where there may be several"
            ));
        }
        if let Some(token) = tokens.iter().find(|token| token.contains(['{', '}'])) {
            return Err(format!("`{token}` in `{quoted}` is a field, and only events have fields; write `*`"));
        }
        let lone = |token: &str| matches!(token, "*" | ">");
        if let Some(token) = tokens.iter().find(|token| token.contains(['*', '>']) && !lone(token)) {
            return Err(format!("`{token}` in `{quoted}` mixes a wildcard with text; write `*` for the whole token"));
        }
        let (_, before) = tokens.split_last().unwrap_or((&"", &[]));
        if before.contains(&">") {
            return Err(format!("`>` in `{quoted}` stands for the rest, so it comes last; write `*`"));
        }
        Ok(Self::new(tokens))
    }

    /// A pattern of tokens that are known to be legal.
    pub(crate) fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self { tokens: tokens.into_iter().map(str::to_owned).collect() }
    }

    /// All subjects there are.
    pub(crate) fn everything() -> Self {
        Self::new([">"])
    }

    pub(crate) fn first(&self) -> &str {
        self.tokens.first().map_or("", String::as_str)
    }

    /// Whether some subject is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.tokens.iter(), other.tokens.iter());
        loop {
            match (ours.next().map(String::as_str), theirs.next().map(String::as_str)) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), _) | (_, Some(">")) => return true,
                (Some("*"), _) | (_, Some("*")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// That two patterns meet which must not, and what to write instead.
    pub(crate) fn overlap(&self, other: &Self) -> String {
        let instead = match (self.covers(other), other.covers(self)) {
            (true, _) => format!("write `{self}` alone"),
            (_, true) => format!("write `{other}` alone"),
            _ => "write subjects that do not".to_owned(),
        };
        format!("`{self}` and `{other}` overlap; {instead}")
    }

    /// Whether every subject of `other` is in this one too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.tokens.iter(), other.tokens.iter());
        loop {
            match (ours.next().map(String::as_str), theirs.next().map(String::as_str)) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), _) => return true,
                (_, Some(">")) => return false,
                (Some("*"), _) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tokens.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }

    #[test]
    fn what_no_server_takes_is_no_pattern() {
        let long = ["a"; 300].join(".");
        for text in
            ["", ".", "a.", ".a", "a..b", "a b", "a\n", "é", "a*", "a.b>", ">.a", "a.>.b", "{a}", "a,b", ",", &long]
        {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
        for text in ["a", "*", ">", "a.*", "a.>", "*.b.>", "a%2Eb.$x"] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    /// All subjects of up to four tokens `a` and `b` that a pattern has.
    fn subjects(of: &Pattern) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut found = Vec::new();
        for _ in 0..4 {
            let longer = |subject: &String| ["a", "b"].map(|token| format!("{subject}{token}."));
            all = all.iter().flat_map(longer).collect();
            found.extend(all.iter().filter(|subject| matches(of, subject)).cloned());
        }
        found
    }

    fn matches(pattern: &Pattern, subject: &str) -> bool {
        let mut tokens = subject.trim_end_matches('.').split('.');
        for wanted in &pattern.tokens {
            match (wanted.as_str(), tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    #[test]
    fn patterns_meet_and_cover_as_their_subjects_do() {
        let texts =
            ["a", "b", "*", ">", "a.b", "a.*", "*.b", "a.>", "*.>", "a.b.>", "a.*.b", "*.*", "*.*.>", "a.*.*", "b.a"];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
            let (a, b) = (pattern(one), pattern(other));
            let (of_a, of_b) = (subjects(&a), subjects(&b));
            assert_eq!(a.meets(&b), of_a.iter().any(|subject| of_b.contains(subject)), "{one} meets {other}");
            assert_eq!(a.covers(&b), of_b.iter().all(|subject| of_a.contains(subject)), "{one} covers {other}");
        }
    }
}

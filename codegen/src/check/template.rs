//! Rules of an event's subject as text: tokens, and fields that are tokens of their own.

use crate::pattern::MAX_BYTES;

/// A token of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    /// The path of a field: `sender.role`.
    Field(&'a str),
}

/// The tokens of a template; else all that is wrong with it, and what to write instead.
///
/// `own` is a first token that this event could have.
pub(super) fn parse<'a>(template: &'a str, own: &str) -> Result<Vec<Piece<'a>>, Vec<String>> {
    if template.is_empty() {
        return Err(vec![format!("an event has a subject; write `subject: \"{own}.created\"`")]);
    }
    let mut problems = Vec::new();
    if template.len() > MAX_BYTES {
        let length = template.len();
        problems.push(format!("the subject has {length} bytes and {MAX_BYTES} are allowed; write shorter names"));
    }
    let tokens = split(template);
    if tokens.contains(&"") {
        let full = tokens.iter().copied().filter(|token| !token.is_empty()).collect::<Vec<_>>().join(".");
        let instead = if full.is_empty() { own } else { &full };
        let template = template.escape_debug();
        problems.push(format!("`{template}` has an empty token; write `{}`", instead.escape_debug()));
    }
    let mut pieces = Vec::with_capacity(tokens.len());
    for token in tokens.into_iter().filter(|token| !token.is_empty()) {
        match piece(token) {
            Ok(piece) => pieces.push(piece),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(problem) = pieces.first().and_then(|first| first_token(*first, own)) {
        problems.push(problem);
    }
    if problems.is_empty() { Ok(pieces) } else { Err(problems) }
}

/// Splits at dots outside of braces.
fn split(template: &str) -> Vec<&str> {
    let mut inside = false;
    let dot = |c: char| {
        inside = (inside || c == '{') && c != '}';
        c == '.' && !inside
    };
    template.split(dot).collect()
}

fn piece(token: &str) -> Result<Piece<'_>, String> {
    let quoted = token.escape_debug();
    let braces = token.matches('{').count();
    if braces != token.matches('}').count() || (braces > 0 && !pairs(token)) {
        let name = token.trim_matches(['{', '}']).split(['{', '}']).next().unwrap_or_default();
        return Err(format!("`{quoted}` has a brace without its other half; write `{{{}}}`", name.escape_debug()));
    }
    let inner = token.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner.filter(|_| braces == 1) {
        Some("") => Err("`{}` names no field; write `{id}`".into()),
        Some(path) => Ok(Piece::Field(path)),
        None if braces > 0 => {
            let apart = token.replace('{', ".{").replace('}', "}.");
            let parts = apart.split('.').map(|part| part.trim_matches(['-', '_', ':']));
            let apart = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            let apart = apart.escape_debug();
            Err(format!("a field is a token of its own, and `{quoted}` is more; write `{apart}`"))
        }
        None => literal(token),
    }
}

/// Whether braces open and close in turn.
fn pairs(token: &str) -> bool {
    let mut open = false;
    let in_turn = token.chars().filter(|c| matches!(c, '{' | '}')).all(|c| {
        let fits = open != (c == '{');
        open = c == '{';
        fits
    });
    in_turn && !open
}

fn literal(token: &str) -> Result<Piece<'_>, String> {
    let quoted = token.escape_debug();
    match token.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '*' | '>' | '%' | ',')) {
        None => Ok(Piece::Literal(token)),
        Some('*' | '>') => {
            Err(format!("`{quoted}` is a wildcard, and an event goes to one subject; write `{{field}}` or text"))
        }
        Some('%') => Err(format!("`{quoted}` has a `%`, which is kept for escapes; write letters and digits")),
        Some(',') => Err(format!(
            "`{quoted}` has a `,`, with which no stream or consumer could name it; write letters, digits, `_` and `-`",
        )),
        Some(c) => {
            let c = c.escape_debug();
            Err(format!("`{quoted}` has `{c}`, which is not legal in a subject; write letters, digits, `_` and `-`"))
        }
    }
}

/// What is wrong with the first token, which decides whose subject it is.
fn first_token(first: Piece<'_>, own: &str) -> Option<String> {
    match first {
        Piece::Field(path) => Some(format!(
            "the first token is `{{{path}}}`, whose value could make the event a call; write `{own}.{{{path}}}`",
            path = path.escape_debug(),
        )),
        Piece::Literal("svc") => Some(format!("`svc` is where calls go; write `{own}` as the first token")),
        Piece::Literal(token) if token.starts_with(['_', '$']) => Some(format!(
            "the first token is `{token}`, and what starts with `_` or `$` is the server's and the runtime's; \
             write `{own}`",
        )),
        Piece::Literal(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_whole_token() {
        let pieces = parse("agent.{sender.role}.x-1.{type}", "own").expect("a template");
        let expected =
            [Piece::Literal("agent"), Piece::Field("sender.role"), Piece::Literal("x-1"), Piece::Field("type")];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn each_mistake_is_told_with_its_cure() {
        for (template, cure) in [
            ("", "write `subject: \"own.created\"`"),
            ("a..b", "write `a.b`"),
            ("a.", "write `a`"),
            ("a.{b", "write `{b}`"),
            ("a.b}", "write `{b}`"),
            ("a.}b{", "write `{b}`"),
            ("a.{b.c", "write `{b.c}`"),
            ("a.{}", "write `{id}`"),
            ("a.x{b}", "write `x.{b}`"),
            ("a.id-{b}", "write `id.{b}`"),
            (".", "write `own`"),
            ("a.{b}{c}", "write `{b}.{c}`"),
            ("a.{{b}}", "write `{b}`"),
            ("a.*", "write `{field}` or text"),
            ("a.b c", "write letters, digits, `_` and `-`"),
            ("a.100%", "write letters and digits"),
            ("a.b,c", "write letters, digits, `_` and `-`"),
            ("svc.a", "write `own` as the first token"),
            ("$SYS.a", "write `own`"),
            ("_INBOX.a", "write `own`"),
            ("{a}.b", "write `own.{a}`"),
        ] {
            let problems = parse(template, "own").expect_err(template);
            assert!(matches!(&problems[..], [one] if one.ends_with(cure)), "{template}: {problems:?}");
        }
    }

    #[test]
    fn all_mistakes_are_told() {
        let problems = parse("svc..{a.b c", "own").expect_err("mistakes");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}

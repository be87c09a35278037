//! From names in a `.proto` to names in Rust and on the bus.
//!
//! Messages are named by prost-build, so the same rules must give the same results here: heck's
//! case conversion, raw identifiers for keywords, a trailing `_` for the four that cannot be raw.

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use proc_macro2::{Ident, Span};

/// `GetURL` as a subject token: `get_url`.
pub(crate) fn token(name: &str) -> String {
    name.to_snake_case()
}

/// `Type` as a function or module: `r#type`.
pub(crate) fn snake(name: &str) -> String {
    escape(&name.to_snake_case())
}

/// `llm_service` as a type: `LlmService`.
pub(crate) fn upper_camel(name: &str) -> String {
    escape(&name.to_upper_camel_case())
}

/// `StreamInfer` as a static: `STREAM_INFER`.
pub(crate) fn shouty(name: &str) -> String {
    name.to_shouty_snake_case()
}

/// `agent-messages` as a static: `AGENT_MESSAGES`; a name without letters and digits is none.
pub(crate) fn constant(name: &str) -> String {
    match shouty(name) {
        name if name.is_empty() => "_NONE".to_owned(),
        name => escape(&name),
    }
}

/// The variant of an enum value: `COLOR_RED` of `Color` is `Red`.
pub(crate) fn variant(enum_name: &str, value: &str) -> String {
    let name = upper_camel(value);
    let stripped = name.strip_prefix(enum_name).unwrap_or(&name);
    if stripped.starts_with(char::is_uppercase) { escape(stripped) } else { escape(&name) }
}

/// A Rust identifier from what the functions above return.
///
/// The names come from protobuf identifiers, which are checked before anything is emitted.
pub(crate) fn ident(name: &str) -> Ident {
    match name.strip_prefix("r#") {
        Some(raw) => Ident::new_raw(raw, Span::call_site()),
        None => Ident::new(name, Span::call_site()),
    }
}

/// Whether `name` is a protobuf identifier that leaves something once it is converted.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.contains(|c: char| c.is_ascii_alphanumeric())
}

fn escape(name: &str) -> String {
    match name {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "false" | "fn" | "for" | "if" | "impl" | "in"
        | "let" | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static" | "struct"
        | "trait" | "true" | "type" | "unsafe" | "use" | "where" | "while" | "dyn" | "abstract" | "become" | "box"
        | "do" | "final" | "macro" | "override" | "priv" | "typeof" | "unsized" | "virtual" | "yield" | "async"
        | "await" | "try" | "gen" => format!("r#{name}"),
        "_" | "super" | "self" | "Self" | "extern" | "crate" => format!("{name}_"),
        _ if name.starts_with(|c: char| c.is_numeric()) => format!("_{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_become_identifiers() {
        for (proto, function, subject) in [
            ("Type", "r#type", "type"),
            ("Self", "self_", "self"),
            ("Async", "r#async", "async"),
            ("GetURL", "get_url", "get_url"),
            ("StreamInfer", "stream_infer", "stream_infer"),
        ] {
            assert_eq!(snake(proto), function);
            assert_eq!(token(proto), subject);
        }
    }

    #[test]
    fn a_stream_becomes_a_static() {
        for (name, expected) in [("agent-messages", "AGENT_MESSAGES"), ("7days", "_7DAYS"), ("a", "A"), ("--", "_NONE")]
        {
            assert_eq!(constant(name), expected);
        }
    }

    #[test]
    fn an_enum_value_loses_the_name_of_its_enum() {
        assert_eq!(variant("Color", "COLOR_RED"), "Red");
        assert_eq!(variant("Color", "COLORED"), "Colored");
        assert_eq!(variant("Color", "COLOR_SELF"), "Self_");
        assert_eq!(variant("Color", "COLOR"), "Color");
        assert_eq!(variant("Color", "COLOR_1"), "Color1");
    }
}

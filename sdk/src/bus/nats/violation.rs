//! What the server says about permissions. It says it in prose, so a test per server version guards it.

use crate::bus::BusEvent;

/// Reads `Permissions Violation for Publish to "a.b"` and
/// `Permissions Violation for Subscription to "a.b" using queue "q"`.
pub(super) fn parse(text: &str) -> Option<BusEvent> {
    let text = text.trim_start_matches("nats: ");
    let (what, rest) = text.strip_prefix("Permissions Violation for ")?.split_once(" to \"")?;
    let (subject, _) = rest.split_once('"')?;
    match what {
        "Publish" => Some(BusEvent::PublishDenied(subject.to_owned())),
        "Subscription" => Some(BusEvent::SubscribeDenied(subject.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_subject() {
        for (text, expected) in [
            ("Permissions Violation for Publish to \"a.b\"", "PublishDenied(\"a.b\")"),
            ("Permissions Violation for Subscription to \"a.*\"", "SubscribeDenied(\"a.*\")"),
            ("Permissions Violation for Subscription to \"a\" using queue \"q\"", "SubscribeDenied(\"a\")"),
        ] {
            let event = parse(text).expect(text);
            assert_eq!(format!("{event:?}"), expected);
        }
    }

    #[test]
    fn other_errors_are_not_taken_for_one() {
        for text in ["", "Permissions Violation", "Permissions Violation for Publish to a", "Stale Connection"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}

//! What a stream has stored, it publishes again.

use super::fixture::{Fixture, kind, message, refusal, text};
use crate::{
    Code,
    bus::Subject,
    jetstream::{Republish, StreamSpec},
    reason,
};

on_both! {
    a_copy_tells_where_the_message_is,
    a_copy_may_be_headers_alone,
    what_is_not_meant_is_not_published,
    a_stream_may_not_feed_itself,
}

fn spec(source: &'static str, destination: &'static str, headers_only: bool) -> StreamSpec {
    let republish = Republish { source: source.into(), destination: destination.into(), headers_only };
    StreamSpec { republish: Some(republish), ..StreamSpec::new("S", ["s.>"]) }
}

async fn a_copy_tells_where_the_message_is(fixture: Fixture) {
    fixture.stream(&spec("s.*.*", "copy.{{wildcard(2)}}.{{wildcard(1)}}", false)).await;
    let pattern = Subject::pattern("copy.>").expect("a pattern");
    let mut copies = fixture.bus.listen(pattern, None).await.expect("it listens");
    fixture.put("s.a.b", "one").await;
    fixture.publish(message("s.a.b", "two").with_header("X-Kind", "test")).await.expect("it is stored");
    let one = copies.next().await.expect("a copy");
    assert_eq!((one.subject.as_str(), text(&one)), ("copy.b.a", "one"));
    let headers = ["Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Last-Sequence"];
    assert_eq!(headers.map(|name| one.headers.get(name)), ["S", "s.a.b", "1", "0"].map(Some));
    assert!(one.headers.get("Nats-Time-Stamp").is_some_and(|time| time.ends_with('Z')));
    let two = copies.next().await.expect("a copy");
    assert_eq!(headers.map(|name| two.headers.get(name)), ["S", "s.a.b", "2", "1"].map(Some));
    assert_eq!(two.headers.get("X-Kind"), Some("test"));
}

async fn a_copy_may_be_headers_alone(fixture: Fixture) {
    fixture.stream(&spec("s.>", "copy.>", true)).await;
    let pattern = Subject::pattern("copy.>").expect("a pattern");
    let mut copies = fixture.bus.listen(pattern, None).await.expect("it listens");
    fixture.put("s.a.b", "hello").await;
    let copy = copies.next().await.expect("a copy");
    assert_eq!((copy.subject.as_str(), text(&copy)), ("copy.a.b", ""));
    assert_eq!(copy.headers.get("Nats-Msg-Size"), Some("5"));
}

async fn what_is_not_meant_is_not_published(fixture: Fixture) {
    fixture.stream(&spec("s.a", "copy", false)).await;
    let mut copies = fixture.bus.listen(Subject::new("copy").expect("a subject"), None).await.expect("it listens");
    fixture.put_all(&["s.b", "s.a", "s.b", "s.a"]).await;
    let sequences = [copies.next().await, copies.next().await]
        .map(|copy| copy.and_then(|copy| copy.headers.get("Nats-Sequence").map(str::to_owned)));
    assert_eq!(sequences, ["2", "4"].map(|sequence| Some(sequence.to_owned())));
}

async fn a_stream_may_not_feed_itself(fixture: Fixture) {
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for (source, destination) in [("s.a", "s.b"), ("s.*", "copy.*"), ("s.>", "copy"), ("s.*", "copy.$2")] {
        let result = fixture.streams.create_stream(&spec(source, destination, false)).await;
        assert_eq!(kind(result), refused, "{source} to {destination}");
    }
}

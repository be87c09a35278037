//! How much a stream keeps, and what it does when it is full.

use std::time::Duration;

use super::fixture::{Fixture, asking, kind, message, refusal};
use crate::{
    Code,
    jetstream::{ConsumerSpec, Discard, Storage, StreamSpec},
    reason,
};

on_both! {
    a_full_stream_drops_its_oldest,
    a_full_stream_that_refuses_says_so_and_takes_more_when_it_can,
    messages_weigh_what_the_server_says,
    a_stream_full_of_bytes_drops_its_oldest,
    a_stream_full_of_bytes_refuses,
    a_message_larger_than_the_stream_has_a_place_and_is_gone,
    each_subject_keeps_its_newest,
    a_full_subject_makes_room_in_a_stream_that_refuses,
    a_full_subject_refuses_if_told_so,
    a_message_may_be_too_large,
    headers_may_be_too_many,
    a_limit_that_a_server_cannot_count_is_refused,
    old_messages_go,
    what_goes_is_not_pending,
    places_are_not_used_twice,
}

fn spec() -> StreamSpec {
    StreamSpec { storage: Storage::Memory, ..StreamSpec::new("S", ["s.>"]) }
}

async fn a_full_stream_drops_its_oldest(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_messages: Some(3), ..spec() }).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.d", "s.e"]).await;
    assert_eq!(fixture.state("S").await, (3, 3, 5));
}

async fn a_full_stream_that_refuses_says_so_and_takes_more_when_it_can(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_messages: Some(2), discard: Discard::New, ..spec() }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let full = refusal(Code::ResourceExhausted, reason::STREAM_FULL);
    assert_eq!(kind(fixture.publish(message("s.c", "")).await), full);
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    fixture.streams.delete_message("S", 1).await.expect("it is deleted");
    assert_eq!(fixture.put("s.c", "").await, 3);
}

async fn messages_weigh_what_the_server_says(fixture: Fixture) {
    for (name, storage) in [("M", Storage::Memory), ("F", Storage::File)] {
        let subject = name.to_lowercase();
        fixture.stream(&StreamSpec { storage, ..StreamSpec::new(name, [subject.clone()]) }).await;
        fixture.put(&subject, "").await;
        let bare = fixture.info(name).await.bytes;
        fixture.put(&subject, "12345").await;
        fixture.publish(asking(&subject, "X-Kind", "test")).await.expect("it is stored");
        let own = if storage == Storage::File { 31 } else { 17 };
        assert_eq!(bare, own);
        let headers = "NATS/1.0\r\nX-Kind: test\r\n\r\n".len() as u64;
        let extra = if storage == Storage::File { 4 } else { 0 };
        assert_eq!(fixture.info(name).await.bytes, own + own + 5 + own + 1 + headers + extra, "{name}");
        fixture.streams.delete_message(name, 2).await.expect("it is deleted");
        assert_eq!(fixture.info(name).await.bytes, own + own + 1 + headers + extra, "{name}");
    }
}

async fn a_stream_full_of_bytes_drops_its_oldest(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_bytes: Some(100), ..spec() }).await;
    for _ in 0..5 {
        fixture.put("s.a", "123456789012345678901234567890").await;
    }
    assert_eq!((fixture.state("S").await, fixture.info("S").await.bytes), ((2, 4, 5), 98));
}

async fn a_stream_full_of_bytes_refuses(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_bytes: Some(98), discard: Discard::New, ..spec() }).await;
    let large = || message("s.a", "123456789012345678901234567890");
    fixture.publish(large()).await.expect("there is room");
    fixture.publish(large()).await.expect("there is just room");
    assert_eq!(kind(fixture.publish(message("s.a", "")).await), refusal(Code::ResourceExhausted, reason::STREAM_FULL));
}

async fn a_message_larger_than_the_stream_has_a_place_and_is_gone(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_bytes: Some(50), ..spec() }).await;
    fixture.put("s.a", "").await;
    assert_eq!(fixture.put("s.a", &"x".repeat(60)).await, 2);
    assert_eq!(fixture.state("S").await, (0, 3, 2));
}

async fn each_subject_keeps_its_newest(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_messages_per_subject: Some(2), ..spec() }).await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.a", "s.b", "s.c", "s.a"]).await;
    let expected = [(2, "s.b"), (4, "s.a"), (5, "s.b"), (6, "s.c"), (7, "s.a")];
    assert_eq!(fixture.all("S").await, expected.map(|(place, subject)| (place, subject.to_owned())));
}

async fn a_full_subject_makes_room_in_a_stream_that_refuses(fixture: Fixture) {
    let spec = StreamSpec {
        max_messages: Some(2),
        max_messages_per_subject: Some(1),
        max_bytes: Some(120),
        discard: Discard::New,
        ..spec()
    };
    fixture.stream(&spec).await;
    fixture.put_all(&["s.a", "s.b", "s.a"]).await;
    assert_eq!(fixture.state("S").await, (2, 2, 3));
    let full = refusal(Code::ResourceExhausted, reason::STREAM_FULL);
    assert_eq!(kind(fixture.publish(message("s.c", "")).await), full);
    assert_eq!(kind(fixture.publish(message("s.a", &"x".repeat(100))).await), full);
    assert_eq!(fixture.put("s.b", "x").await, 4);
}

async fn a_full_subject_refuses_if_told_so(fixture: Fixture) {
    let spec = StreamSpec {
        max_messages_per_subject: Some(1),
        discard: Discard::New,
        discard_new_per_subject: true,
        ..spec()
    };
    fixture.stream(&spec).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    assert_eq!(kind(fixture.publish(message("s.a", "")).await), refusal(Code::ResourceExhausted, reason::STREAM_FULL));
}

async fn a_message_may_be_too_large(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_message_bytes: Some(30), ..spec() }).await;
    fixture.put("s.a", &"x".repeat(30)).await;
    let too_large = refusal(Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE);
    assert_eq!(kind(fixture.publish(message("s.a", &"x".repeat(31))).await), too_large);
    // Headers count too.
    assert_eq!(kind(fixture.publish(asking("s.a", "X-Long-Header", "value")).await), too_large);
}

async fn headers_may_be_too_many(fixture: Fixture) {
    fixture.stream(&spec()).await;
    let around = "NATS/1.0\r\nX-Kind: \r\n\r\n".len();
    let with = |bytes: usize| asking("s.a", "X-Kind", &"x".repeat(bytes - around));
    fixture.publish(with(65_535)).await.expect("it is stored");
    let too_large = refusal(Code::ResourceExhausted, reason::TOO_LARGE_MESSAGE);
    assert_eq!(kind(fixture.publish(with(65_536)).await), too_large);
}

async fn a_limit_that_a_server_cannot_count_is_refused(fixture: Fixture) {
    let most = i32::MAX.unsigned_abs();
    let refused = refusal(Code::InvalidArgument, reason::INVALID_CONFIG);
    let of = |bytes| StreamSpec { max_message_bytes: Some(bytes), ..spec() };
    assert_eq!(kind(fixture.streams.create_stream(&of(most + 1)).await), refused);
    fixture.stream(&of(most)).await;
    assert_eq!(fixture.info("S").await.spec.max_message_bytes, Some(most));
    assert_eq!(kind(fixture.streams.update_stream(&of(most + 1)).await), refused);
}

async fn old_messages_go(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_age: Some(Duration::from_millis(500)), ..spec() }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    fixture.becomes("S", (0, 3, 2)).await;
    assert_eq!(fixture.put("s.a", "").await, 3);
}

async fn what_goes_is_not_pending(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_messages: Some(2), ..spec() }).await;
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
    fixture.consumer(&ConsumerSpec { filters: vec!["s.a".into()].into(), ..ConsumerSpec::new("S", "some") }).await;
    fixture.put_all(&["s.a", "s.a", "s.b"]).await;
    assert_eq!(fixture.progress("S", "all").await.0, 2);
    assert_eq!(fixture.progress("S", "some").await.0, 1);
    assert_eq!(fixture.read("S", "all").await.places(2).await, [2, 3]);
}

async fn places_are_not_used_twice(fixture: Fixture) {
    fixture.stream(&spec()).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    fixture.streams.delete_message("S", 2).await.expect("it is deleted");
    assert_eq!(fixture.state("S").await, (1, 1, 2));
    assert_eq!(fixture.put("s.c", "").await, 3);
}

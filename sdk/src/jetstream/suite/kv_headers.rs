//! The headers that key-value buckets are made of: time to live, and replacing what was there.

use std::time::Duration;

use super::fixture::{Fixture, asking, kind, refusal};
use crate::{
    Code,
    jetstream::{ConsumerSpec, StreamSpec},
    reason,
};

on_both! {
    a_message_lives_as_long_as_it_says,
    a_stream_may_not_allow_it,
    a_time_to_live_must_make_sense,
    a_message_may_outlive_all_others,
    a_message_replaces_its_subject,
    a_message_replaces_everything,
    a_stream_may_not_allow_replacing,
}

const TTL: &str = "Nats-TTL";
const ROLLUP: &str = "Nats-Rollup";

fn allowing_ttl() -> StreamSpec {
    StreamSpec { allow_message_ttl: true, ..StreamSpec::new("S", ["s.>"]) }
}

async fn a_message_lives_as_long_as_it_says(fixture: Fixture) {
    fixture.stream(&allowing_ttl()).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put("s.a", "").await;
    fixture.publish(asking("s.b", TTL, "1s")).await.expect("it is stored");
    fixture.publish(asking("s.c", TTL, "3600")).await.expect("it is stored");
    assert_eq!(fixture.state("S").await, (3, 1, 3));
    fixture.becomes("S", (2, 1, 3)).await;
    assert_eq!(fixture.consumer_info("S", "c").await.pending, 2);
    assert_eq!(fixture.read("S", "c").await.places(2).await, [1, 3]);
}

async fn a_stream_may_not_allow_it(fixture: Fixture) {
    fixture.plain().await;
    let refused = refusal(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.publish(asking("s.a", TTL, "5")).await), refused);
}

async fn a_time_to_live_must_make_sense(fixture: Fixture) {
    fixture.stream(&allowing_ttl()).await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for text in ["soon", "0", "0s", "500ms", "-1", "0.5", "9223372037s", "1000000000000s"] {
        assert_eq!(kind(fixture.publish(asking("s.a", TTL, text)).await), refused, "{text}");
    }
    for text in ["5", "1h30m", "1.5s", "never"] {
        fixture.publish(asking("s.a", TTL, text)).await.expect(text);
    }
}

async fn a_message_may_outlive_all_others(fixture: Fixture) {
    fixture.stream(&StreamSpec { max_age: Some(Duration::from_millis(500)), ..allowing_ttl() }).await;
    fixture.publish(asking("s.a", TTL, "never")).await.expect("it is stored");
    fixture.put("s.b", "").await;
    fixture.publish(asking("s.c", TTL, "60")).await.expect("it is stored");
    fixture.becomes("S", (1, 1, 3)).await;
    assert_eq!(fixture.all("S").await, [(1, "s.a".to_owned())]);
}

fn allowing_rollup() -> StreamSpec {
    StreamSpec { allow_rollup: true, ..StreamSpec::new("S", ["s.>"]) }
}

async fn a_message_replaces_its_subject(fixture: Fixture) {
    fixture.stream(&allowing_rollup()).await;
    fixture.put_all(&["s.a", "s.b", "s.a"]).await;
    fixture.publish(asking("s.a", ROLLUP, "sub")).await.expect("it is stored");
    assert_eq!(fixture.all("S").await, [(2, "s.b".to_owned()), (4, "s.a".to_owned())]);
}

async fn a_message_replaces_everything(fixture: Fixture) {
    fixture.stream(&allowing_rollup()).await;
    fixture.put_all(&["s.a", "s.b", "s.a"]).await;
    fixture.publish(asking("s.c", ROLLUP, "all")).await.expect("it is stored");
    assert_eq!(fixture.state("S").await, (1, 4, 4));
}

async fn a_stream_may_not_allow_replacing(fixture: Fixture) {
    fixture.plain().await;
    let refused = refusal(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.publish(asking("s.a", ROLLUP, "sub")).await), refused);
    fixture.stream(&StreamSpec { name: "R".into(), subjects: vec!["r".into()].into(), ..allowing_rollup() }).await;
    assert_eq!(kind(fixture.publish(asking("r", ROLLUP, "some")).await), refused);
}

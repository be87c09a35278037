//! Messages with an id are stored once.

use std::time::Duration;

use super::fixture::{Fixture, asking, kind, refusal};
use crate::{
    Code,
    jetstream::{Purge, StreamSpec},
    reason,
};

const ID: &str = "Nats-Msg-Id";

on_both! {
    an_id_is_stored_once_and_the_first_place_is_told,
    an_id_is_known_though_its_message_is_gone,
    an_id_is_free_again_after_the_window,
    what_was_refused_has_no_id,
    an_expectation_counts_before_an_id,
    the_window_is_filled_in,
}

async fn an_id_is_stored_once_and_the_first_place_is_told(fixture: Fixture) {
    fixture.plain().await;
    fixture.put("s.a", "").await;
    let first = fixture.publish(asking("s.a", ID, "1")).await.expect("it is stored");
    assert_eq!((&*first.stream, first.sequence, first.duplicate), ("S", 2, false));
    // Under any subject of the stream.
    let second = fixture.publish(asking("s.b", ID, "1")).await.expect("it is known");
    assert_eq!((&*second.stream, second.sequence, second.duplicate), ("S", 2, true));
    let other = fixture.publish(asking("s.a", ID, "2")).await.expect("it is stored");
    assert_eq!((other.sequence, other.duplicate), (3, false));
}

async fn an_id_is_known_though_its_message_is_gone(fixture: Fixture) {
    fixture.plain().await;
    fixture.publish(asking("s.a", ID, "1")).await.expect("it is stored");
    fixture.streams.delete_message("S", 1).await.expect("it is deleted");
    assert!(fixture.publish(asking("s.a", ID, "1")).await.expect("it is known").duplicate);
    fixture.streams.purge_stream("S", &Purge::default()).await.expect("it is purged");
    assert!(fixture.publish(asking("s.a", ID, "1")).await.expect("it is known").duplicate);
}

async fn an_id_is_free_again_after_the_window(fixture: Fixture) {
    let window = Duration::from_millis(200);
    fixture.stream(&StreamSpec { duplicate_window: Some(window), ..StreamSpec::new("S", ["s.>"]) }).await;
    fixture.publish(asking("s.a", ID, "1")).await.expect("it is stored");
    assert!(fixture.publish(asking("s.a", ID, "1")).await.expect("it is known").duplicate);
    let fixture = &fixture;
    super::fixture::eventually(false, || async {
        fixture.publish(asking("s.a", ID, "1")).await.expect("it is stored or known").duplicate
    })
    .await;
    assert_eq!(fixture.state("S").await, (2, 1, 2));
}

async fn what_was_refused_has_no_id(fixture: Fixture) {
    fixture.plain().await;
    let wrong = asking("s.a", ID, "1").with_header("Nats-Expected-Last-Sequence", "7");
    assert_eq!(kind(fixture.publish(wrong).await), refusal(Code::Aborted, reason::WRONG_SEQUENCE));
    assert!(!fixture.publish(asking("s.a", ID, "1")).await.expect("it is stored").duplicate);
}

async fn an_expectation_counts_before_an_id(fixture: Fixture) {
    fixture.plain().await;
    let message = || asking("s.a", ID, "1").with_header("Nats-Expected-Last-Sequence", "0");
    fixture.publish(message()).await.expect("it is stored");
    assert_eq!(kind(fixture.publish(message()).await), refusal(Code::Aborted, reason::WRONG_SEQUENCE));
}

async fn the_window_is_filled_in(fixture: Fixture) {
    let hour = StreamSpec { max_age: Some(Duration::from_secs(3600)), ..StreamSpec::new("H", ["h"]) };
    let second = StreamSpec { max_age: Some(Duration::from_secs(1)), ..StreamSpec::new("S", ["s"]) };
    assert_eq!(fixture.stream(&hour).await.spec.duplicate_window, Some(Duration::from_secs(120)));
    assert_eq!(fixture.stream(&second).await.spec.duplicate_window, Some(Duration::from_secs(1)));
}

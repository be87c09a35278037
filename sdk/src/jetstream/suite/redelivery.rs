//! Messages that are not acknowledged come again.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Fixture, eventually};
use crate::jetstream::{Ack, ConsumerSpec, Pull};

on_both! {
    what_is_not_acknowledged_comes_again,
    waits_grow_as_the_consumer_says,
    a_retry_comes_after_its_delay,
    a_retry_waits_longer_where_waits_grow,
    work_in_progress_does_not_come_again,
    what_is_given_up_does_not_come_again,
    attempts_end_and_the_world_is_told,
    no_more_is_out_than_may_be,
    redelivery_needs_no_room,
    what_is_due_comes_before_what_is_new,
    an_old_acknowledgement_counts,
    everything_up_to_the_floor_is_acknowledged,
    a_floor_with_a_filter,
    what_a_lost_reader_had_comes_again,
    what_a_slow_reader_has_waits_if_told_so,
    a_deleted_message_does_not_come_again,
    a_message_due_soon_wakes_a_reader_that_waits,
}

const SHORT: Duration = Duration::from_millis(200);

fn impatient(name: &'static str) -> ConsumerSpec {
    ConsumerSpec { ack_wait: SHORT, ..ConsumerSpec::new("S", name) }
}

async fn what_is_not_acknowledged_comes_again(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&impatient("c")).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    let start = Instant::now();
    let (one, two) = (reader.next().await, reader.next().await);
    let (one_again, two_again) = (reader.next().await, reader.next().await);
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    assert_eq!((one_again.stream_sequence, two_again.stream_sequence), (1, 2));
    assert_eq!((one_again.attempt, two_again.attempt), (2, 2));
    assert_eq!((one.consumer_sequence, two.consumer_sequence), (1, 2));
    assert_eq!((one_again.consumer_sequence, two_again.consumer_sequence), (3, 4));
    assert_eq!(fixture.consumer_info("S", "c").await.redelivered, 2);
    reader.ack(&one_again, Ack::Done).await;
    reader.ack(&two_again, Ack::Done).await;
    assert_eq!(fixture.progress("S", "c").await, (0, 0, 2));
    assert_eq!(fixture.consumer_info("S", "c").await.redelivered, 0);
}

async fn waits_grow_as_the_consumer_says(fixture: Fixture) {
    fixture.plain().await;
    let backoff: Vec<_> = [100, 300, 200].map(Duration::from_millis).into();
    fixture.consumer(&ConsumerSpec { backoff: backoff.clone().into(), ..ConsumerSpec::new("S", "c") }).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    reader.next().await;
    for (attempt, wait) in (2..).zip(backoff.iter().chain(backoff.last())) {
        let start = Instant::now();
        assert_eq!(reader.next().await.attempt, attempt);
        let took = start.elapsed();
        // The server's clock is not ours.
        assert!(took + Duration::from_millis(30) >= *wait, "attempt {attempt} after {took:?}, not {wait:?}");
    }
}

async fn a_retry_comes_after_its_delay(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    let (one, two) = (reader.next().await, reader.next().await);
    let start = Instant::now();
    reader.ack(&one, Ack::Retry(SHORT)).await;
    reader.ack(&two, Ack::Retry(Duration::ZERO)).await;
    let again = reader.done().await;
    assert_eq!((again.stream_sequence, again.attempt), (2, 2));
    let again = reader.done().await;
    assert_eq!((again.stream_sequence, again.attempt), (1, 2));
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
}

async fn a_retry_waits_longer_where_waits_grow(fixture: Fixture) {
    fixture.plain().await;
    let backoff: Vec<_> = [100, 400].map(Duration::from_millis).into();
    fixture.consumer(&ConsumerSpec { backoff: backoff.into(), ..ConsumerSpec::new("S", "c") }).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    reader.next().await;
    let second = reader.next().await;
    let start = Instant::now();
    reader.ack(&second, Ack::Retry(Duration::from_millis(100))).await;
    assert_eq!(reader.next().await.attempt, 3);
    // 100 ms, and the 300 ms by which the second wait is longer than the first.
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
}

async fn work_in_progress_does_not_come_again(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { ack_wait: Duration::from_millis(600), ..ConsumerSpec::new("S", "c") }).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    let delivered = reader.next().await;
    for _ in 0..8 {
        reader.nothing().await;
        reader.ack(&delivered, Ack::Progress).await;
    }
    assert_eq!(reader.done().await.attempt, 2);
}

async fn what_is_given_up_does_not_come_again(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&impatient("c")).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    let delivered = reader.next().await;
    reader.ack(&delivered, Ack::Term("why not".to_owned())).await;
    reader.nothing().await;
    reader.nothing().await;
    assert_eq!(fixture.progress("S", "c").await, (0, 0, 1));
    assert_eq!(fixture.state("S").await, (1, 1, 1));
}

async fn attempts_end_and_the_world_is_told(fixture: Fixture) {
    fixture.plain().await;
    let subject = crate::bus::Subject::pattern("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>").expect("a pattern");
    let mut advisories = fixture.bus.listen(subject, None).await.expect("it listens");
    fixture.consumer(&ConsumerSpec { max_deliver: Some(1), ..impatient("c") }).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    for attempt in 1..=3 {
        assert_eq!(reader.next().await.attempt, attempt);
    }
    reader.nothing().await;
    reader.nothing().await;
    let advisory = advisories.next().await.expect("there is one");
    assert_eq!(advisory.subject.as_str(), "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c");
    let told: serde_json::Value = serde_json::from_slice(&advisory.payload).expect("JSON");
    assert_eq!(told["type"], "io.nats.jetstream.advisory.v1.max_deliver");
    assert_eq!((&told["stream"], &told["consumer"]), (&"S".into(), &"c".into()));
    assert_eq!((&told["stream_seq"], &told["deliveries"]), (&1.into(), &3.into()));
    let fixture = &fixture;
    eventually(0, || async { fixture.consumer_info("S", "c").await.ack_pending }).await;
    // Others go on.
    fixture.put("s.b", "").await;
    assert_eq!(reader.done().await.stream_sequence, 2);
}

async fn no_more_is_out_than_may_be(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { max_ack_pending: 2, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.d"]).await;
    let mut reader = fixture.read("S", "c").await;
    let (one, two) = (reader.next().await, reader.next().await);
    reader.nothing().await;
    assert_eq!(fixture.progress("S", "c").await, (2, 2, 0));
    reader.ack(&two, Ack::Done).await;
    assert_eq!(reader.next().await.stream_sequence, 3);
    reader.nothing().await;
    reader.ack(&one, Ack::Done).await;
    assert_eq!(reader.next().await.stream_sequence, 4);
}

async fn redelivery_needs_no_room(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { max_ack_pending: 1, ..impatient("c") }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(2).await, [1, 1]);
}

async fn what_is_due_comes_before_what_is_new(fixture: Fixture) {
    fixture.plain().await;
    // The third may go to the first reader, which is gone when it comes: then it has to come again.
    let ack_wait = Duration::from_secs(5);
    fixture.consumer(&ConsumerSpec { ack_wait, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b", "s.c"]).await;
    let mut reader = fixture.read_with("S", "c", Pull { messages: 2, bytes: 10_000 }).await;
    let (one, two) = (reader.next().await, reader.next().await);
    drop(reader);
    let mut reader = fixture.read_with("S", "c", Pull { messages: 1, bytes: 10_000 }).await;
    reader.ack(&two, Ack::Retry(Duration::ZERO)).await;
    reader.ack(&one, Ack::Retry(Duration::ZERO)).await;
    let mut places = reader.places(3).await;
    // The third may have been under way to the first reader.
    if places.first() == Some(&3) {
        places.rotate_left(1);
    }
    let (due, new) = places.split_at_mut(2);
    due.sort_unstable();
    assert_eq!((due, new), ([1, 2].as_mut_slice(), [3].as_mut_slice()));
}

async fn an_old_acknowledgement_counts(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&impatient("c")).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    let first = reader.next().await;
    let second = reader.next().await;
    reader.ack(&first, Ack::Done).await;
    assert_eq!(fixture.progress("S", "c").await, (0, 0, 1));
    reader.ack(&second, Ack::Done).await;
    reader.nothing().await;
    reader.nothing().await;
}

async fn everything_up_to_the_floor_is_acknowledged(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.d"]).await;
    let mut reader = fixture.read("S", "c").await;
    let mut delivered = Vec::new();
    for _ in 0..4 {
        delivered.push(reader.next().await);
    }
    for (place, floor) in [(2, 0), (1, 2), (4, 2), (4, 2), (3, 4)] {
        reader.ack(&delivered[place - 1], Ack::Done).await;
        assert_eq!(fixture.consumer_info("S", "c").await.ack_floor, floor, "after {place}");
    }
    assert_eq!(fixture.consumer_info("S", "c").await.delivered, 4);
}

async fn a_floor_with_a_filter(fixture: Fixture) {
    fixture.plain().await;
    let filters = vec!["s.b".into()].into();
    fixture.consumer(&ConsumerSpec { filters, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.b", "s.a", "s.b", "s.a"]).await;
    let mut reader = fixture.read("S", "c").await;
    let (two, four, six) = (reader.next().await, reader.next().await, reader.next().await);
    for (delivered, floor) in [(&four, 0), (&two, 5), (&six, 6)] {
        reader.ack(delivered, Ack::Done).await;
        let info = fixture.consumer_info("S", "c").await;
        assert_eq!(info.ack_floor, floor, "after {}", delivered.stream_sequence);
    }
}

async fn what_a_lost_reader_had_comes_again(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&impatient("c")).await;
    fixture.put_all(&["s.a", "s.b", "s.c"]).await;
    let mut lost = fixture.read("S", "c").await;
    lost.next().await;
    drop(lost);
    let mut reader = fixture.read("S", "c").await;
    let mut places = reader.places(3).await;
    places.sort_unstable();
    assert_eq!(places, [1, 2, 3]);
}

async fn what_a_slow_reader_has_waits_if_told_so(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { ack_wait: Duration::from_millis(500), ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut slow = fixture.read("S", "c").await;
    let one = slow.done().await;
    let mut other = fixture.read("S", "c").await;
    for _ in 0..8 {
        slow.deliveries.progress();
        other.nothing().await;
    }
    let two = slow.next().await;
    assert_eq!((one.attempt, two.stream_sequence, two.attempt), (1, 2, 1));
}

async fn a_deleted_message_does_not_come_again(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&impatient("c")).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(2).await, [1, 2]);
    fixture.streams.delete_message("S", 1).await.expect("it is deleted");
    assert_eq!(reader.done().await.stream_sequence, 2);
    reader.nothing().await;
    reader.nothing().await;
    let info = fixture.consumer_info("S", "c").await;
    assert_eq!((info.pending, info.ack_pending), (0, 0));
}

async fn a_message_due_soon_wakes_a_reader_that_waits(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put("s.a", "").await;
    let mut one = fixture.read_with("S", "c", Pull { messages: 1, bytes: 10_000 }).await;
    let delivered = one.next().await;
    let mut other = fixture.read("S", "c").await;
    // The other one waits, and the wait of 30 s is what it waits for.
    other.nothing().await;
    drop(one.deliveries);
    let (streams, retry) = (fixture.streams.clone(), Ack::Retry(SHORT));
    let (again, acked) = tokio::join!(other.next(), streams.ack_confirmed(&delivered, retry));
    acked.expect("it is heard");
    assert_eq!((again.stream_sequence, again.attempt), (1, 2));
}

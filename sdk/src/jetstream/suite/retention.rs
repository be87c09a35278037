//! Streams that keep a message until it is acknowledged.

use std::time::Duration;

use super::fixture::{Fixture, asking, eventually, kind, refusal};
use crate::{
    Code,
    jetstream::{Ack, AckPolicy, Action, ConsumerSpec, Deliver, Retention, StreamSpec},
    reason,
};

on_both! {
    without_interest_nothing_is_kept,
    what_everybody_has_acknowledged_goes,
    a_reader_that_acknowledges_nothing_has_done_with_what_it_got,
    a_consumer_that_goes_takes_its_interest_along,
    a_narrower_filter_takes_its_interest_along,
    what_is_out_is_wanted_by_the_filter_alone,
    a_stream_of_limits_may_become_one_of_interest,
    what_nobody_got_stays_when_a_stream_becomes_one_of_interest,
    what_was_tried_too_often_stays,
    a_work_queue_drops_what_is_done_or_given_up,
    a_work_queue_waits_for_a_consumer,
    a_work_queue_survives_its_consumer,
    two_consumers_of_a_work_queue_may_not_meet,
    a_work_queue_wants_everything_acknowledged,
}

fn filtered(stream: &'static str, name: &'static str, filter: &'static str) -> ConsumerSpec {
    ConsumerSpec { filters: vec![filter.into()].into(), ..ConsumerSpec::new(stream, name) }
}

async fn interest(fixture: &Fixture) {
    fixture.stream(&StreamSpec { retention: Retention::Interest, ..StreamSpec::new("S", ["s.>"]) }).await;
}

async fn work_queue(fixture: &Fixture) {
    fixture.stream(&StreamSpec { retention: Retention::WorkQueue, ..StreamSpec::new("S", ["s.>"]) }).await;
}

async fn without_interest_nothing_is_kept(fixture: Fixture) {
    interest(&fixture).await;
    assert_eq!(fixture.put("s.a", "").await, 1);
    assert_eq!(fixture.state("S").await, (0, 2, 1));
    let spec = filtered("S", "c", "s.a");
    fixture.consumer(&spec).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    assert_eq!(fixture.state("S").await, (1, 2, 3));
    // The id of what is not kept is known all the same.
    fixture.publish(asking("s.b", "Nats-Msg-Id", "1")).await.expect("it has a place");
    assert!(fixture.publish(asking("s.b", "Nats-Msg-Id", "1")).await.expect("it had a place").duplicate);
}

async fn what_everybody_has_acknowledged_goes(fixture: Fixture) {
    interest(&fixture).await;
    fixture.consumer(&filtered("S", "a", "s.a")).await;
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
    fixture.put_all(&["s.a", "s.b", "s.a"]).await;
    let mut all = fixture.read("S", "all").await;
    for _ in 0..3 {
        all.done().await;
    }
    fixture.becomes("S", (2, 1, 3)).await;
    let mut some = fixture.read("S", "a").await;
    some.done().await;
    fixture.becomes("S", (1, 3, 3)).await;
    some.done().await;
    fixture.becomes("S", (0, 4, 3)).await;
}

async fn a_reader_that_acknowledges_nothing_has_done_with_what_it_got(fixture: Fixture) {
    interest(&fixture).await;
    fixture.consumer(&ConsumerSpec { ack: AckPolicy::None, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    fixture.read("S", "c").await.places(2).await;
    fixture.becomes("S", (0, 3, 2)).await;
}

async fn a_consumer_that_goes_takes_its_interest_along(fixture: Fixture) {
    interest(&fixture).await;
    fixture.consumer(&filtered("S", "a", "s.a")).await;
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    fixture.read("S", "all").await.done().await;
    fixture.streams.delete_consumer("S", "all").await.expect("it is deleted");
    fixture.becomes("S", (1, 1, 2)).await;
    fixture.streams.delete_consumer("S", "a").await.expect("it is deleted");
    fixture.becomes("S", (0, 3, 2)).await;
}

async fn refilter(fixture: &Fixture, spec: &ConsumerSpec) {
    fixture.streams.put_consumer(spec, Action::Update).await.expect("it is changed");
}

async fn a_narrower_filter_takes_its_interest_along(fixture: Fixture) {
    interest(&fixture).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.consumer(&filtered("S", "b", "s.b")).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.a"]).await;
    refilter(&fixture, &filtered("S", "c", "s.a")).await;
    fixture.becomes("S", (3, 1, 4)).await;
    assert_eq!(fixture.consumer_info("S", "c").await.pending, 2);
    refilter(&fixture, &filtered("S", "c", "s.b")).await;
    fixture.becomes("S", (1, 2, 4)).await;
    refilter(&fixture, &filtered("S", "b", "s.c")).await;
    fixture.read("S", "c").await.done().await;
    fixture.becomes("S", (0, 5, 4)).await;
}

async fn what_is_out_is_wanted_by_the_filter_alone(fixture: Fixture) {
    interest(&fixture).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b", "s.a"]).await;
    let mut reader = fixture.read("S", "c").await;
    let one = reader.next().await;
    assert_eq!(reader.places(2).await, [2, 3]);
    refilter(&fixture, &filtered("S", "c", "s.a")).await;
    fixture.becomes("S", (2, 1, 3)).await;
    reader.ack(&one, Ack::Done).await;
    fixture.becomes("S", (1, 3, 3)).await;
}

async fn a_stream_of_limits_may_become_one_of_interest(fixture: Fixture) {
    /// Consumers by their filters, and how much each has acknowledged.
    type Consumers = &'static [(&'static str, usize)];
    // And what is left then.
    let cases: [(&str, Consumers, &[u64]); 6] = [
        ("A", &[], &[]),
        ("B", &[("s.a", 0)], &[1, 2, 3, 4]),
        ("C", &[("s.a", 2)], &[2, 4]),
        ("D", &[("s.a", 1), ("s.*", 0)], &[1, 2, 3, 4]),
        ("E", &[("s.a", 1), ("s.*", 1)], &[2, 3, 4]),
        ("F", &[("s.a", 2), ("s.*", 3)], &[4]),
    ];
    for (stream, consumers, left) in cases {
        let spec = StreamSpec::new(stream, ["s.>"]);
        fixture.stream(&spec).await;
        fixture.put_all(&["s.a", "s.b", "s.a", "s.c"]).await;
        for (name, (filter, done)) in ["one", "other"].into_iter().zip(consumers) {
            fixture.consumer(&filtered(stream, name, filter)).await;
            let mut reader = fixture.read(stream, name).await;
            for _ in 0..*done {
                reader.done().await;
            }
        }
        let spec = StreamSpec { retention: Retention::Interest, ..spec };
        fixture.streams.update_stream(&spec).await.expect("it is changed");
        let places = || async { fixture.all(stream).await.into_iter().map(|(place, _)| place).collect::<Vec<_>>() };
        eventually(left.to_vec(), places).await;
        fixture.streams.delete_stream(stream).await.expect("it is deleted");
    }
}

async fn what_nobody_got_stays_when_a_stream_becomes_one_of_interest(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&filtered("S", "c", "s.a")).await;
    fixture.put_all(&["s.a", "s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    reader.done().await;
    reader.next().await;
    // It wants the last one, and has gone past it.
    refilter(&fixture, &filtered("S", "c", "s.*")).await;
    let spec = StreamSpec { retention: Retention::Interest, ..fixture.info("S").await.spec };
    fixture.streams.update_stream(&spec).await.expect("it is changed");
    fixture.becomes("S", (2, 2, 3)).await;
}

async fn what_was_tried_too_often_stays(fixture: Fixture) {
    interest(&fixture).await;
    let ack_wait = Duration::from_millis(100);
    // The broker allows two more.
    fixture.consumer(&ConsumerSpec { ack_wait, max_deliver: Some(1), ..ConsumerSpec::new("S", "c") }).await;
    fixture.put("s.a", "").await;
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(3).await, [1, 1, 1]);
    let fixture = &fixture;
    let mut look = reader;
    look.nothing().await;
    eventually((0, 0), || async {
        let info = fixture.consumer_info("S", "c").await;
        (info.pending, info.ack_pending)
    })
    .await;
    assert_eq!(fixture.state("S").await, (1, 1, 1));
}

async fn a_work_queue_drops_what_is_done_or_given_up(fixture: Fixture) {
    work_queue(&fixture).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b", "s.c"]).await;
    let mut reader = fixture.read("S", "c").await;
    let (one, two, three) = (reader.next().await, reader.next().await, reader.next().await);
    reader.ack(&two, Ack::Done).await;
    fixture.becomes("S", (2, 1, 3)).await;
    reader.ack(&one, Ack::Term("no".to_owned())).await;
    fixture.becomes("S", (1, 3, 3)).await;
    reader.ack(&three, Ack::Retry(Duration::ZERO)).await;
    let again = reader.next().await;
    assert_eq!((again.stream_sequence, again.attempt), (3, 2));
    assert_eq!(fixture.state("S").await, (1, 3, 3));
    // An acknowledgement of the first attempt is as good as one of the second.
    reader.ack(&three, Ack::Done).await;
    fixture.becomes("S", (0, 4, 3)).await;
}

async fn a_work_queue_waits_for_a_consumer(fixture: Fixture) {
    work_queue(&fixture).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    assert_eq!(fixture.consumer(&filtered("S", "b", "s.b")).await.pending, 1);
    fixture.read("S", "b").await.done().await;
    fixture.becomes("S", (1, 1, 2)).await;
}

async fn a_work_queue_survives_its_consumer(fixture: Fixture) {
    work_queue(&fixture).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    fixture.read("S", "c").await.next().await;
    fixture.streams.delete_consumer("S", "c").await.expect("it is deleted");
    assert_eq!(fixture.state("S").await, (2, 1, 2));
    fixture.consumer(&ConsumerSpec::new("S", "d")).await;
    let again = fixture.read("S", "d").await.next().await;
    assert_eq!((again.stream_sequence, again.attempt), (1, 1));
}

async fn two_consumers_of_a_work_queue_may_not_meet(fixture: Fixture) {
    work_queue(&fixture).await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    let streams = &fixture.streams;
    let make = |spec| async move { streams.put_consumer(&spec, Action::Create).await };
    fixture.consumer(&filtered("S", "a", "s.a")).await;
    fixture.consumer(&filtered("S", "b", "s.b")).await;
    assert_eq!(kind(make(ConsumerSpec::new("S", "all")).await), refused);
    assert_eq!(kind(make(filtered("S", "any", "s.*")).await), refused);
    let update = fixture.streams.put_consumer(&filtered("S", "a", "s.b"), Action::Update).await;
    assert_eq!(kind(update), refused);
    fixture.streams.delete_consumer("S", "a").await.expect("it is deleted");
    fixture.streams.delete_consumer("S", "b").await.expect("it is deleted");
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
    assert_eq!(kind(make(filtered("S", "a", "s.a")).await), refused);
    // The same once more is no other.
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
}

async fn a_work_queue_wants_everything_acknowledged(fixture: Fixture) {
    work_queue(&fixture).await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for spec in [
        ConsumerSpec { ack: AckPolicy::None, ..ConsumerSpec::new("S", "c") },
        ConsumerSpec { deliver: Deliver::New, ..ConsumerSpec::new("S", "c") },
        ConsumerSpec { deliver: Deliver::FromSequence(1), ..ConsumerSpec::new("S", "c") },
    ] {
        assert_eq!(kind(fixture.streams.put_consumer(&spec, Action::Create).await), refused, "{spec:?}");
    }
}

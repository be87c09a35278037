//! Where consumers begin, what they want, and how they come and go.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::fixture::{Fixture, eventually, kind, message, refusal, text};
use crate::{
    Code,
    jetstream::{Ack, AckPolicy, Action, ConsumerSpec, Deliver, Pull, Purge, ReplayPolicy, StreamSpec},
    reason,
};

on_both! {
    what_is_delivered_is_what_was_published,
    a_consumer_begins_where_it_is_told,
    a_consumer_begins_at_a_time,
    the_last_of_each_subject_comes_first,
    filters_choose,
    headers_alone_tell_the_size,
    a_reader_that_acknowledges_nothing_is_told_everything_once,
    messages_are_shared_by_readers,
    a_message_wakes_who_waits,
    a_large_message_comes_though_it_is_more_than_asked_for,
    a_stopped_reader_gets_what_it_has_and_the_end,
    a_consumer_that_is_deleted_ends_its_readers,
    a_stream_that_is_deleted_ends_its_readers,
    what_is_not_there_cannot_be_read,
    a_consumer_is_made_once,
    what_can_change_changes,
    filters_that_change_apply_to_what_was_not_read,
    filters_may_not_overlap,
    a_consumer_nobody_reads_goes_by_itself,
    a_purge_takes_what_is_out,
    stored_messages_come_at_their_own_pace,
    waits_between_attempts_are_fewer_than_attempts,
    names_are_sorted,
}

fn filtered(name: &'static str, filter: &'static str) -> ConsumerSpec {
    ConsumerSpec { filters: vec![filter.into()].into(), ..ConsumerSpec::new("S", name) }
}

async fn what_is_delivered_is_what_was_published(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut reader = fixture.read("S", "c").await;
    let before = SystemTime::now() - Duration::from_secs(60);
    let large = "x".repeat(5_000);
    fixture
        .publish(message("s.a", "one").with_header("X-Kind", "test").with_header("X-Kind", "twice"))
        .await
        .expect("stored");
    fixture.publish(message("s.b", &large).with_header("X-Other", "")).await.expect("stored");
    let one = reader.next().await;
    assert_eq!((one.message.subject.as_str(), text(&one.message)), ("s.a", "one"));
    let headers: Vec<_> = one.message.headers.iter().collect();
    assert_eq!(headers, [("X-Kind", "test"), ("X-Kind", "twice")]);
    assert_eq!((&*one.origin.stream, &*one.origin.consumer), ("S", "c"));
    assert_eq!((one.stream_sequence, one.consumer_sequence, one.attempt), (1, 1, 1));
    assert!(one.time > before && one.time < before + Duration::from_secs(3600));
    let two = reader.next().await;
    assert_eq!((text(&two.message), two.message.headers.get("X-Other")), (large.as_str(), Some("")));
    assert_eq!((two.stream_sequence, two.consumer_sequence, two.pending), (2, 2, 0));
    assert_eq!(fixture.progress("S", "c").await, (0, 2, 0));
    reader.ack(&one, Ack::Done).await;
    reader.ack(&two, Ack::Done).await;
    assert_eq!(fixture.progress("S", "c").await, (0, 0, 2));
}

async fn a_consumer_begins_where_it_is_told(fixture: Fixture) {
    fixture.plain().await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.b", "s.c"]).await;
    fixture.streams.delete_message("S", 1).await.expect("it is deleted");
    let cases: [(Deliver, &str, u64, &[u64]); 10] = [
        (Deliver::All, ">", 4, &[2, 3, 4, 5]),
        (Deliver::All, "s.b", 2, &[2, 4]),
        (Deliver::Last, ">", 1, &[5]),
        (Deliver::Last, "s.a", 1, &[3]),
        (Deliver::Last, "s.z", 0, &[]),
        (Deliver::New, ">", 0, &[]),
        (Deliver::FromSequence(1), ">", 4, &[2, 3, 4, 5]),
        (Deliver::FromSequence(3), "s.b", 1, &[4]),
        (Deliver::FromSequence(6), ">", 0, &[]),
        (Deliver::FromSequence(100), ">", 0, &[]),
    ];
    for (number, (deliver, filter, pending, places)) in cases.into_iter().enumerate() {
        let name = format!("c{number}");
        let filters = vec![filter.into()].into();
        let spec = ConsumerSpec { deliver, filters, ..ConsumerSpec::new("S", name.clone()) };
        assert_eq!(fixture.consumer(&spec).await.pending, pending, "{deliver:?} {filter}");
        let mut reader = fixture.read("S", &name).await;
        assert_eq!(reader.places(places.len()).await, places, "{deliver:?} {filter}");
    }
    // The consumer of new messages gets the next one, the one that begins later does not.
    fixture.put("s.a", "").await;
    assert_eq!(fixture.read("S", "c5").await.places(1).await, [6]);
    assert_eq!(fixture.read("S", "c8").await.places(1).await, [6]);
    fixture.read("S", "c9").await.nothing().await;
}

async fn a_consumer_begins_at_a_time(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "all")).await;
    fixture.put("s.a", "").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    fixture.put("s.b", "").await;
    let mut all = fixture.read("S", "all").await;
    let (one, two) = (all.next().await, all.next().await);
    let cases: [(&str, SystemTime, &[u64]); 4] = [
        ("c1", one.time, &[1, 2]),
        ("c2", one.time + Duration::from_millis(1), &[2]),
        ("c3", SystemTime::UNIX_EPOCH, &[1, 2]),
        ("c4", two.time + Duration::from_secs(60), &[]),
    ];
    for (name, time, places) in cases {
        let spec = ConsumerSpec { deliver: Deliver::FromTime(time), ..ConsumerSpec::new("S", name) };
        assert_eq!(fixture.consumer(&spec).await.pending, places.len() as u64, "{name}");
        assert_eq!(fixture.read("S", name).await.places(places.len()).await, places, "{name}");
    }
}

async fn the_last_of_each_subject_comes_first(fixture: Fixture) {
    fixture.plain().await;
    fixture.put_all(&["s.a", "s.b", "s.a", "s.c", "s.b"]).await;
    let spec = ConsumerSpec { deliver: Deliver::LastPerSubject, ..filtered("c", "s.>") };
    assert_eq!(fixture.consumer(&spec).await.pending, 3);
    fixture.put("s.a", "").await;
    fixture.streams.delete_message("S", 4).await.expect("it is deleted");
    assert_eq!(fixture.consumer_info("S", "c").await.pending, 3);
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(3).await, [3, 5, 6]);
    reader.nothing().await;
}

async fn filters_choose(fixture: Fixture) {
    fixture.plain().await;
    let several =
        ConsumerSpec { filters: vec!["s.a".into(), "s.*.x".into()].into(), ..ConsumerSpec::new("S", "several") };
    assert_eq!(fixture.consumer(&several).await.spec.filters, several.filters);
    fixture.consumer(&filtered("other", "t.>")).await;
    fixture.put_all(&["s.a", "s.b", "s.b.x", "s.a.y", "s.a"]).await;
    assert_eq!(fixture.consumer_info("S", "several").await.pending, 3);
    assert_eq!(fixture.read("S", "several").await.places(3).await, [1, 3, 5]);
    assert_eq!(fixture.consumer_info("S", "other").await.pending, 0);
}

async fn headers_alone_tell_the_size(fixture: Fixture) {
    fixture.plain().await;
    fixture.publish(message("s.a", "hello").with_header("X-Kind", "test")).await.expect("it is stored");
    fixture.consumer(&ConsumerSpec { headers_only: true, ..ConsumerSpec::new("S", "c") }).await;
    let delivered = fixture.read("S", "c").await.next().await;
    assert!(delivered.message.payload.is_empty());
    // In whatever order.
    let headers: BTreeMap<_, _> = delivered.message.headers.iter().collect();
    assert_eq!(headers, [("X-Kind", "test"), ("Nats-Msg-Size", "5")].into());
}

async fn a_reader_that_acknowledges_nothing_is_told_everything_once(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { ack: AckPolicy::None, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b"]).await;
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(2).await, [1, 2]);
    assert_eq!(fixture.progress("S", "c").await, (0, 0, 2));
    reader.nothing().await;
}

async fn messages_are_shared_by_readers(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut one = fixture.read_with("S", "c", Pull { messages: 1, bytes: 1024 }).await;
    let mut two = fixture.read_with("S", "c", Pull { messages: 1, bytes: 1024 }).await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.d"]).await;
    let mut places = Vec::new();
    for _ in 0..2 {
        places.push(one.done().await.stream_sequence);
        places.push(two.done().await.stream_sequence);
    }
    places.sort_unstable();
    assert_eq!(places, [1, 2, 3, 4]);
}

async fn a_message_wakes_who_waits(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut reader = fixture.read("S", "c").await;
    reader.nothing().await;
    let (delivered, place) = tokio::join!(reader.next(), fixture.put("s.a", ""));
    assert_eq!(delivered.stream_sequence, place);
}

async fn a_large_message_comes_though_it_is_more_than_asked_for(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put("s.a", &"x".repeat(10_000)).await;
    fixture.put("s.b", "").await;
    let mut reader = fixture.read_with("S", "c", Pull { messages: 10, bytes: 100_000 }).await;
    assert_eq!(reader.places(2).await, [1, 2]);
}

async fn a_stopped_reader_gets_what_it_has_and_the_end(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    fixture.put_all(&["s.a", "s.b", "s.c"]).await;
    let mut reader = fixture.read("S", "c").await;
    reader.next().await;
    reader.deliveries.stop();
    let mut left = 0;
    while let Some(delivered) = reader.deliveries.next().await {
        delivered.expect("it is no error");
        left += 1;
    }
    assert_eq!(left, 2);
    assert!(reader.deliveries.next().await.is_none());
}

async fn a_consumer_that_is_deleted_ends_its_readers(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut reader = fixture.read("S", "c").await;
    reader.nothing().await;
    let delete = fixture.streams.delete_consumer("S", "c");
    let (status, deleted) = tokio::join!(reader.error(), delete);
    deleted.expect("it is deleted");
    assert_eq!(status.code(), Code::NotFound);
    assert!(reader.deliveries.next().await.is_none());
    let missing = refusal(Code::NotFound, reason::CONSUMER_NOT_FOUND);
    assert_eq!(kind(fixture.streams.delete_consumer("S", "c").await), missing);
    assert_eq!(kind(fixture.streams.consumer_info("S", "c").await), missing);
}

async fn a_stream_that_is_deleted_ends_its_readers(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut reader = fixture.read("S", "c").await;
    reader.nothing().await;
    let (status, deleted) = tokio::join!(reader.error(), fixture.streams.delete_stream("S"));
    deleted.expect("it is deleted");
    assert_eq!(status.code(), Code::NotFound);
    assert!(reader.deliveries.next().await.is_none());
}

async fn what_is_not_there_cannot_be_read(fixture: Fixture) {
    let pull = || Pull { messages: 1, bytes: 1024 };
    let no_stream = fixture.streams.put_consumer(&ConsumerSpec::new("S", "c"), Action::Create).await;
    assert_eq!(kind(no_stream), refusal(Code::NotFound, reason::STREAM_NOT_FOUND));
    fixture.plain().await;
    // Said at once, or by the first message.
    let status = match fixture.streams.pull("S", "c", pull()).await {
        Ok(mut deliveries) => deliveries.next().await.expect("an error").map(drop),
        Err(status) => Err(status),
    };
    assert_eq!(kind(status).0, Code::NotFound);
}

async fn a_consumer_is_made_once(fixture: Fixture) {
    fixture.plain().await;
    let spec = ConsumerSpec { max_deliver: Some(5), description: "first".into(), ..ConsumerSpec::new("S", "c") };
    assert_eq!(fixture.consumer(&spec).await.spec, spec);
    assert_eq!(fixture.consumer(&spec).await.spec, spec);
    let other = ConsumerSpec { max_deliver: Some(6), ..spec.clone() };
    let exists = refusal(Code::AlreadyExists, reason::CONSUMER_EXISTS);
    assert_eq!(kind(fixture.streams.put_consumer(&other, Action::Create).await), exists);
    let update = fixture.streams.put_consumer(&ConsumerSpec::new("S", "d"), Action::Update).await;
    assert_eq!(kind(update), refusal(Code::NotFound, reason::CONSUMER_NOT_FOUND));
}

async fn what_can_change_changes(fixture: Fixture) {
    fixture.plain().await;
    let spec = ConsumerSpec::new("S", "c");
    fixture.consumer(&spec).await;
    let changed = ConsumerSpec {
        description: "changed".into(),
        filters: vec!["s.a".into()].into(),
        ack_wait: Duration::from_secs(7),
        max_deliver: Some(3),
        max_ack_pending: 5,
        headers_only: true,
        ..spec.clone()
    };
    let streams = &fixture.streams;
    let update = |spec| async move { streams.put_consumer(&spec, Action::Update).await };
    assert_eq!(update(changed.clone()).await.expect("it can").spec, changed);
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for fixed in [
        ConsumerSpec { deliver: Deliver::New, ..spec.clone() },
        ConsumerSpec { ack: AckPolicy::None, ..spec.clone() },
        ConsumerSpec { replay: ReplayPolicy::Original, ..spec.clone() },
    ] {
        assert_eq!(kind(update(fixed.clone()).await), refused, "{fixed:?}");
    }
}

async fn filters_that_change_apply_to_what_was_not_read(fixture: Fixture) {
    fixture.plain().await;
    fixture.put_all(&["s.a", "s.b", "s.c", "s.a", "s.b", "s.c"]).await;
    fixture.consumer(&ConsumerSpec::new("S", "c")).await;
    let mut reader = fixture.read_with("S", "c", Pull { messages: 1, bytes: 1024 }).await;
    assert_eq!(reader.places(1).await, [1]);
    drop(reader);
    let info = fixture.streams.put_consumer(&filtered("c", "s.c"), Action::Update).await.expect("it changes");
    assert_eq!(info.pending, 2);
    let mut reader = fixture.read("S", "c").await;
    let mut places = reader.places(2).await;
    // One more may have been under way.
    if places.first() == Some(&2) {
        places.remove(0);
        places.extend(reader.places(1).await);
    }
    assert_eq!(places, [3, 6]);
}

async fn filters_may_not_overlap(fixture: Fixture) {
    fixture.plain().await;
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    for filters in [["s.a", "s.*"], ["s.a", "s.a"], ["s.>", "s.b"]] {
        let filters = filters.into_iter().map(Into::into).collect();
        let spec = ConsumerSpec { filters, ..ConsumerSpec::new("S", "c") };
        assert_eq!(kind(fixture.streams.put_consumer(&spec, Action::Create).await), refused);
    }
}

async fn a_consumer_nobody_reads_goes_by_itself(fixture: Fixture) {
    fixture.plain().await;
    let inactive_threshold = Some(Duration::from_millis(300));
    let spec = ConsumerSpec { inactive_threshold, ..ConsumerSpec::new("S", "c") };
    assert_eq!(fixture.consumer(&spec).await.spec.inactive_threshold, inactive_threshold);
    let mut reader = fixture.read("S", "c").await;
    for _ in 0..5 {
        reader.nothing().await;
    }
    assert_eq!(fixture.streams.consumer_names("S").await.expect("there is one"), ["c"]);
    drop(reader);
    let fixture = &fixture;
    eventually(0, || async { fixture.streams.consumer_names("S").await.expect("a list").len() }).await;
}

async fn a_purge_takes_what_is_out(fixture: Fixture) {
    fixture.plain().await;
    fixture.consumer(&ConsumerSpec { max_ack_pending: 2, ..ConsumerSpec::new("S", "c") }).await;
    fixture.put_all(&["s.a", "s.b", "s.c"]).await;
    let mut reader = fixture.read("S", "c").await;
    assert_eq!(reader.places(2).await, [1, 2]);
    reader.nothing().await;
    fixture.streams.purge_stream("S", &Purge::default()).await.expect("it is purged");
    let fixture = &fixture;
    eventually((0, 0), || async {
        let info = fixture.consumer_info("S", "c").await;
        (info.pending, info.ack_pending)
    })
    .await;
    fixture.put("s.d", "").await;
    assert_eq!(reader.places(1).await, [4]);
}

async fn stored_messages_come_at_their_own_pace(fixture: Fixture) {
    fixture.plain().await;
    let pause = Duration::from_millis(150);
    for subject in ["s.a", "s.b", "s.c"] {
        fixture.put(subject, "").await;
        tokio::time::sleep(pause).await;
    }
    fixture.consumer(&ConsumerSpec { replay: ReplayPolicy::Original, ..ConsumerSpec::new("S", "c") }).await;
    let mut reader = fixture.read("S", "c").await;
    reader.next().await;
    let start = tokio::time::Instant::now();
    assert_eq!(reader.places(2).await, [2, 3]);
    assert!(start.elapsed() >= pause, "{:?}", start.elapsed());
    fixture.put("s.d", "").await;
    assert_eq!(reader.places(1).await, [4]);
}

async fn waits_between_attempts_are_fewer_than_attempts(fixture: Fixture) {
    fixture.plain().await;
    let backoff: Vec<_> = (1..=4).map(Duration::from_secs).collect();
    let spec = |max_deliver| ConsumerSpec {
        max_deliver,
        backoff: backoff.clone().into(),
        ack_wait: Duration::from_secs(1),
        ..ConsumerSpec::new("S", format!("c{}", max_deliver.unwrap_or(0)))
    };
    let refused = refusal(Code::InvalidArgument, reason::REFUSED_BY_JETSTREAM);
    assert_eq!(kind(fixture.streams.put_consumer(&spec(Some(1)), Action::Create).await), refused);
    // The broker allows two more.
    assert_eq!(fixture.consumer(&spec(Some(2))).await.spec, spec(Some(2)));
    assert_eq!(fixture.consumer(&spec(None)).await.spec, spec(None));
}

async fn names_are_sorted(fixture: Fixture) {
    for name in ["B", "A", "C"] {
        fixture.stream(&StreamSpec::new(name, [name])).await;
    }
    assert_eq!(fixture.streams.stream_names().await.expect("a list"), ["A", "B", "C"]);
    for name in ["y", "x"] {
        fixture.consumer(&ConsumerSpec::new("A", name)).await;
    }
    assert_eq!(fixture.streams.consumer_names("A").await.expect("a list"), ["x", "y"]);
    assert_eq!(fixture.info("A").await.consumers, 2);
}

//! The past of a stream.

use std::time::SystemTime;

use subwire::{
    Code, Event, Replay, Replayed,
    bus::{Message, Subject},
    reason,
};
use tokio::time::{Instant, sleep};

use crate::*;

on_both_buses!(
    everything_comes_in_its_order,
    it_begins_where_it_is_told,
    only_what_is_wanted_comes,
    what_is_no_event_is_reported_and_the_next_one_comes,
    it_goes_on_with_what_is_new,
    an_empty_past_is_over_at_once,
    it_takes_as_long_as_it_took,
    a_stream_that_nobody_names_is_refused,
    the_last_of_each_will_do,
    what_is_deleted_is_not_waited_for,
    a_stream_that_is_made_anew_is_read_from_its_start,
);

async fn values(mut past: Replay<Reading>) -> Vec<u64> {
    let mut values = Vec::new();
    while let Some(replayed) = within("an event", past.next()).await {
        values.push(replayed.expect("an event").event.value);
    }
    assert!(past.caught_up() && past.next().await.is_none());
    values
}

async fn next(past: &mut Replay<Reading>) -> Replayed<Reading> {
    within("an event", past.next()).await.expect("more").expect("an event")
}

async fn everything_comes_in_its_order(broker: Broker) {
    broker.publish(0..2_000).await;
    let past = Replay::of(&broker.bus, ReadingFilter::new()).until_caught_up().open().await.expect("opened");
    assert!(values(past).await.into_iter().eq(0..2_000));
}

async fn it_begins_where_it_is_told(broker: Broker) {
    broker.publish(0..5).await;
    let past = || Replay::of(&broker.bus, ReadingFilter::new()).until_caught_up();
    assert_eq!(values(past().from_sequence(4).open().await.expect("opened")).await, [3, 4]);
    assert_eq!(values(past().from_sequence(0).open().await.expect("opened")).await, [0, 1, 2, 3, 4]);
    assert_eq!(values(past().from_sequence(6).open().await.expect("opened")).await, [] as [u64; 0]);
    sleep(Duration::from_millis(20)).await;
    broker.publish(5..7).await;
    let fifth = Streams::new(&broker.bus).message("TESTING", 6).await.expect("an answer").expect("a message");
    assert_eq!(values(past().from_time(fifth.time).open().await.expect("opened")).await, [5, 6]);
    let earlier = SystemTime::UNIX_EPOCH;
    assert_eq!(values(past().from_time(earlier).open().await.expect("opened")).await.len(), 7);
}

async fn only_what_is_wanted_comes(broker: Broker) {
    broker.publish(0..3).await;
    let elsewhere = Reading { place: Some(Place { room: "hall".to_owned() }), ..reading(3) };
    let events = Events::new(&broker.bus);
    events.publish(&elsewhere).await.expect("stored");
    let note = Note { author: "me".to_owned(), text: "hello".to_owned() };
    events.publish(&note).await.expect("stored");
    let hall = Replay::of(&broker.bus, ReadingFilter::new().place_room("hall")).until_caught_up();
    assert_eq!(values(hall.open().await.expect("opened")).await, [3]);
    let mut notes = Replay::of(&broker.bus, NoteFilter::new()).until_caught_up().open().await.expect("opened");
    let replayed = within("a note", notes.next()).await.expect("one").expect("a note");
    assert_eq!((replayed.sequence, &replayed.event), (5, &note));
    assert!(within("the end", notes.next()).await.is_none());
}

async fn what_is_no_event_is_reported_and_the_next_one_comes(broker: Broker) {
    let garbage = Message::new(reading(1).subject().expect("legal"), vec![0xff; 3]);
    Events::new(&broker.bus).publish(garbage).await.expect("stored");
    broker.publish([2]).await;
    let mut past = Replay::of(&broker.bus, ReadingFilter::new()).open().await.expect("opened");
    let status = within("an item", past.next()).await.expect("more").expect_err("no reading");
    let info = status.error_info().expect("a reason");
    assert_eq!(
        (status.code(), &*info.reason, &*info.metadata["sequence"]),
        (Code::DataLoss, reason::MALFORMED_EVENT, "1")
    );
    assert_eq!(next(&mut past).await.event, reading(2));
}

async fn it_goes_on_with_what_is_new(broker: Broker) {
    broker.publish([1]).await;
    let mut past = Replay::of(&broker.bus, ReadingFilter::new()).open().await.expect("opened");
    let first = next(&mut past).await;
    assert_eq!((first.sequence, first.headers.get("Nats-Msg-Id")), (1, Some("reading-1")));
    assert_eq!(first.subject, Subject::new("testing.reading.kitchen.temperature").expect("legal"));
    assert!(past.caught_up());
    broker.publish([2]).await;
    assert_eq!(next(&mut past).await.event.value, 2);
}

async fn an_empty_past_is_over_at_once(broker: Broker) {
    let past = Replay::of(&broker.bus, ReadingFilter::new()).until_caught_up().open().await.expect("opened");
    assert_eq!(values(past).await, [] as [u64; 0]);
}

async fn it_takes_as_long_as_it_took(broker: Broker) {
    let pause = Duration::from_millis(300);
    broker.publish([0]).await;
    sleep(pause).await;
    broker.publish([1]).await;
    let past = Replay::of(&broker.bus, ReadingFilter::new()).original_speed().until_caught_up();
    let mut past = past.open().await.expect("opened");
    next(&mut past).await;
    let first = Instant::now();
    next(&mut past).await;
    assert!(first.elapsed() + Duration::from_millis(50) >= pause, "{:?}", first.elapsed());
}

async fn a_stream_that_nobody_names_is_refused(broker: Broker) {
    let status = Replay::of(&broker.bus, PingFilter::new()).open().await.expect_err("no stream");
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = Replay::of(&broker.bus, PingFilter::new()).stream("another").open().await.expect_err("no stream");
    assert_eq!(status.code(), Code::NotFound);
}

async fn the_last_of_each_will_do(broker: Broker) {
    broker.publish(0..5).await;
    let elsewhere = Reading { place: Some(Place { room: "hall".to_owned() }), ..reading(5) };
    Events::new(&broker.bus).publish(&elsewhere).await.expect("stored");
    let past = Replay::of(&broker.bus, ReadingFilter::new()).from_last_of_each().until_caught_up();
    assert_eq!(values(past.open().await.expect("opened")).await, [4, 5]);
}

async fn what_is_deleted_is_not_waited_for(broker: Broker) {
    broker.publish(0..2).await;
    sleep(Duration::from_secs(2)).await;
    broker.publish([2]).await;
    // It comes two seconds after the others, and by then it is gone.
    let past = Replay::of(&broker.bus, ReadingFilter::new()).original_speed().until_caught_up();
    let mut past = past.open().await.expect("opened");
    assert_eq!((next(&mut past).await.sequence, next(&mut past).await.sequence), (1, 2));
    Streams::new(&broker.bus).delete_message("TESTING", 3).await.expect("deleted");
    assert!(within("the end", past.next()).await.is_none());
}

/// Its sequences begin anew, and may go past what was read of the one before.
async fn a_stream_that_is_made_anew_is_read_from_its_start(broker: Broker) {
    broker.publish(0..3).await;
    let mut past = Replay::of(&broker.bus, ReadingFilter::new()).open().await.expect("opened");
    for value in 0..3 {
        assert_eq!(within("the next", past.next()).await.expect("there is more").expect("read").event.value, value);
    }
    let streams = Streams::new(&broker.bus);
    streams.delete("TESTING").await.expect("deleted");
    streams.apply(schema::stream::TESTING.clone()).await.expect("applied");
    broker.publish(10..20).await;
    for value in 10..20 {
        assert_eq!(within("the next", past.next()).await.expect("there is more").expect("read").event.value, value);
    }
}

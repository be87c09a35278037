//! Dead letters: what lies there, and what can be done with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use subwire::{
    Code, Discard, Executed, Outcome, Retention, Status, StreamSpec,
    bus::{Faults, Headers, Message, Subject},
};
use tokio::time::Instant;

use crate::*;

on_both_buses!(
    letters_are_listed_by_where_they_come_from,
    a_replayed_message_is_handled_and_its_letter_is_gone,
    a_replay_that_is_not_stored_keeps_the_letter,
    a_replay_whose_letter_stays_has_been_done,
    what_nobody_waits_for_is_not_replayed,
    another_letter_in_the_same_place_is_replayed_too,
    a_replay_ends_with_its_bus,
    many_are_replayed_at_a_rate,
    a_rate_may_be_as_high_as_can_be,
    letters_are_thrown_away,
    without_a_stream_there_are_no_letters,
    what_cannot_be_set_aside_is_kept,
    a_lost_stream_of_letters_is_made_again,
    a_letter_is_written_once,
    another_message_in_the_same_place_is_another_letter,
    a_large_message_is_set_aside_whole,
    a_message_as_large_as_can_be_is_replayed,
    a_message_of_many_headers_is_set_aside_whole,
    letters_may_lie_elsewhere,
    long_names_are_refused_before_a_letter_needs_them,
    a_letter_that_has_lost_its_second_part_can_be_removed,
);

/// Places begin anew with the stream of the letters, while the stream of the messages still knows its ids.
async fn another_letter_in_the_same_place_is_replayed_too(broker: Broker) {
    let (streams, letters) = (Streams::new(&broker.bus), DeadLetters::new(&broker.bus));
    for value in 0..2 {
        let [letter] = &set_aside(&broker, value..value + 1).await[..] else { panic!("one letter") };
        assert_eq!(letter.place, 1);
        let ack = letters.replay(letter.place).await.expect("replayed");
        assert!(!ack.duplicate, "message {value} is nowhere now");
        streams.delete("dead-letters").await.expect("deleted");
        streams.delete_consumer("TESTING", "testing").await.expect("deleted");
        streams.purge("TESTING", None).await.expect("purged");
    }
}

async fn a_replay_ends_with_its_bus(broker: Broker) {
    set_aside(&broker, 0..20).await;
    let replay = tokio::spawn(DeadLetters::new(&broker.bus).replay_all(Letters::all()).per_second(10).into_future());
    let mut replayed = broker.bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    within("one is replayed", replayed.next()).await.expect("one").expect("read");
    broker.bus.close().await.expect("closed");
    // However it ends: what it could not do is counted.
    let _ = within("the end", replay).await.expect("no panic");
}

/// Sets everything aside.
fn undertaker(broker: &Broker) -> WorkerBuilder {
    let handler =
        async |_: Delivery, reading: Reading| -> Outcome { Outcome::DeadLetter(format!("not {}", reading.value)) };
    Worker::builder(&broker.bus).handle(&consumer(), handler)
}

/// Publishes, and sets it all aside.
async fn set_aside(broker: &Broker, values: std::ops::Range<u64>) -> Vec<DeadLetter> {
    let count = values.end - values.start;
    broker.publish(values).await;
    // One at a time, so that the letters are in order.
    let worker = started(undertaker(broker).concurrency(1)).await;
    let letters = broker.letters_when(count as usize).await;
    broker.done().await;
    stopped(worker).await;
    letters
}

async fn letters_are_listed_by_where_they_come_from(broker: Broker) {
    set_aside(&broker, 0..3).await;
    let dead = DeadLetters::new(&broker.bus);
    let count = async |letters: Letters| {
        let mut list = dead.list(letters).await.expect("a list");
        let mut count = 0;
        while let Some(letter) = list.next().await {
            letter.expect("a letter");
            count += 1;
        }
        count
    };
    assert_eq!(count(Letters::all()).await, 3);
    assert_eq!(count(Letters::from_stream("TESTING")).await, 3);
    assert_eq!(count(Letters::of(&consumer())).await, 3);
    assert_eq!(count(Letters::from_stream("another")).await, 0);
    assert_eq!(count(Letters::of(&ConsumerSpec::new("TESTING", "another"))).await, 0);
    let shown = dead.show(2).await.expect("a letter");
    assert_eq!((shown.place, &*shown.reason), (2, "not 1"));
    assert_eq!(shown.decode::<Reading>().expect("a reading"), reading(1));
    assert_eq!(dead.show(99).await.expect_err("none").code(), Code::NotFound);
}

async fn a_replayed_message_is_handled_and_its_letter_is_gone(broker: Broker) {
    set_aside(&broker, 0..2).await;
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    let dead = DeadLetters::new(&broker.bus);
    // Its stream still knows its id, and would not store it under that.
    let ack = dead.replay(1).await.expect("stored");
    assert_eq!((&*ack.stream, ack.sequence, ack.duplicate), ("TESTING", 3, false));
    assert_eq!(book.next().await, Seen { value: 0, attempt: 1 });
    let left: Vec<_> = broker.letters().await.iter().map(|letter| letter.place).collect();
    assert_eq!(left, [2]);
    let stored = Streams::new(&broker.bus).message("TESTING", 3).await.expect("an answer").expect("a message");
    assert_eq!(stored.message.subject.as_str(), "testing.reading.kitchen.temperature");
    assert_eq!(stored.message.headers.get("Subwire-Replayed-Id"), Some("reading-0"));
    assert_eq!(dead.replay(1).await.expect_err("gone").code(), Code::NotFound);
    broker.done().await;
    stopped(worker).await;
}

async fn a_replay_that_is_not_stored_keeps_the_letter(broker: Broker) {
    set_aside(&broker, 0..1).await;
    Streams::new(&broker.bus).delete("TESTING").await.expect("deleted");
    let dead = DeadLetters::new(&broker.bus);
    assert_eq!(dead.replay(1).await.expect_err("no stream").code(), Code::NotFound);
    let replays = dead.replay_all(Letters::all()).await.expect("a report");
    assert_eq!((replays.replayed, replays.failed), (0, 1));
    assert_eq!(replays.first_failure.expect("one").0, 1);
    assert_eq!(broker.letters().await.len(), 1);
}

async fn what_nobody_waits_for_is_not_replayed(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    streams.delete("TESTING").await.expect("deleted");
    let spec = StreamSpec { retention: Retention::Interest, ..schema::stream::TESTING.clone() };
    streams.apply(spec).await.expect("applied");
    let worker = started(undertaker(&broker)).await;
    broker.publish([7]).await;
    broker.letters_when(1).await;
    broker.done().await;
    stopped(worker).await;

    streams.delete_consumer("TESTING", "testing").await.expect("deleted");
    let other = ConsumerSpec { filters: vec!["testing.note.*".into()].into(), ..ConsumerSpec::new("TESTING", "notes") };
    streams.apply(other).await.expect("applied");
    let dead = DeadLetters::new(&broker.bus);
    let status = dead.replay(1).await.expect_err("the stream would not keep it");
    assert_eq!((status.code(), status.executed()), (Code::FailedPrecondition, Executed::No));
    assert_eq!(dead.replay_all(Letters::all()).await.expect("a report").failed, 1);
    assert_eq!(broker.letters().await.len(), 1);

    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    dead.replay(1).await.expect("stored");
    assert_eq!(book.next().await.value, 7);
    broker.done().await;
    stopped(worker).await;
}

async fn a_replay_whose_letter_stays_has_been_done(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    streams.apply(StreamSpec { deny_delete: true, ..DeadLetters::spec() }).await.expect("applied");
    set_aside(&broker, 0..1).await;
    let dead = DeadLetters::new(&broker.bus);
    for _ in 0..2 {
        let status = dead.replay(1).await.expect_err("it cannot be taken out");
        assert_eq!((status.code(), status.executed()), (Code::FailedPrecondition, Executed::Yes));
    }
    assert_eq!(broker.letters().await.len(), 1);
    assert_eq!(streams.info("TESTING").await.expect("a stream").last_sequence, 2, "once");
}

/// Whatever request to take out a part is lost, there is a whole letter or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_letter_is_taken_out_whole_or_not_at_all() {
    let broker = Broker::nats().await;
    for (lost, left) in [(0, 1), (1, 0)] {
        let [letter] = &set_aside_large(&broker, broker.bus.max_payload() - 200).await[..] else {
            panic!("one letter")
        };
        let seen = AtomicUsize::new(0);
        let loses = move |message: &Message| {
            let is_one = message.subject.as_str() == "$JS.API.STREAM.MSG.DELETE.dead-letters";
            is_one && seen.fetch_add(1, Ordering::SeqCst) == lost
        };
        let (bus, _control) = Faults::seeded(1).drop(1.0).outbound_only().only(loses).wrap(&broker.bus);
        let removed = DeadLetters::new(&bus).remove(letter.place).await;
        assert_eq!(removed.is_err(), left == 1, "{removed:?}");
        // All of them can be read.
        assert_eq!(broker.letters().await.len(), left);
        DeadLetters::new(&broker.bus).purge(Letters::all()).await.expect("purged");
    }
}

async fn many_are_replayed_at_a_rate(broker: Broker) {
    set_aside(&broker, 0..20).await;
    let begun = Instant::now();
    let replays =
        DeadLetters::new(&broker.bus).replay_all(Letters::of(&consumer())).per_second(20).await.expect("done");
    assert_eq!((replays.replayed, replays.failed), (20, 0));
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(broker.letters().await.len(), 0);
    // In their order.
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen).concurrency(1)).await;
    let values: Vec<_> = book.take(20).await.into_iter().map(|seen| seen.value).collect();
    assert!(values.into_iter().eq(0..20));
    broker.done().await;
    stopped(worker).await;
}

async fn a_rate_may_be_as_high_as_can_be(broker: Broker) {
    set_aside(&broker, 0..3).await;
    let replays = DeadLetters::new(&broker.bus).replay_all(Letters::all()).per_second(u32::MAX).await.expect("done");
    assert_eq!((replays.replayed, replays.failed), (3, 0));
}

async fn letters_are_thrown_away(broker: Broker) {
    set_aside(&broker, 0..4).await;
    let dead = DeadLetters::new(&broker.bus);
    dead.remove(2).await.expect("removed");
    assert_eq!(dead.remove(2).await.expect_err("gone").code(), Code::NotFound);
    assert_eq!(dead.purge(Letters::from_stream("another")).await.expect("purged"), 0);
    assert_eq!(dead.purge(Letters::of(&consumer())).await.expect("purged"), 3);
    assert_eq!(broker.letters().await.len(), 0);
}

async fn without_a_stream_there_are_no_letters(broker: Broker) {
    let dead = DeadLetters::new(&broker.bus);
    assert_eq!(broker.letters().await.len(), 0);
    assert_eq!(dead.purge(Letters::all()).await.expect("nothing"), 0);
    assert_eq!(dead.replay_all(Letters::all()).await.expect("nothing").replayed, 0);
    assert_eq!(dead.show(1).await.expect_err("none").code(), Code::NotFound);
}

async fn what_cannot_be_set_aside_is_kept(broker: Broker) {
    let tiny = StreamSpec { max_messages: Some(1), ..DeadLetters::spec() };
    assert_eq!(tiny.discard, Discard::New);
    broker.publish(0..3).await;
    let worker = started(undertaker(&broker).dead_letters(tiny).concurrency(1)).await;
    eventually("no room", async || worker.monitor().counts().burials_failed >= 2).await;
    let info = Streams::new(&broker.bus).consumer_info("TESTING", "testing").await.expect("a consumer");
    assert_eq!((info.pending, info.ack_pending, broker.letters().await.len()), (0, 2, 1));
    // Whenever there is room, one more comes, and each of them once.
    let mut reasons = Vec::new();
    for _ in 0..3 {
        let letters = broker.letters_when(1).await;
        reasons.push(letters[0].reason.clone());
        assert!(letters[0].attempts == 1, "it was kept, and not handed out again: {letters:?}");
        DeadLetters::new(&broker.bus).remove(letters[0].place).await.expect("removed");
    }
    reasons.sort();
    assert_eq!(reasons, ["not 0", "not 1", "not 2"]);
    broker.done().await;
    stopped(worker).await;
}

async fn a_lost_stream_of_letters_is_made_again(broker: Broker) {
    let worker = started(undertaker(&broker)).await;
    broker.publish([0]).await;
    broker.letters_when(1).await;
    Streams::new(&broker.bus).delete("dead-letters").await.expect("deleted");
    broker.publish([1]).await;
    let letters = broker.letters_when(1).await;
    assert_eq!(letters[0].reason, "not 1");
    broker.done().await;
    stopped(worker).await;
}

async fn a_letter_is_written_once(broker: Broker) {
    set_aside(&broker, 0..1).await;
    // The broker has forgotten that it is done, as if it had never heard.
    Streams::new(&broker.bus).delete_consumer("TESTING", "testing").await.expect("deleted");
    let worker = started(undertaker(&broker)).await;
    eventually("again", async || worker.monitor().counts().dead_letters == 1).await;
    broker.done().await;
    stopped(worker).await;
    assert_eq!(broker.letters().await.len(), 1);
}

async fn another_message_in_the_same_place_is_another_letter(broker: Broker) {
    set_aside(&broker, 0..1).await;
    let streams = Streams::new(&broker.bus);
    streams.delete("TESTING").await.expect("deleted");
    streams.apply(schema::stream::TESTING.clone()).await.expect("applied");
    set_aside(&broker, 1..2).await;
    let letters: Vec<_> =
        broker.letters_when(2).await.into_iter().map(|letter| (letter.sequence, letter.reason)).collect();
    assert_eq!(letters, [(1, "not 0".to_owned()), (1, "not 1".to_owned())]);
}

/// Publishes so many bytes, and sets them aside.
async fn set_aside_large(broker: &Broker, bytes: usize) -> Vec<DeadLetter> {
    let subject = Subject::new("testing.note.me").expect("legal");
    let large = Message::new(subject, large(bytes)).with_header("tenant", "acme");
    Events::new(&broker.bus).publish(large).await.expect("stored");
    let handler = async |_: Delivery, _: Message| -> Result<()> { Err(Status::data_loss("too much")) };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    let letters = broker.letters_when(1).await;
    broker.done().await;
    stopped(worker).await;
    letters
}

fn large(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| n as u8).collect()
}

async fn a_large_message_is_set_aside_whole(broker: Broker) {
    // It leaves no room for what a letter adds.
    let bytes = large(broker.bus.max_payload() - 200);
    let letters = set_aside_large(&broker, bytes.len()).await;
    assert!(letters.len() == 1 && letters[0].payload == bytes);
    let dead = DeadLetters::new(&broker.bus);
    let ack = dead.replay(letters[0].place).await.expect("stored");
    let again =
        Streams::new(&broker.bus).message("TESTING", ack.sequence).await.expect("an answer").expect("a message");
    assert!(again.message.payload == bytes && again.message.headers.get("tenant") == Some("acme"));
    let left = Streams::new(&broker.bus).info("dead-letters").await.expect("a stream");
    assert_eq!(left.messages, 0, "both parts are gone");
}

async fn a_message_as_large_as_can_be_is_replayed(broker: Broker) {
    let most = broker.bus.max_payload();
    let dead = DeadLetters::new(&broker.bus);
    let subject = Subject::new("testing.note.me").expect("legal");
    let plain = |bytes| Message::new(subject.clone(), vec![7; bytes]);
    // What it is, and whether there is room for a new id, and for the old one.
    let full = plain(most);
    let id = plain(most - 200).with_header("Nats-Msg-Id", "i".repeat(150));
    for (message, has_id) in [(full, false), (id, true)] {
        Events::new(&broker.bus).publish(message.clone()).await.expect("stored");
        let handler = async |_: Delivery, _: Message| -> Result<()> { Err(Status::data_loss("too much")) };
        let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
        let letters = broker.letters_when(1).await;
        broker.done().await;
        stopped(worker).await;
        let ack = dead.replay(letters[0].place).await.expect("stored");
        assert!(broker.letters().await.is_empty());
        let streams = Streams::new(&broker.bus);
        let again = streams.message("TESTING", ack.sequence).await.expect("an answer").expect("a message").message;
        assert!(again.payload == message.payload);
        assert_eq!(again.headers.get("Nats-Msg-Id").is_some(), has_id);
        assert_eq!(again.headers.get("Subwire-Replayed-Id"), None);
        streams.purge("TESTING", None).await.expect("purged");
    }
}

async fn a_message_of_many_headers_is_set_aside_whole(broker: Broker) {
    // A stream takes 64 KiB of them, and a letter has longer names.
    let mut headers = Headers::new();
    headers.append("Nats-Msg-Id", "many");
    for n in 0..2_500 {
        headers.append(format!("h{n}"), "some value");
    }
    let message = Message::new(Subject::new("testing.note.me").expect("legal"), "of me").with_headers(headers.clone());
    Events::new(&broker.bus).publish(message).await.expect("stored");
    let handler = async |_: Delivery, _: Message| -> Result<()> { Err(Status::data_loss("too many")) };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    let letters = broker.letters_when(1).await;
    broker.done().await;
    let counts = worker.monitor().counts();
    stopped(worker).await;
    assert_eq!((letters.len(), counts.burials_failed, &letters[0].payload[..]), (1, 0, &b"of me"[..]));
    assert!(sorted(&letters[0].headers) == sorted(&headers), "{:?}", letters[0].headers);
    let ack = DeadLetters::new(&broker.bus).replay(letters[0].place).await.expect("stored");
    let streams = Streams::new(&broker.bus);
    let again = streams.message("TESTING", ack.sequence).await.expect("an answer").expect("a message");
    let value = |name| again.message.headers.get(name);
    assert_eq!((value("h0"), value("h2499"), value("h2500")), (Some("some value"), Some("some value"), None));
    assert_eq!(streams.info("dead-letters").await.expect("a stream").messages, 0, "both parts are gone");
}

/// What a client of NATS receives has lost its order.
fn sorted(headers: &Headers) -> Vec<(&str, &str)> {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_unstable();
    sorted
}

async fn letters_may_lie_elsewhere(broker: Broker) {
    let elsewhere = StreamSpec { discard: Discard::New, ..StreamSpec::new("graveyard", ["dlq.TESTING.*"]) };
    broker.publish([4]).await;
    let worker = started(undertaker(&broker).dead_letters(elsewhere)).await;
    let dead = DeadLetters::new(&broker.bus).in_stream("graveyard");
    eventually("a letter", async || dead.show(1).await.is_ok()).await;
    broker.done().await;
    stopped(worker).await;
    let names = Streams::new(&broker.bus).names().await.expect("names");
    assert_eq!(names, ["TESTING", "graveyard"]);
}

async fn long_names_are_refused_before_a_letter_needs_them(broker: Broker) {
    let (stream, subject) = ("s".repeat(255), Subject::new("long.names").expect("legal"));
    Streams::new(&broker.bus).apply(StreamSpec::new(stream.clone(), ["long.names"])).await.expect("applied");
    let worker = |consumer: usize| {
        let spec = ConsumerSpec::new(stream.clone(), "c".repeat(consumer));
        let handler = async |_: Delivery, _: Message| -> Result<()> { Err(Status::data_loss("never")) };
        Worker::builder(&broker.bus).handle(&spec, handler)
    };
    assert_eq!(worker(253).start().await.expect_err("refused").code(), Code::InvalidArgument);
    let worker = started(worker(252)).await;
    Events::new(&broker.bus).publish(Message::new(subject, "a")).await.expect("stored");
    assert_eq!(broker.letters_when(1).await[0].consumer, "c".repeat(252));
    stopped(worker).await;
}

async fn a_letter_that_has_lost_its_second_part_can_be_removed(broker: Broker) {
    let letters = set_aside_large(&broker, broker.bus.max_payload() - 200).await;
    let (streams, dead) = (Streams::new(&broker.bus), DeadLetters::new(&broker.bus));
    let place = letters[0].place;
    streams.delete_message("dead-letters", place - 1).await.expect("deleted");
    assert_eq!(dead.show(place).await.expect_err("half of it").code(), Code::DataLoss);
    dead.remove(place).await.expect("removed");
    assert_eq!(streams.info("dead-letters").await.expect("a stream").messages, 0);
}

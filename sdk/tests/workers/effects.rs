//! What is done is not done again.

use subwire::{Code, EffectKey, MemoryEffects, Retention, Status, StreamEffects, StreamSpec};

use crate::*;

on_both_buses!(
    what_is_done_is_known_when_it_comes_again,
    all_instances_know_what_is_done,
    what_was_published_twice_is_done_once,
    an_id_may_be_long,
    notes_go_into_a_stream_of_notes,
    what_failed_is_not_done,
    a_store_that_is_down_delays_and_loses_nothing,
);

/// Has everything handed out once more, as if the broker had never heard of an end.
async fn forget(broker: &Broker) {
    Streams::new(&broker.bus).delete_consumer("TESTING", "testing").await.expect("deleted");
}

async fn what_is_done_is_known_when_it_comes_again(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish(0..10).await;
    let worker = scribe(&broker, &consumer(), pen).effects_once(MemoryEffects::new(), EffectKey::Sequence);
    let running = started(worker.clone()).await;
    book.take(10).await;
    broker.done().await;
    stopped(running).await;
    forget(&broker).await;
    let running = started(worker).await;
    eventually("all again", async || running.monitor().counts().repeated == 10).await;
    broker.done().await;
    assert_eq!(running.monitor().counts().done, 10);
    stopped(running).await;
    assert!((0..10).all(|value| book.attempts(value) == [1]));
}

async fn all_instances_know_what_is_done(broker: Broker) {
    let keep = Duration::from_secs(3600);
    let (pen, mut book) = Book::new();
    broker.publish(0..10).await;
    let store = StreamEffects::open(&broker.bus, "done", keep).await.expect("a store");
    let one = started(scribe(&broker, &consumer(), pen.clone()).effects_once(store, EffectKey::Sequence)).await;
    book.take(10).await;
    broker.done().await;
    stopped(one).await;
    forget(&broker).await;
    let store = StreamEffects::open(&broker.bus, "done", keep).await.expect("a store");
    let other = started(scribe(&broker, &consumer(), pen).effects_once(store, EffectKey::Sequence)).await;
    eventually("all again", async || other.monitor().counts().repeated == 10).await;
    broker.done().await;
    assert_eq!(other.monitor().counts().done, 0);
    stopped(other).await;
}

async fn what_was_published_twice_is_done_once(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    let mut spec = schema::stream::TESTING.clone();
    spec.duplicate_window = Some(Duration::from_millis(100));
    streams.apply(spec).await.expect("applied");
    let (pen, mut book) = Book::new();
    let worker = scribe(&broker, &consumer(), pen).effects_once(MemoryEffects::new(), EffectKey::MessageId);
    let worker = started(worker).await;
    broker.publish([1]).await;
    book.next().await;
    // Its stream has forgotten the id after a while.
    let events = Events::new(&broker.bus);
    eventually("stored again", async || !events.publish(&reading(1)).await.expect("stored").duplicate).await;
    broker.publish([2]).await;
    book.next().await;
    broker.done().await;
    assert_eq!((worker.monitor().counts().done, worker.monitor().counts().repeated), (2, 1));
    stopped(worker).await;
    assert_eq!((book.attempts(1), book.attempts(2)), (vec![1], vec![1]));
}

async fn an_id_may_be_long(broker: Broker) {
    let (pen, mut book) = Book::new();
    let events = Events::new(&broker.bus);
    // They differ at their ends.
    for value in 0..2 {
        let id = format!("{}{value}", "i".repeat(1_000));
        events.publish(&reading(value)).id(id).await.expect("stored");
    }
    let store = StreamEffects::open(&broker.bus, "done", Duration::from_secs(3600)).await.expect("a store");
    let worker = scribe(&broker, &consumer(), pen).effects_once(store, EffectKey::MessageId);
    let running = started(worker.clone()).await;
    book.take(2).await;
    broker.done().await;
    stopped(running).await;
    forget(&broker).await;
    let running = started(worker).await;
    eventually("all again", async || running.monitor().counts().repeated == 2).await;
    broker.done().await;
    stopped(running).await;
    assert!((0..2).all(|value| book.attempts(value) == [1]));
}

async fn notes_go_into_a_stream_of_notes(broker: Broker) {
    let (streams, keep) = (Streams::new(&broker.bus), Duration::from_secs(3600));
    let open = async |name: &'static str, keep| StreamEffects::open(&broker.bus, name, keep).await.map(drop);
    let notes = StreamEffects::spec("notes", keep);
    for (spec, expected) in [
        (notes.clone(), None),
        (StreamSpec { max_age: Some(2 * keep), description: "ours".into(), ..notes.clone() }, None),
        (StreamSpec { max_age: None, ..notes.clone() }, None),
        (StreamSpec { max_age: Some(keep / 2), ..notes.clone() }, Some(Code::AlreadyExists)),
        (StreamSpec { retention: Retention::Interest, ..notes.clone() }, Some(Code::AlreadyExists)),
        (StreamSpec::new("notes", ["other.*"]), Some(Code::AlreadyExists)),
    ] {
        streams.apply(spec.clone()).await.expect("applied");
        assert_eq!(open("notes", keep).await.err().map(|status| status.code()), expected, "{spec:?}");
        streams.delete("notes").await.expect("deleted");
    }
    open("notes", keep).await.expect("made");
    open("notes", keep).await.expect("it is there");
}

async fn what_failed_is_not_done(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish([1]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match cx.attempt() {
            1 => Err(Status::unavailable("not now")),
            _ => Ok(()),
        }
    };
    let worker = Worker::builder(&broker.bus).handle(&consumer(), handler);
    let worker = started(worker.effects_once(MemoryEffects::new(), EffectKey::Sequence)).await;
    book.take(2).await;
    broker.done().await;
    assert_eq!(worker.monitor().counts().repeated, 0);
    stopped(worker).await;
}

async fn a_store_that_is_down_delays_and_loses_nothing(broker: Broker) {
    let store = StreamEffects::open(&broker.bus, "done", PATIENCE).await.expect("a store");
    let streams = Streams::new(&broker.bus);
    streams.delete("done").await.expect("deleted");
    let (pen, mut book) = Book::new();
    broker.publish([1]).await;
    let spec = ConsumerSpec { backoff: vec![Duration::from_millis(100)].into(), ..impatient() };
    let worker = started(scribe(&broker, &spec, pen).effects_once(store, EffectKey::Sequence)).await;
    eventually("it fails", async || worker.monitor().counts().failed >= 2).await;
    assert!(book.attempts(1).is_empty(), "nobody knows whether it is done, so it is not done now");
    streams.apply(StreamEffects::spec("done", PATIENCE)).await.expect("applied");
    assert!(book.next().await.attempt >= 3);
    broker.done().await;
    stopped(worker).await;
}

//! Handlers that take long, and brokers that lose patience.

use tokio::time::sleep;

use crate::*;

on_both_buses!(
    a_handler_may_take_longer_than_the_wait,
    what_waits_here_is_not_handed_out_again,
    what_a_dropped_worker_had_comes_again,
    what_no_attempt_ended_is_set_aside,
);

async fn a_handler_may_take_longer_than_the_wait(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish([1]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        sleep(3 * ACK_WAIT).await;
        Ok(())
    };
    let worker = started(Worker::builder(&broker.bus).handle(&impatient(), handler)).await;
    book.next().await;
    broker.done().await;
    let counts = worker.monitor().counts();
    stopped(worker).await;
    assert_eq!((book.attempts(1), counts.done, counts.doubles), (vec![1], 1, 0));
}

async fn what_waits_here_is_not_handed_out_again(broker: Broker) {
    const EVENTS: u64 = 6;
    let (pen, mut book) = Book::new();
    broker.publish(0..EVENTS).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        sleep(ACK_WAIT / 2).await;
        Ok(())
    };
    let worker = started(Worker::builder(&broker.bus).handle(&impatient(), handler).concurrency(1)).await;
    let seen = book.take(EVENTS as usize).await;
    assert!(seen.iter().all(|seen| seen.attempt == 1), "{seen:?}");
    broker.done().await;
    stopped(worker).await;
    assert!((0..EVENTS).all(|value| book.attempts(value) == [1]));
}

async fn what_a_dropped_worker_had_comes_again(broker: Broker) {
    let (pen, mut book) = Book::new();
    let hang = pen.clone();
    broker.publish([1, 2, 3]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        hang.write(&cx, reading.value);
        std::future::pending().await
    };
    let worker = started(Worker::builder(&broker.bus).handle(&impatient(), handler)).await;
    book.take(3).await;
    // As if its process had been killed: nothing is said any more.
    drop(worker);
    let worker = started(scribe(&broker, &impatient(), pen)).await;
    let mut again = book.take(3).await;
    again.sort_by_key(|seen| seen.value);
    assert_eq!(again, [1, 2, 3].map(|value| Seen { value, attempt: 2 }));
    broker.done().await;
    stopped(worker).await;
}

async fn what_no_attempt_ended_is_set_aside(broker: Broker) {
    let spec = ConsumerSpec { max_deliver: Some(1), ..impatient() };
    let (pen, mut book) = Book::new();
    let hang = pen.clone();
    broker.publish([1]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        hang.write(&cx, reading.value);
        std::future::pending().await
    };
    let worker = started(Worker::builder(&broker.bus).handle(&spec, handler)).await;
    book.next().await;
    drop(worker);
    let worker = started(scribe(&broker, &spec, pen)).await;
    let letters = broker.letters_when(1).await;
    assert_eq!((letters[0].attempts, letters[0].code), (2, subwire::Code::Aborted));
    broker.done().await;
    stopped(worker).await;
    assert_eq!(book.attempts(1), [1], "it was not tried once more than its consumer says");
}

/// What the broker hands out again while it is in hand counts for the broker: the worker must not count on another.
async fn what_came_again_in_hand_is_set_aside_when_it_fails(broker: Broker) {
    const STALL: Duration = Duration::from_millis(900);
    let consumer =
        ConsumerSpec { max_deliver: Some(2), ack_wait: STALL / 2, ..ConsumerSpec::new("TESTING", "testing") };
    let (pen, mut book) = Book::new();
    broker.publish([7]).await;
    let released = Arc::new(tokio::sync::Notify::new());
    let release = released.clone();
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        released.notified().await;
        Err(subwire::Status::unavailable("not now"))
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer, handler)).await;
    book.next().await;
    // The process stands still, as one that is stopped or whose machine sleeps, until the broker has given up.
    for doubles in 1..=3 {
        std::thread::sleep(STALL);
        eventually("it comes again", async || worker.monitor().counts().doubles >= doubles).await;
    }
    release.notify_one();
    broker.letters_when(1).await;
    stopped(worker).await;
    assert_eq!(book.attempts(7), [1]);
}

#[tokio::test]
async fn what_came_again_in_hand_is_set_aside_when_it_fails_in_memory() {
    what_came_again_in_hand_is_set_aside_when_it_fails(Broker::memory().await).await;
}

#[tokio::test]
async fn what_came_again_in_hand_is_set_aside_when_it_fails_on_nats() {
    what_came_again_in_hand_is_set_aside_when_it_fails(Broker::nats().await).await;
}

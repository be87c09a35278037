//! One message in a hundred is poison: it is set aside once, and the others do not suffer.

use std::collections::HashSet;

use subwire::{Event, Status, bus::Message};

use crate::*;

on_both_buses!(poison_is_set_aside_once_and_the_rest_is_done_once);

/// Of these one in a hundred is poison, of each kind in turn.
const EVENTS: u64 = 6_000;

async fn poison_is_set_aside_once_and_the_rest_is_done_once(broker: Broker) {
    let poison = |value: u64| value % 100 == 99;
    let kind = |value: u64| value / 100 % 3;
    let mut pipeline = Events::new(&broker.bus).pipeline();
    for value in 0..EVENTS {
        let mut message = reading(value).to_message().expect("legal");
        if poison(value) && kind(value) == 0 {
            message = Message { payload: vec![0xff; 5].into(), ..message };
        }
        pipeline.publish(message).await.expect("handed over");
    }
    pipeline.finish().await.expect("stored");
    let (pen, book) = Book::new();
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match (poison(reading.value), kind(reading.value)) {
            (false, _) => Ok(()),
            (true, 1) => Err(Status::unavailable("always")),
            (true, _) => panic!("always"),
        }
    };
    // No wait is so short that a busy machine could miss it: whatever comes again was refused.
    let consumer = ConsumerSpec { max_deliver: Some(3), ..ConsumerSpec::new("TESTING", "testing") };
    let worker = Worker::builder(&broker.bus).handle(&consumer, handler);
    let worker = started(worker.retry_delays(Duration::from_millis(10), Duration::from_millis(50))).await;
    broker.done().await;
    let counts = worker.monitor().counts();
    stopped(worker).await;
    let letters = broker.letters().await;
    let dead: HashSet<_> = letters.iter().map(|letter| letter.sequence - 1).collect();
    assert_eq!((letters.len(), dead.len()), (EVENTS as usize / 100, EVENTS as usize / 100));
    assert!(dead.iter().all(|value| poison(*value)));
    for letter in &letters {
        let attempts = if kind(letter.sequence - 1) == 0 { 1 } else { 3 };
        assert_eq!((letter.attempts, letter.headers.iter().count()), (attempts, 1), "{letter:?}");
    }
    assert!((0..EVENTS).filter(|value| !poison(*value)).all(|value| book.attempts(value) == [1]));
    assert_eq!((counts.done, counts.dead_letters), (EVENTS - EVENTS / 100, EVENTS / 100));
}

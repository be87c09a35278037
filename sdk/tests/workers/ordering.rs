//! Messages of one key, one after another.

use subwire::{Event, Status, WorkerState};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::*;

on_both_buses!(
    one_key_is_in_order_and_others_beside_it,
    a_retry_holds_back_its_key_only,
    a_dead_letter_lets_its_key_go_on,
    a_retry_keeps_its_place_however_long_the_wait_is,
    what_is_gone_holds_back_nobody_for_ever,
    a_key_of_something_else_is_refused,
    a_key_that_panics_costs_its_message_and_no_other,
    what_waits_for_its_turn_is_handed_back_by_a_stop,
    what_does_not_fit_is_given_back_and_keeps_its_place,
);

async fn a_key_that_panics_costs_its_message_and_no_other(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish(0..10).await;
    let worker = scribe(&broker, &consumer(), pen).ordered_by(|reading: &Reading| {
        assert!(reading.value != 5, "no key");
        reading.value
    });
    let worker = started(worker).await;
    book.take(9).await;
    broker.letters_when(1).await;
    broker.done().await;
    assert_eq!(worker.monitor().counts().done, 9);
    stopped(worker).await;
}

/// One whose key is the room, `value % rooms`.
fn in_room(value: u64, rooms: u64) -> Reading {
    Reading { place: Some(Place { room: format!("room-{}", value % rooms) }), ..reading(value) }
}

fn room(reading: &Reading) -> String {
    reading.place.as_ref().map(|place| place.room.clone()).unwrap_or_default()
}

async fn publish(broker: &Broker, values: impl IntoIterator<Item = u64>, rooms: u64) {
    let mut pipeline = Events::new(&broker.bus).pipeline();
    for value in values {
        pipeline.publish(&in_room(value, rooms)).await.expect("handed over");
    }
    pipeline.finish().await.expect("stored");
}

async fn one_key_is_in_order_and_others_beside_it(broker: Broker) {
    const EVENTS: u64 = 200;
    const ROOMS: u64 = 5;
    let (pen, mut book) = Book::new();
    publish(&broker, 0..EVENTS, ROOMS).await;
    let (started_at, most) = (Arc::new(Mutex::new(HashMap::<String, u32>::new())), Arc::new(Mutex::new((0, 0))));
    let together = most.clone();
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        let of_key = |change: i32| {
            let mut running = started_at.lock().expect("no panic");
            let count = running.entry(room(&reading)).or_default();
            *count = count.wrapping_add_signed(change);
            *count
        };
        assert_eq!(of_key(1), 1, "two of one key at one time");
        {
            let mut most = most.lock().expect("no panic");
            most.0 += 1;
            most.1 = most.1.max(most.0);
        }
        pen.write(&cx, reading.value);
        // Some wait and some do not.
        if !reading.value.is_multiple_of(3) {
            sleep(Duration::from_millis(reading.value % 7)).await;
        }
        most.lock().expect("no panic").0 -= 1;
        of_key(-1);
        Ok(())
    };
    let worker = Worker::builder(&broker.bus).handle(&consumer(), handler).concurrency(8);
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    let seen = book.take(EVENTS as usize).await;
    broker.done().await;
    stopped(worker).await;
    for of_room in 0..ROOMS {
        let values = seen.iter().map(|seen| seen.value).filter(|value| value % ROOMS == of_room);
        assert!(values.eq((of_room..EVENTS).step_by(ROOMS as usize)), "room {of_room}: {seen:?}");
    }
    let most = together.lock().expect("no panic").1;
    assert!((2..=ROOMS).contains(&most), "{most} at a time");
}

async fn a_retry_holds_back_its_key_only(broker: Broker) {
    let (pen, mut book) = Book::new();
    publish(&broker, 0..20, 2).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match (reading.value, cx.attempt()) {
            (0, 1 | 2) => Err(Status::unavailable("not now")),
            _ => Ok(()),
        }
    };
    let worker = Worker::builder(&broker.bus).handle(&consumer(), handler);
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    let values: Vec<_> = book.take(22).await.into_iter().map(|seen| seen.value).collect();
    broker.done().await;
    stopped(worker).await;
    let (even, odd): (Vec<u64>, Vec<u64>) = values.iter().partition(|value| **value % 2 == 0);
    assert!(odd.into_iter().eq((1..20).step_by(2)));
    assert!(even.into_iter().eq([0, 0].into_iter().chain((0..20).step_by(2))));
    let last_odd = values.iter().rposition(|value| value % 2 == 1).expect("one");
    let second_even = values.iter().position(|value| *value == 2).expect("one");
    assert!(last_odd < second_even, "the other key did not wait: {values:?}");
}

async fn a_retry_keeps_its_place_however_long_the_wait_is(broker: Broker) {
    let (pen, mut book) = Book::new();
    publish(&broker, 0..3, 1).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        let later = Status::unavailable("not now").with_retry_delay(Duration::from_millis(20));
        if cx.attempt() == 1 { Err(later) } else { Ok(()) }
    };
    let spec = ConsumerSpec { ack_wait: Duration::MAX, ..ConsumerSpec::new("TESTING", "testing") };
    let worker = Worker::builder(&broker.bus).handle(&spec, handler);
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    let values: Vec<_> = book.take(6).await.into_iter().map(|seen| seen.value).collect();
    assert_eq!(values, [0, 0, 1, 1, 2, 2]);
    broker.done().await;
    stopped(worker).await;
}

async fn a_dead_letter_lets_its_key_go_on(broker: Broker) {
    let (pen, mut book) = Book::new();
    publish(&broker, 0..5, 1).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match reading.value {
            1 => Err(Status::unavailable("never")),
            2 => Err(Status::data_loss("no")),
            _ => Ok(()),
        }
    };
    let worker = Worker::builder(&broker.bus).handle(&consumer(), handler);
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    let values: Vec<_> = book.take(7).await.into_iter().map(|seen| seen.value).collect();
    assert_eq!(values, [0, 1, 1, 1, 2, 3, 4]);
    assert_eq!(broker.letters_when(2).await.len(), 2);
    broker.done().await;
    stopped(worker).await;
}

async fn what_is_gone_holds_back_nobody_for_ever(broker: Broker) {
    let (pen, mut book) = Book::new();
    publish(&broker, 0..3, 1).await;
    let streams = Streams::new(&broker.bus);
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        if reading.value == 0 {
            // It will not come again.
            streams.delete_message("TESTING", cx.sequence()).await?;
            return Err(Status::unavailable("not now"));
        }
        Ok(())
    };
    let worker = Worker::builder(&broker.bus).handle(&consumer(), handler);
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    let values: Vec<_> = book.take(3).await.into_iter().map(|seen| seen.value).collect();
    assert_eq!(values, [0, 1, 2]);
    stopped(worker).await;
}

async fn a_key_of_something_else_is_refused(broker: Broker) {
    let worker = scribe(&broker, &consumer(), Book::new().0);
    let status = worker.ordered_by(|note: &Note| note.author.clone()).start().await.expect_err("refused");
    assert_eq!(status.code(), subwire::Code::InvalidArgument);
    assert_eq!(Note::INFO.name, "testing.event.v1.Note");
}

async fn what_waits_for_its_turn_is_handed_back_by_a_stop(broker: Broker) {
    let spec = ConsumerSpec { ack_wait: 10 * PATIENCE, ..impatient() };
    let (pen, mut book) = Book::new();
    let hang = pen.clone();
    publish(&broker, 0..5, 1).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        hang.write(&cx, reading.value);
        std::future::pending().await
    };
    let worker = Worker::builder(&broker.bus).handle(&spec, handler).grace(Duration::from_millis(50));
    let worker = started(worker.ordered_by(|reading: &Reading| room(reading))).await;
    book.next().await;
    let info = async || Streams::new(&broker.bus).consumer_info("TESTING", "testing").await.expect("a consumer");
    eventually("all are here", async || info().await.ack_pending == 5).await;
    let monitor = worker.monitor().clone();
    stopped(worker).await;
    assert_eq!(monitor.counts().handed_back, 5);
    let worker = started(scribe(&broker, &spec, pen)).await;
    assert!(book.take(5).await.iter().all(|seen| seen.attempt == 2));
    broker.done().await;
    stopped(worker).await;
}

async fn what_does_not_fit_is_given_back_and_keeps_its_place(broker: Broker) {
    const LARGE: u64 = 45;
    let payload = "x".repeat(900_000);
    let mut pipeline = Events::new(&broker.bus).pipeline();
    for number in 0..LARGE {
        let note = Note { author: "one".to_owned(), text: format!("{number} {payload}") };
        pipeline.publish(&note).await.expect("handed over");
    }
    let note = Note { author: "other".to_owned(), text: "100".to_owned() };
    pipeline.publish(&note).await.expect("handed over");
    pipeline.finish().await.expect("stored");
    let (pen, mut book) = Book::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let at_gate = gate.clone();
    let handler = async move |cx: Delivery, note: Note| -> Result<()> {
        let number = note.text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        if number == 0 {
            at_gate.acquire().await.map_err(|_| Status::internal("closed"))?.forget();
        }
        pen.write(&cx, number);
        Ok(())
    };
    let wait = Duration::from_millis(50);
    let worker = Worker::builder(&broker.bus).handle(&impatient(), handler).retry_delays(wait, wait);
    let worker = started(worker.ordered_by(|note: &Note| note.author.clone())).await;
    // The first one keeps back more than there is room for, and the other key does not notice.
    assert_eq!(book.next().await.value, 100);
    gate.add_permits(1);
    let seen = book.take(LARGE as usize).await;
    assert!(seen.iter().map(|seen| seen.value).eq(0..LARGE), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.attempt > 1), "some did not fit");
    broker.done().await;
    stopped(worker).await;
}

/// What waits behind one that fails while its worker stops, and has no attempt left, is tried all the same.
#[tokio::test(start_paused = true)]
async fn a_last_attempt_waits_for_nobody_who_does_not_come() {
    let broker = Broker::memory().await;
    let spec = ConsumerSpec { max_deliver: Some(2), ack_wait: PATIENCE, ..ConsumerSpec::new("TESTING", "testing") };
    let gates = Arc::new([Semaphore::new(0), Semaphore::new(0)]);
    let (pen, mut book) = Book::new();
    let (at_gates, other) = (gates.clone(), pen.clone());
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        if let Some(gate) = at_gates.get(reading.value as usize) {
            gate.acquire().await.map_err(|_| Status::internal("closed"))?.forget();
        }
        if reading.value == 0 { Err(Status::unavailable("it fails at the end")) } else { Ok(()) }
    };
    // Two rooms: 0 and 2 are in one of them, 1 is in the other and holds the second place.
    let worker = Worker::builder(&broker.bus).handle(&spec, handler).concurrency(2).ordered_by(room);
    let worker = started(worker).await;
    publish(&broker, 0..2, 2).await;
    book.take(2).await;
    let fails = async move |cx: Delivery, reading: Reading| -> Result<()> {
        other.write(&cx, reading.value);
        Err(Status::unavailable("not here"))
    };
    let elsewhere = started(Worker::builder(&broker.bus).handle(&spec, fails)).await;
    publish(&broker, 2..3, 2).await;
    assert_eq!(book.next().await, Seen { value: 2, attempt: 1 });
    stopped(elsewhere).await;
    gates[1].add_permits(1);
    // It has come again by then, and waits behind the one that is running.
    sleep(2 * PATIENCE).await;

    let (begun, monitor) = (Instant::now(), worker.monitor().clone());
    let stopping = tokio::spawn(worker.stop());
    eventually("it stops", async || matches!(monitor.state(), WorkerState::Stopping)).await;
    gates[0].add_permits(1);
    stopping.await.expect("no panic").expect("stopped");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(book.attempts(2), [1, 2]);
}

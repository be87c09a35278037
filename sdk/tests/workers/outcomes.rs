//! What a handler says, and what becomes of its message.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use subwire::{
    Code, Dispatch, Event, Outcome, Status,
    bus::{Message, Subject},
};
use tokio::time::{Instant, sleep};

use crate::*;

on_both_buses!(
    what_is_done_does_not_come_again,
    what_fails_comes_again_after_its_wait,
    a_handler_or_an_error_may_say_when,
    what_fails_at_its_last_attempt_is_set_aside,
    what_another_attempt_cannot_help_is_set_aside_at_once,
    an_outcome_decides_otherwise,
    what_cannot_be_decoded_is_set_aside,
    what_no_handler_takes_is_set_aside,
    a_panic_is_one_failed_attempt,
    each_kind_of_event_has_its_handler,
    a_function_is_a_handler,
    no_more_than_so_many_at_a_time,
    a_consumer_that_nobody_acknowledges_has_no_worker,
    a_handler_knows_its_message,
);

async fn what_is_done_does_not_come_again(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish(0..100).await;
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    let mut values: Vec<_> = book.take(100).await.into_iter().map(|seen| seen.value).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..100));
    broker.done().await;
    assert_eq!(worker.monitor().counts().done, 100);
    stopped(worker).await;
    assert!((0..100).all(|value| book.attempts(value) == [1]));
}

async fn what_fails_comes_again_after_its_wait(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish([7]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match cx.attempt() {
            3 => Ok(()),
            _ => Err(Status::unavailable("not now")),
        }
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.next().await;
    let first = Instant::now();
    book.next().await;
    let second = Instant::now();
    book.next().await;
    // The server counts from when it heard, which is not when we look.
    let slack = Duration::from_millis(20);
    assert!(second - first + slack >= WAITS[0], "{:?}", second - first);
    assert!(second.elapsed() + slack >= WAITS[1], "{:?}", second.elapsed());
    broker.done().await;
    assert_eq!((worker.monitor().counts().done, worker.monitor().counts().failed), (1, 2));
    stopped(worker).await;
    assert_eq!(broker.letters().await.len(), 0);
}

async fn a_handler_or_an_error_may_say_when(broker: Broker) {
    let wait = Duration::from_millis(900);
    let (pen, mut book) = Book::new();
    broker.publish([1, 2]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<Outcome> {
        pen.write(&cx, reading.value);
        match (reading.value, cx.attempt()) {
            (1, 1) => Ok(Outcome::Retry(Duration::from_millis(900))),
            (_, 1) => Err(Status::unavailable("busy").with_retry_delay(Duration::from_millis(900))),
            _ => Ok(Outcome::Done),
        }
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.take(2).await;
    let first = Instant::now();
    book.take(2).await;
    assert!(first.elapsed() + Duration::from_millis(50) >= wait, "{:?}", first.elapsed());
    broker.done().await;
    stopped(worker).await;
}

async fn what_fails_at_its_last_attempt_is_set_aside(broker: Broker) {
    let (pen, mut book) = Book::new();
    let message = reading(7).to_message().expect("legal").with_header("tenant", "acme");
    Events::new(&broker.bus).publish(message).await.expect("stored");
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        assert_eq!(cx.is_last_attempt(), cx.attempt() == 3);
        Err(Status::not_found("no such\r\nsensor \u{1f980}"))
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.take(3).await;
    let letters = broker.letters_when(1).await;
    let letter = &letters[0];
    assert_eq!((&*letter.stream, &*letter.consumer, letter.sequence, letter.attempts), ("TESTING", "testing", 1, 3));
    assert_eq!((letter.code, &*letter.reason), (Code::NotFound, "no such\r\nsensor \u{1f980}"));
    assert_eq!(letter.subject.as_str(), "testing.reading.kitchen.temperature");
    assert_eq!(letter.headers.get("tenant"), Some("acme"));
    assert_eq!(letter.headers.get("Nats-Msg-Id"), Some("reading-7"));
    assert_eq!(letter.decode::<Reading>().expect("a reading"), reading(7));
    let stored = Streams::new(&broker.bus).message("TESTING", 1).await.expect("an answer").expect("a message");
    assert_eq!(letter.first_time, stored.time);
    broker.done().await;
    let counts = worker.monitor().counts();
    assert_eq!((counts.failed, counts.dead_letters, counts.panicked), (3, 1, 0));
    stopped(worker).await;
    assert_eq!(book.attempts(7), [1, 2, 3]);
}

async fn what_another_attempt_cannot_help_is_set_aside_at_once(broker: Broker) {
    let codes = [Code::InvalidArgument, Code::OutOfRange, Code::Unimplemented, Code::DataLoss];
    broker.publish(0..4).await;
    let handler = async move |_: Delivery, reading: Reading| -> Result<()> {
        Err(Status::new(codes[reading.value as usize], "it will be the same next time"))
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    let letters = broker.letters_when(4).await;
    assert!(letters.iter().all(|letter| letter.attempts == 1));
    for code in codes {
        assert_eq!(letters.iter().filter(|letter| letter.code == code).count(), 1, "{code}");
    }
    broker.done().await;
    stopped(worker).await;
}

async fn an_outcome_decides_otherwise(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish([1, 2]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Outcome {
        pen.write(&cx, reading.value);
        match (reading.value, cx.attempt()) {
            (1, _) => Outcome::DeadLetter("nobody wants it".to_owned()),
            (_, 1) => Outcome::Retry(Duration::from_millis(50)),
            _ => Outcome::Done,
        }
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.take(3).await;
    let letters = broker.letters_when(1).await;
    assert_eq!((&*letters[0].reason, letters[0].attempts), ("nobody wants it", 1));
    broker.done().await;
    stopped(worker).await;
    assert_eq!((book.attempts(1), book.attempts(2)), (vec![1], vec![1, 2]));
}

async fn what_cannot_be_decoded_is_set_aside(broker: Broker) {
    let (pen, mut book) = Book::new();
    let subject = reading(1).subject().expect("legal");
    let garbage = Message::new(subject, vec![0xff; 3]);
    Events::new(&broker.bus).publish(garbage).await.expect("stored");
    broker.publish([2]).await;
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    assert_eq!(book.next().await.value, 2);
    let letters = broker.letters_when(1).await;
    assert_eq!((letters[0].code, &letters[0].payload[..]), (Code::DataLoss, &[0xff; 3][..]));
    assert_eq!(letters[0].decode::<Reading>().expect_err("no reading").code(), Code::DataLoss);
    broker.done().await;
    stopped(worker).await;
}

async fn what_no_handler_takes_is_set_aside(broker: Broker) {
    let (pen, mut book) = Book::new();
    let note = Note { author: "a.b".to_owned(), text: "hello".to_owned() };
    Events::new(&broker.bus).publish(&note).await.expect("stored");
    broker.publish([2]).await;
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    assert_eq!(book.next().await.value, 2);
    let letters = broker.letters_when(1).await;
    assert_eq!((letters[0].code, letters[0].attempts), (Code::Unimplemented, 1));
    assert_eq!(letters[0].decode::<Note>().expect("a note"), note);
    broker.done().await;
    stopped(worker).await;
}

async fn a_panic_is_one_failed_attempt(broker: Broker) {
    let (pen, mut book) = Book::new();
    broker.publish([1, 2, 3]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        match reading.value {
            1 => panic!("the secret is 42"),
            2 if cx.attempt() == 1 => {
                tokio::task::yield_now().await;
                panic!("later")
            }
            _ => Ok(()),
        }
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.take(6).await;
    let letters = broker.letters_when(1).await;
    assert_eq!((letters[0].code, letters[0].attempts), (Code::Internal, 3));
    assert!(!letters[0].reason.contains("42"), "{}", letters[0].reason);
    broker.done().await;
    let counts = worker.monitor().counts();
    assert_eq!((counts.done, counts.panicked, counts.failed, counts.dead_letters), (2, 4, 4, 1));
    stopped(worker).await;
}

async fn each_kind_of_event_has_its_handler(broker: Broker) {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (readings, notes, rest) = (sender.clone(), sender.clone(), sender);
    let events = Events::new(&broker.bus);
    let note = Note { author: "me".to_owned(), text: "hello".to_owned() };
    events.publish(&note).await.expect("stored");
    broker.publish([5]).await;
    let dispatch = Dispatch::new()
        .on(async move |_: Delivery, reading: Reading| -> Result<()> {
            let _ = readings.send(format!("reading {}", reading.value));
            Ok(())
        })
        .on(async move |_: Delivery, note: Note| -> Outcome {
            let _ = notes.send(format!("note {}", note.text));
            Outcome::Done
        })
        .on(async move |cx: Delivery, message: Message| -> Result<Outcome> {
            let _ = rest.send(format!("{} {}", cx.subject(), message.payload.len()));
            Ok(Outcome::Done)
        });
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), dispatch)).await;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(within("a message", heard.recv()).await.expect("one"));
    }
    all.sort();
    assert_eq!(all, ["note hello", "reading 5"]);
    broker.done().await;
    stopped(worker).await;
}

async fn nothing(_: Delivery, _: Reading) -> Result<()> {
    Ok(())
}

async fn a_function_is_a_handler(broker: Broker) {
    broker.publish([1]).await;
    let worker = started(Worker::builder(&broker.bus).handle(&schema::consumer::TESTING, nothing)).await;
    broker.done().await;
    stopped(worker).await;
}

async fn no_more_than_so_many_at_a_time(broker: Broker) {
    broker.publish(0..40).await;
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let highest = most.clone();
    let handler = async move |_: Delivery, _: Reading| -> Result<()> {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(Duration::from_millis(20)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler).concurrency(4)).await;
    broker.done().await;
    stopped(worker).await;
    assert_eq!(highest.load(Ordering::SeqCst), 4);
}

async fn a_consumer_that_nobody_acknowledges_has_no_worker(broker: Broker) {
    let spec = ConsumerSpec { ack: subwire::AckPolicy::None, ..consumer() };
    let status = Worker::builder(&broker.bus).handle(&spec, nothing).start().await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

async fn a_handler_knows_its_message(broker: Broker) {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let message = reading(3).to_message().expect("legal").with_header("traceparent", "00-1");
    Events::new(&broker.bus).publish(message).await.expect("stored");
    let handler = async move |cx: Delivery, _: Reading| -> Result<()> {
        let _ = sender.send(cx);
        Ok(())
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    let cx = within("a message", seen.recv()).await.expect("one");
    assert_eq!(*cx.subject(), Subject::new("testing.reading.kitchen.temperature").expect("legal"));
    assert_eq!((cx.stream(), cx.consumer(), cx.sequence(), cx.attempt()), ("TESTING", "testing", 1, 1));
    assert_eq!((cx.id(), cx.headers().get("traceparent")), (Some("reading-3"), Some("00-1")));
    let stored = Streams::new(&broker.bus).message("TESTING", 1).await.expect("an answer").expect("a message");
    assert_eq!(cx.time(), stored.time);
    assert!(!cx.is_cancelled());
    stopped(worker).await;
    assert!(cx.is_cancelled());
}

//! Consumers and streams that are deleted while somebody works.

use subwire::{Code, WorkerState, reason};
use tokio::time::Instant;

use crate::*;

on_both_buses!(
    a_consumer_is_made_if_there_is_none,
    a_deleted_consumer_is_made_again,
    a_deleted_consumer_ends_who_is_told_so,
    a_stream_is_waited_for,
    without_its_stream_a_worker_does_not_start,
    what_is_being_done_is_not_begun_twice,
    a_closed_bus_ends_it,
    the_broker_says_how_many_attempts,
);

fn reason_of(status: &subwire::Status) -> String {
    status.error_info().expect("a reason").reason
}

async fn a_consumer_is_made_if_there_is_none(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    assert_eq!(streams.consumer_names("TESTING").await.expect("names"), Vec::<String>::new());
    let worker = started(scribe(&broker, &consumer(), Book::new().0)).await;
    let info = streams.consumer_info("TESTING", "testing").await.expect("a consumer");
    assert_eq!((info.spec.max_deliver, info.spec.ack_wait), (Some(3), ACK_WAIT.min(info.spec.ack_wait)));
    stopped(worker).await;
}

async fn a_deleted_consumer_is_made_again(broker: Broker) {
    let streams = Streams::new(&broker.bus);
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    let begun = Instant::now();
    for value in 0..3 {
        broker.publish([value]).await;
        while book.next().await.value != value {}
        streams.delete_consumer("TESTING", "testing").await.expect("deleted");
        let is_there = async || streams.consumer_names("TESTING").await.expect("names") == ["testing"];
        eventually("it is made again", is_there).await;
    }
    // The first time it is made again at once, then once a second at most.
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "{:?}", begun.elapsed());
    broker.done().await;
    stopped(worker).await;
}

async fn a_deleted_consumer_ends_who_is_told_so(broker: Broker) {
    let mut worker = started(scribe(&broker, &consumer(), Book::new().0).recreate(false)).await;
    Streams::new(&broker.bus).delete_consumer("TESTING", "testing").await.expect("deleted");
    let status = within("an end", worker.ended()).await.expect_err("gone");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::NotFound, reason::CONSUMER_NOT_FOUND));
    assert!(matches!(worker.monitor().state(), WorkerState::Stopped));
}

async fn a_stream_is_waited_for(broker: Broker) {
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    broker.publish([1]).await;
    book.next().await;
    let streams = Streams::new(&broker.bus);
    streams.delete("TESTING").await.expect("deleted");
    let waits = async || match worker.monitor().state() {
        WorkerState::Waiting(status) => reason_of(&status) == reason::STREAM_NOT_FOUND,
        _ => false,
    };
    eventually("it is noticed", waits).await;
    streams.apply(schema::stream::TESTING.clone()).await.expect("applied");
    broker.publish([2]).await;
    assert_eq!(book.next().await, Seen { value: 2, attempt: 1 });
    broker.done().await;
    stopped(worker).await;
}

async fn without_its_stream_a_worker_does_not_start(broker: Broker) {
    Streams::new(&broker.bus).delete("TESTING").await.expect("deleted");
    let status = scribe(&broker, &consumer(), Book::new().0).start().await.expect_err("no stream");
    assert_eq!((status.code(), &*reason_of(&status)), (Code::NotFound, reason::STREAM_NOT_FOUND));
}

async fn what_is_being_done_is_not_begun_twice(broker: Broker) {
    let (pen, mut book) = Book::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let at_gate = gate.clone();
    broker.publish([1]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        at_gate.acquire().await.map_err(|_| subwire::Status::internal("closed"))?.forget();
        Ok(())
    };
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    book.next().await;
    // The one that is made again knows nothing of what is out.
    Streams::new(&broker.bus).delete_consumer("TESTING", "testing").await.expect("deleted");
    eventually("it came again", async || worker.monitor().counts().doubles == 1).await;
    gate.add_permits(5);
    broker.done().await;
    assert_eq!(worker.monitor().counts().done, 1);
    stopped(worker).await;
    assert_eq!(book.attempts(1), [1]);
}

async fn a_closed_bus_ends_it(broker: Broker) {
    let mut worker = started(scribe(&broker, &consumer(), Book::new().0)).await;
    broker.bus.close().await.expect("closed");
    let status = within("an end", worker.ended()).await.expect_err("closed");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

async fn the_broker_says_how_many_attempts(broker: Broker) {
    let spec = ConsumerSpec { max_deliver: Some(1), ..impatient() };
    Streams::new(&broker.bus).apply(spec).await.expect("applied");
    broker.publish([1]).await;
    let handler = async |_: Delivery, _: Reading| -> Result<()> { Err(subwire::Status::unavailable("no")) };
    // Its spec says three, and at the second the broker would give up in silence.
    let worker = started(Worker::builder(&broker.bus).handle(&consumer(), handler)).await;
    assert_eq!(broker.letters_when(1).await[0].attempts, 1);
    broker.done().await;
    stopped(worker).await;
}

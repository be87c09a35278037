//! What a worker has still to do.

use subwire::{Code, Lag, Status};
use tokio::time::sleep;

use crate::*;

on_both_buses!(lag_tells_what_is_left, without_a_consumer_there_is_no_lag, the_oldest_is_one_that_it_wants);

async fn lag_tells_what_is_left(broker: Broker) {
    let (pen, mut book) = Book::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let at_gate = gate.clone();
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        if (reading.value, cx.attempt()) == (0, 1) {
            return Err(Status::unavailable("not now"));
        }
        at_gate.acquire().await.map_err(|_| Status::internal("closed"))?.forget();
        Ok(())
    };
    // So that the broker keeps what does not fit.
    let spec = ConsumerSpec { max_ack_pending: 4, ..consumer() };
    let worker = started(Worker::builder(&broker.bus).handle(&spec, handler).concurrency(4)).await;
    let monitor = worker.monitor();
    assert_eq!(monitor.lag().await.expect("a consumer"), Lag::default());
    broker.publish(0..10).await;
    book.take(5).await;
    sleep(Duration::from_millis(300)).await;
    let lag = monitor.lag().await.expect("a consumer");
    assert_eq!((lag.pending, lag.ack_pending, lag.redelivered), (6, 4, 1));
    let age = lag.oldest_age.expect("one");
    assert!(age >= Duration::from_millis(250) && age < PATIENCE, "{age:?}");
    gate.add_permits(10);
    eventually("nothing is left", async || monitor.lag().await.expect("a consumer") == Lag::default()).await;
    stopped(worker).await;
}

async fn without_a_consumer_there_is_no_lag(broker: Broker) {
    let monitor = scribe(&broker, &consumer(), Book::new().0).monitor();
    assert_eq!(monitor.lag().await.expect_err("none").code(), Code::NotFound);
}

async fn the_oldest_is_one_that_it_wants(broker: Broker) {
    let spec = ConsumerSpec { filters: vec!["testing.note.*".into()].into(), ..consumer() };
    let worker = started(
        Worker::builder(&broker.bus)
            .handle(&spec, async |_: Delivery, _: Note| -> Result<()> { std::future::pending().await }),
    );
    let worker = worker.await;
    broker.publish([1]).await;
    assert_eq!(worker.monitor().lag().await.expect("a consumer").oldest_age, None);
    let note = Note { author: "me".to_owned(), text: "hello".to_owned() };
    Events::new(&broker.bus).publish(&note).await.expect("stored");
    eventually("it is out", async || worker.monitor().lag().await.expect("a consumer").ack_pending == 1).await;
    let age = worker.monitor().lag().await.expect("a consumer").oldest_age.expect("one");
    assert!(age < PATIENCE, "{age:?}");
    drop(worker);
}

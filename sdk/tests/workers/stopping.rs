//! How a worker stops.

use std::sync::atomic::{AtomicBool, Ordering};

use subwire::{Status, WorkerState};
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use crate::*;

on_both_buses!(
    what_has_begun_is_finished,
    what_has_not_begun_is_handed_back,
    what_does_not_end_is_cut_off,
    a_worker_may_have_all_the_time_there_is,
    what_has_no_attempt_left_is_not_handed_back,
    what_cannot_be_set_aside_is_handed_back,
    a_worker_runs_until_it_is_told_to_stop,
    no_task_is_left,
);

/// A gate that lets through whom it is told to.
fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// A worker whose handlers wait at a gate.
fn waiting(broker: &Broker, spec: &ConsumerSpec, pen: Pen, gate: &Arc<Semaphore>) -> WorkerBuilder {
    let gate = gate.clone();
    Worker::builder(&broker.bus).handle(spec, async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        gate.acquire().await.map_err(|_| Status::internal("closed"))?.forget();
        Ok(())
    })
}

async fn what_has_begun_is_finished(broker: Broker) {
    let (pen, mut book) = Book::new();
    let gate = gate();
    broker.publish(0..3).await;
    let worker = started(waiting(&broker, &consumer(), pen, &gate)).await;
    book.take(3).await;
    let mut monitor = worker.monitor().clone();
    let stop = tokio::spawn(worker.stop());
    while !matches!(within("it stops", monitor.changed()).await, WorkerState::Stopping) {}
    broker.publish(3..6).await;
    gate.add_permits(3);
    within("a stop", stop).await.expect("no panic").expect("stopped");
    let info = Streams::new(&broker.bus).consumer_info("TESTING", "testing").await.expect("a consumer");
    let counts = monitor.counts();
    assert_eq!(counts.done, 3, "{counts:?}");
    assert_eq!(info.ack_pending + info.pending, 3, "what came later was not begun: {info:?} {counts:?}");
    assert!(matches!(monitor.state(), WorkerState::Stopped));
}

async fn a_worker_may_have_all_the_time_there_is(broker: Broker) {
    let (pen, mut book) = Book::new();
    let gate = gate();
    broker.publish([1]).await;
    let worker = started(waiting(&broker, &consumer(), pen, &gate).grace(Duration::MAX)).await;
    book.next().await;
    let monitor = worker.monitor().clone();
    let stop = tokio::spawn(worker.stop());
    gate.add_permits(1);
    within("a stop", stop).await.expect("no panic").expect("stopped");
    assert_eq!(monitor.counts().done, 1);
}

async fn what_has_not_begun_is_handed_back(broker: Broker) {
    // For so long that nothing comes again by itself.
    let spec = ConsumerSpec { ack_wait: 10 * PATIENCE, backoff: Vec::new().into(), ..consumer() };
    let (pen, mut book) = Book::new();
    let gate = gate();
    broker.publish(0..10).await;
    let worker = started(waiting(&broker, &spec, pen.clone(), &gate).concurrency(2)).await;
    book.take(2).await;
    // As many are here as are handled at one time: the handler is slow. In memory what nobody has asked
    // for stays where it is.
    if broker.server.is_some() {
        let info = async || Streams::new(&broker.bus).consumer_info("TESTING", "testing").await.expect("a consumer");
        eventually("they are here", async || info().await.ack_pending == 4).await;
    }
    let stop = tokio::spawn(worker.stop());
    let other = started(scribe(&broker, &spec, pen)).await;
    let mut rest: Vec<_> = book.take(8).await.into_iter().map(|seen| seen.value).collect();
    rest.sort_unstable();
    assert!(rest.into_iter().eq(2..10));
    gate.add_permits(2);
    within("a stop", stop).await.expect("no panic").expect("stopped");
    broker.done().await;
    stopped(other).await;
    assert_eq!((book.attempts(0), book.attempts(1)), (vec![1], vec![1]));
}

async fn what_does_not_end_is_cut_off(broker: Broker) {
    let (pen, mut book) = Book::new();
    let (sender, mut contexts) = mpsc::unbounded_channel();
    let hang = pen.clone();
    let spec = ConsumerSpec { ack_wait: 10 * PATIENCE, ..impatient() };
    broker.publish([1]).await;
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        hang.write(&cx, reading.value);
        let _ = sender.send(cx);
        std::future::pending().await
    };
    let grace = Duration::from_millis(300);
    let worker = started(Worker::builder(&broker.bus).handle(&spec, handler).grace(grace)).await;
    book.next().await;
    let cx = within("a context", contexts.recv()).await.expect("one");
    let elsewhere = tokio::spawn(async move { cx.cancelled().await });
    assert!(!elsewhere.is_finished());
    let (monitor, begun) = (worker.monitor().clone(), Instant::now());
    stopped(worker).await;
    assert!(begun.elapsed() >= grace && begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    within("work that was moved elsewhere", elsewhere).await.expect("no panic");
    assert_eq!((monitor.counts().handed_back, monitor.counts().failed), (1, 0));
    let worker = started(scribe(&broker, &spec, pen)).await;
    assert_eq!(book.next().await, Seen { value: 1, attempt: 2 });
    broker.done().await;
    stopped(worker).await;
}

async fn what_has_no_attempt_left_is_not_handed_back(broker: Broker) {
    let spec = ConsumerSpec { max_deliver: Some(1), ..impatient() };
    let (pen, mut book) = Book::new();
    let gate = gate();
    broker.publish(0..5).await;
    let worker = started(waiting(&broker, &spec, pen, &gate).concurrency(1)).await;
    book.next().await;
    let mut monitor = worker.monitor().clone();
    let stop = tokio::spawn(worker.stop());
    while !matches!(within("it stops", monitor.changed()).await, WorkerState::Stopping) {}
    gate.add_permits(5);
    within("a stop", stop).await.expect("no panic").expect("stopped");
    assert_eq!((monitor.counts().handed_back, broker.letters().await.len()), (0, 0));
    // What it had not taken yet is for the next one. What it had is done.
    let taken = monitor.counts().done;
    let worker = started(waiting(&broker, &spec, Book::new().0, &gate)).await;
    gate.add_permits(5);
    broker.done().await;
    assert_eq!((taken + worker.monitor().counts().done, broker.letters().await.len()), (5, 0));
    stopped(worker).await;
}

async fn what_cannot_be_set_aside_is_handed_back(broker: Broker) {
    // Nothing fits this stream.
    let useless = subwire::StreamSpec { max_message_bytes: Some(1), ..DeadLetters::spec() };
    broker.publish([1]).await;
    let handler = async |_: Delivery, _: Reading| -> Result<()> { Err(Status::data_loss("no")) };
    let worker = Worker::builder(&broker.bus).handle(&impatient(), handler);
    let running = started(worker.clone().dead_letters(useless)).await;
    let monitor = running.monitor().clone();
    eventually("no room", async || monitor.counts().burials_failed >= 1).await;
    stopped(running).await;
    assert_eq!(broker.letters().await.len(), 0);
    Streams::new(&broker.bus).delete("dead-letters").await.expect("deleted");
    let running = started(worker).await;
    let letters = broker.letters_when(1).await;
    assert_eq!(letters[0].attempts, 2);
    broker.done().await;
    stopped(running).await;
}

async fn a_worker_runs_until_it_is_told_to_stop(broker: Broker) {
    let (pen, mut book) = Book::new();
    let (stop, stopping) = oneshot::channel::<()>();
    let worker = scribe(&broker, &consumer(), pen);
    let monitor = worker.monitor();
    let running = tokio::spawn(worker.run(async { _ = stopping.await }));
    broker.publish([1]).await;
    book.next().await;
    assert!(matches!(monitor.state(), WorkerState::Working));
    stop.send(()).expect("it runs");
    within("a stop", running).await.expect("no panic").expect("stopped");
    assert!(matches!(monitor.state(), WorkerState::Stopped));
    assert_eq!(monitor.counts().done, 1);
}

async fn no_task_is_left(broker: Broker) {
    static CUT_OFF: AtomicBool = AtomicBool::new(false);
    struct Flag;
    impl Drop for Flag {
        fn drop(&mut self) {
            CUT_OFF.store(true, Ordering::SeqCst);
        }
    }
    broker.publish(0..20).await;
    // What the bus itself runs is there by now.
    Streams::new(&broker.bus).info("TESTING").await.expect("a stream");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (pen, mut book) = Book::new();
    let handler = async move |cx: Delivery, reading: Reading| -> Result<()> {
        let _flag = Flag;
        pen.write(&cx, reading.value);
        std::future::pending().await
    };
    let worker = Worker::builder(&broker.bus).handle(&impatient(), handler).grace(Duration::ZERO);
    let running = started(worker.clone()).await;
    book.take(16).await;
    stopped(running).await;
    assert!(CUT_OFF.swap(false, Ordering::SeqCst));
    // A task counts until its thread has put it away.
    eventually("no task", async || tasks() == before).await;
    let running = started(worker).await;
    book.take(16).await;
    drop(running);
    eventually("no task", async || tasks() == before).await;
    assert!(CUT_OFF.load(Ordering::SeqCst));
}

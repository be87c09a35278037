//! Several workers in one program.

use subwire::{Code, WorkerGroup, WorkerState};
use tokio::sync::oneshot;

use crate::*;

on_both_buses!(
    all_run_and_stop_together,
    one_that_fails_is_started_again,
    what_starting_again_does_not_help_ends_them_all,
    names_are_given_once,
);

fn named(broker: &Broker, name: &'static str, pen: Pen) -> WorkerBuilder {
    scribe(broker, &ConsumerSpec { name: name.into(), ..consumer() }, pen).recreate(false)
}

async fn all_run_and_stop_together(broker: Broker) {
    let ((pen, mut one), (other_pen, mut other)) = (Book::new(), Book::new());
    let group =
        WorkerGroup::new().add("one", named(&broker, "one", pen)).add("other", named(&broker, "other", other_pen));
    let monitors = ["one", "other"].map(|name| group.monitor(name).expect("a worker"));
    assert!(group.monitor("nobody").is_none());
    let (stop, stopping) = oneshot::channel::<()>();
    let running = tokio::spawn(group.run(async { _ = stopping.await }));
    broker.publish([1]).await;
    assert_eq!((one.next().await.value, other.next().await.value), (1, 1));
    stop.send(()).expect("they run");
    within("a stop", running).await.expect("no panic").expect("stopped");
    assert!(monitors.iter().all(|monitor| matches!(monitor.state(), WorkerState::Stopped)));
}

async fn one_that_fails_is_started_again(broker: Broker) {
    let ((pen, mut one), (other_pen, mut other)) = (Book::new(), Book::new());
    let group =
        WorkerGroup::new().add("one", named(&broker, "one", pen)).add("other", named(&broker, "other", other_pen));
    let monitor = group.monitor("one").expect("a worker");
    let (stop, stopping) = oneshot::channel::<()>();
    let running = tokio::spawn(group.run(async { _ = stopping.await }));
    broker.publish([1]).await;
    assert_eq!((one.next().await.value, other.next().await.value), (1, 1));
    let streams = Streams::new(&broker.bus);
    streams.delete_consumer("TESTING", "one").await.expect("deleted");
    let is_there = async || streams.consumer_names("TESTING").await.expect("names") == ["one", "other"];
    eventually("it is started again", is_there).await;
    broker.publish([2]).await;
    assert_eq!(other.next().await.value, 2, "the other one did not notice");
    while one.next().await.value != 2 {}
    assert!(matches!(monitor.state(), WorkerState::Working));
    stop.send(()).expect("they run");
    within("a stop", running).await.expect("no panic").expect("stopped");
}

async fn what_starting_again_does_not_help_ends_them_all(broker: Broker) {
    let bad = ConsumerSpec { ack: subwire::AckPolicy::None, ..consumer() };
    let group = WorkerGroup::new()
        .add("good", named(&broker, "good", Book::new().0))
        .add("bad", scribe(&broker, &bad, Book::new().0));
    let status = within("an end", group.run(std::future::pending())).await.expect_err("one is bad");
    assert_eq!(status.code(), Code::InvalidArgument);
}

async fn names_are_given_once(broker: Broker) {
    let worker = named(&broker, "one", Book::new().0);
    let group = WorkerGroup::new().add("same", worker.clone()).add("same", worker);
    assert_eq!(group.run(std::future::pending()).await.expect_err("twice").code(), Code::InvalidArgument);
}

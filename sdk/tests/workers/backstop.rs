//! What the broker has given up on.

use subwire::Code;

use crate::*;

on_both_buses!(what_kills_its_worker_each_time_is_set_aside_in_the_end);

async fn what_kills_its_worker_each_time_is_set_aside_in_the_end(broker: Broker) {
    let spec = ConsumerSpec { max_deliver: Some(1), ack_wait: Duration::from_millis(300), ..impatient() };
    let streams = Streams::new(&broker.bus);
    let (pen, mut book) = Book::new();
    let hang = pen.clone();
    let killed = Worker::builder(&broker.bus)
        .handle(&spec, async move |cx: Delivery, reading: Reading| -> Result<()> {
            hang.write(&cx, reading.value);
            std::future::pending().await
        })
        // Nothing can be set aside: not even what has no attempt left.
        .dead_letters(subwire::StreamSpec { max_message_bytes: Some(1), ..DeadLetters::spec() });
    // It listens from now on.
    let sweeper = started(killed.clone().backstop()).await;
    broker.publish([1]).await;
    book.next().await;
    drop(sweeper);
    let out = async || streams.consumer_info("TESTING", "testing").await.expect("a consumer").delivered;
    assert_eq!(out().await, 1);
    for _ in 0..2 {
        let worker = started(killed.clone()).await;
        let failed = worker.monitor().counts().burials_failed;
        eventually("it came", async || worker.monitor().counts().burials_failed > failed).await;
        drop(worker);
    }
    streams.delete("dead-letters").await.expect("deleted");
    let worker = started(scribe(&broker, &spec, pen).backstop()).await;
    let letters = broker.letters_when(1).await;
    assert_eq!((letters[0].sequence, letters[0].attempts, letters[0].code), (1, 3, Code::Aborted));
    assert_eq!(letters[0].decode::<Reading>().expect("a reading"), reading(1));
    stopped(worker).await;
    assert_eq!((book.attempts(1), broker.letters().await.len()), (vec![1], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_backstop_cannot_go_on_ends() {
    let permissions = r#"authorization: { users: [
        { user: ann, password: s3cret, permissions: {
            publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.dead-letter-advisories.>"] } } }
    ] }"#;
    let server = NatsServer::builder().jetstream().config(permissions).start().await.expect("a server");
    let options = subwire::bus::NatsOptions::new(server.url()).user_and_password("ann", "s3cret");
    let bus = Bus::nats(options).await.expect("connected");
    let broker = Broker { bus, server: Some(server) }.with_streams().await;
    let (pen, mut book) = Book::new();
    let mut worker = started(scribe(&broker, &impatient(), pen).backstop()).await;
    let status = within("an end", worker.ended()).await.expect_err("it may not read the advisories");
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(status.message().starts_with("the backstop of a worker"), "{status:?}");
    // What it has is done all the same.
    broker.publish([1]).await;
    assert_eq!(book.next().await.value, 1);
    stopped(worker).await;
}

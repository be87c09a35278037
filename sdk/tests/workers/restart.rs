//! A server that goes away and comes back.

use crate::*;

#[tokio::test]
async fn a_worker_goes_on_when_its_server_is_back() {
    let mut broker = Broker::nats().await;
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&broker, &consumer(), pen)).await;
    for round in 0..3 {
        broker.publish([round]).await;
        while book.next().await.value != round {}
        broker.server.as_mut().expect("a server").restart().await.expect("restarted");
    }
    broker.publish([3]).await;
    while book.next().await.value != 3 {}
    broker.done().await;
    stopped(worker).await;
}

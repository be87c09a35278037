use super::*;
use crate::{Code, Executed};

/// A consumer with this wait, of a stream with one message.
async fn one(ack_wait: Duration) -> (NatsServer, JetStream, Deliveries) {
    let (server, streams) = orders().await;
    publish(&streams, "order.new", "a").await;
    put_consumer(&streams, ConsumerSpec { ack_wait, ..billing() }).await;
    let deliveries = pull(&streams).await;
    (server, streams, deliveries)
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn what_is_done_does_not_come_again() {
    let (_server, streams, mut deliveries) = one(Duration::from_millis(200)).await;
    let first = next(&mut deliveries).await;
    assert_eq!((first.attempt, first.stream_sequence, first.consumer_sequence, first.pending), (1, 1, 1, 0));
    assert_eq!(
        (&*first.origin.stream, &*first.origin.consumer, first.message.subject.as_str()),
        ("orders", "billing", "order.new")
    );
    streams.ack_confirmed(&first, Ack::Done).await.expect("done");
    publish(&streams, "order.new", "b").await;
    assert_eq!(next(&mut deliveries).await.stream_sequence, 2);
    // The second is not acknowledged, so it is what comes again.
    let again = next(&mut deliveries).await;
    assert_eq!((again.stream_sequence, again.attempt), (2, 2));
}

#[tokio::test]
async fn a_retry_comes_after_its_delay_and_not_at_once() {
    let (_server, streams, mut deliveries) = one(LONG).await;
    let delay = Duration::from_millis(300);
    let first = next(&mut deliveries).await;
    let sent = std::time::Instant::now();
    streams.ack_confirmed(&first, Ack::Retry(delay)).await.expect("known");
    let again = next(&mut deliveries).await;
    assert_eq!((again.stream_sequence, again.attempt), (1, 2));
    assert!(sent.elapsed() >= delay, "{:?}", sent.elapsed());
}

#[tokio::test]
async fn progress_begins_the_wait_anew() {
    let wait = Duration::from_millis(500);
    let (_server, streams, mut deliveries) = one(wait).await;
    let first = next(&mut deliveries).await;
    let began = std::time::Instant::now();
    let mut beats = tokio::time::interval(wait / 5);
    for _ in 0..10 {
        beats.tick().await;
        streams.ack(&first, Ack::Progress).await.expect("sent");
    }
    assert_eq!(next(&mut deliveries).await.attempt, 2);
    assert!(began.elapsed() >= wait * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn progress_covers_what_is_not_read_yet() {
    let wait = Duration::from_millis(500);
    let (_server, streams, mut deliveries) = one(wait).await;
    publish(&streams, "order.new", "b").await;
    let first = next(&mut deliveries).await;
    let mut beats = tokio::time::interval(wait / 5);
    for _ in 0..15 {
        beats.tick().await;
        streams.ack(&first, Ack::Progress).await.expect("sent");
        deliveries.progress();
    }
    let second = next(&mut deliveries).await;
    assert_eq!((second.stream_sequence, second.attempt), (2, 1));
    streams.ack_confirmed(&second, Ack::Done).await.expect("done");
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.redelivered, info.ack_pending), (0, 1));
}

#[tokio::test]
async fn a_terminated_message_does_not_come_again() {
    let (_server, streams, mut deliveries) = one(LONG).await;
    let first = next(&mut deliveries).await;
    streams.ack_confirmed(&first, Ack::Term("poison".to_owned())).await.expect("known");
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.ack_pending, info.ack_floor), (0, 1));
}

/// The trap of async-nats: it takes a 503 for a confirmation.
#[tokio::test]
async fn an_acknowledgement_that_nobody_takes_is_not_confirmed() {
    let (_server, streams, mut deliveries) = one(LONG).await;
    let first = next(&mut deliveries).await;
    streams.delete_consumer("orders", "billing").await.expect("deleted");
    let status = soon("an answer", streams.ack_confirmed(&first, Ack::Done)).await.expect_err("nobody");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    assert_eq!(waiting(&streams), 0);
}

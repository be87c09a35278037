use super::*;
use crate::Code;

async fn batches() -> (NatsServer, JetStream) {
    let server = server().await;
    let streams = connect(&server).await;
    streams.create_stream(&StreamSpec { allow_atomic_publish: true, ..orders_spec() }).await.expect("created");
    (server, streams)
}

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| message("order.new", number.to_string())).collect()
}

async fn count(streams: &JetStream) -> u64 {
    streams.stream_info("orders").await.expect("a stream").messages
}

#[tokio::test]
async fn a_batch_is_stored_as_one() {
    let (_server, streams) = batches().await;
    for (size, last) in [(1, 1), (2, 3), (1_000, 1_003)] {
        let ack = soon("an answer", streams.publish_batch(messages(size))).await.expect("stored");
        assert_eq!((&*ack.stream, ack.sequence), ("orders", last));
    }
    assert_eq!(count(&streams).await, 1_003);
    assert_eq!(waiting(&streams), 0);
}

#[tokio::test]
async fn all_or_none() {
    let (_server, streams) = batches().await;
    let mut batch = messages(3);
    batch[0].headers.append("Nats-Expected-Last-Sequence", "7");
    let status = soon("an answer", streams.publish_batch(batch)).await.expect_err("refused");
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(count(&streams).await, 0);
}

#[tokio::test]
async fn a_stream_has_to_allow_it() {
    let (_server, streams) = orders().await;
    let status = soon("an answer", streams.publish_batch(messages(3))).await.expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(count(&streams).await, 0);
}

#[tokio::test]
async fn a_batch_needs_a_stream_and_a_size() {
    let (_server, streams) = batches().await;
    let none = vec![message("refund.new", "a"), message("refund.new", "b")];
    assert_eq!(streams.publish_batch(none).await.expect_err("no stream").code(), Code::NotFound);
    for size in [0, 1_001] {
        let status = streams.publish_batch(messages(size)).await.expect_err("too few or too many");
        assert_eq!(status.code(), Code::InvalidArgument, "{size}");
    }
}

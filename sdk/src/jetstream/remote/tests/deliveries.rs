use super::*;
use crate::bus::NatsOptions;
use crate::{AckPolicy, Code, Executed};

async fn filled(messages: usize) -> (NatsServer, JetStream) {
    let (server, streams) = orders().await;
    let mut last = None;
    for number in 0..messages {
        last = Some(streams.publish(message("order.new", number.to_string())).await.expect("sent"));
    }
    if let Some(last) = last {
        soon("an acknowledgement", last).await.expect("stored");
    }
    (server, streams)
}

#[tokio::test]
async fn everything_comes_in_its_order() {
    const MESSAGES: usize = 5_000;
    let (_server, streams) = filled(MESSAGES).await;
    put_consumer(&streams, ConsumerSpec { max_ack_pending: 10_000, ..billing() }).await;
    let mut deliveries = pull(&streams).await;
    for number in 0..MESSAGES {
        assert_eq!(next_done(&streams, &mut deliveries).await, number.to_string());
    }
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.pending, info.redelivered), (0, 0));
}

#[tokio::test]
async fn no_more_is_here_than_was_asked_for() {
    let (_server, streams) = filled(100).await;
    put_consumer(&streams, ConsumerSpec { max_ack_pending: 1_000, ..billing() }).await;
    let mut deliveries = streams.pull("orders", "billing", Pull { messages: 10, ..PULL }).await.expect("a consumer");
    for read in 1..=50 {
        next(&mut deliveries).await;
        let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
        assert!(info.delivered <= read + 10, "{} of {read}", info.delivered);
    }
}

/// One thread, so that the client cannot be read from while it fills the subscription.
#[tokio::test]
async fn nothing_is_lost_in_a_small_subscription() {
    const MESSAGES: u64 = 1_000;
    let (server, streams) = filled(MESSAGES as usize).await;
    put_consumer(&streams, billing()).await;
    let options = NatsOptions::new(server.url()).subscription_capacity(16);
    let small = JetStream::new(&soon("a connection", Bus::nats(options)).await.expect("connected"));
    let pull = Pull { messages: 1_000, ..PULL };
    let mut deliveries = small.pull("orders", "billing", pull).await.expect("a consumer");
    for sequence in 1..=MESSAGES {
        let delivered = next(&mut deliveries).await;
        assert_eq!((delivered.stream_sequence, delivered.attempt), (sequence, 1));
    }
}

#[tokio::test]
async fn messages_larger_than_the_bytes_of_a_pull_come_too() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let sizes = [10, 100, 50_000, 10, 3_000, 900_000, 900_000, 10, 10];
    for size in sizes {
        publish(&streams, "order.new", "x".repeat(size)).await;
    }
    let pull = Pull { messages: 100, bytes: 10_000 };
    let mut deliveries = streams.pull("orders", "billing", pull).await.expect("a consumer");
    for size in sizes {
        assert_eq!(next_done(&streams, &mut deliveries).await.len(), size);
    }
}

#[tokio::test]
async fn a_reader_that_waits_gets_what_is_published_later() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = streams.pull("orders", "billing", Pull { messages: 1, bytes: 1 }).await.expect("a consumer");
    for number in 0..20 {
        let (read, _) =
            tokio::join!(next_done(&streams, &mut deliveries), publish(&streams, "order.new", number.to_string()));
        assert_eq!(read, number.to_string());
    }
}

#[tokio::test]
async fn two_readers_share() {
    let (_server, streams) = filled(200).await;
    put_consumer(&streams, billing()).await;
    let (mut one, mut two) = (pull(&streams).await, pull(&streams).await);
    let mut read = std::collections::HashSet::new();
    while read.len() < 200 {
        let delivered = tokio::select! {
            delivered = next(&mut one) => delivered,
            delivered = next(&mut two) => delivered,
        };
        streams.ack(&delivered, Ack::Done).await.expect("sent");
        assert!(read.insert(delivered.stream_sequence), "{} came twice", delivered.stream_sequence);
    }
}

#[tokio::test]
async fn a_consumer_without_acknowledgements_is_read_as_well() {
    let (_server, streams) = filled(300).await;
    put_consumer(&streams, ConsumerSpec { ack: AckPolicy::None, ..billing() }).await;
    let mut deliveries = pull(&streams).await;
    for sequence in 1..=300 {
        assert_eq!(next(&mut deliveries).await.consumer_sequence, sequence);
    }
}

#[tokio::test]
async fn a_stopped_reader_reads_what_is_here_and_ends() {
    let (_server, streams) = filled(100).await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = streams.pull("orders", "billing", Pull { messages: 10, ..PULL }).await.expect("a consumer");
    for _ in 0..3 {
        next(&mut deliveries).await;
    }
    deliveries.stop();
    let mut rest = 0;
    while let Some(delivered) = soon("the end", deliveries.next()).await {
        delivered.expect("a delivery");
        rest += 1;
    }
    assert!((1..=10).contains(&rest), "{rest}");
    assert!(soon("the end", deliveries.next()).await.is_none());
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.delivered, info.waiting), (3 + rest, 0));
}

#[tokio::test]
async fn a_reader_that_is_stopped_while_it_waits_ends() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    assert!(futures_util::FutureExt::now_or_never(deliveries.next()).is_none());
    deliveries.stop();
    assert!(soon("the end", deliveries.next()).await.is_none());
    let mut never_read = pull(&streams).await;
    never_read.stop();
    assert!(soon("the end", never_read.next()).await.is_none());
}

#[tokio::test]
async fn a_reader_of_what_is_not_there_is_refused() {
    let (_server, streams) = orders().await;
    for (stream, consumer, code) in [
        ("orders", "absent", Code::NotFound),
        ("absent", "billing", Code::NotFound),
        ("a.b", "c", Code::InvalidArgument),
    ] {
        let status = streams.pull(stream, consumer, PULL).await.expect_err("refused");
        assert_eq!(status.code(), code, "{stream} {consumer}");
    }
}

async fn ends(deliveries: &mut Deliveries) -> Code {
    let status = soon("the end", deliveries.next()).await.expect("an error").expect_err("an error");
    assert!(soon("the end", deliveries.next()).await.is_none());
    status.code()
}

#[tokio::test]
async fn a_deleted_consumer_ends_its_readers() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    publish(&streams, "order.new", "a").await;
    next_done(&streams, &mut deliveries).await;
    let (code, deleted) = tokio::join!(ends(&mut deliveries), streams.delete_consumer("orders", "billing"));
    deleted.expect("deleted");
    assert_eq!(code, Code::NotFound);
    // Made again, it is another one, which begins at the start.
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    assert_eq!(next_done(&streams, &mut deliveries).await, "a");
}

#[tokio::test]
async fn a_deleted_stream_ends_its_readers() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    assert!(futures_util::FutureExt::now_or_never(deliveries.next()).is_none());
    let (code, deleted) = tokio::join!(ends(&mut deliveries), streams.delete_stream("orders"));
    deleted.expect("deleted");
    assert_eq!(code, Code::NotFound);
}

#[tokio::test]
async fn a_closed_bus_ends_its_readers() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let mut deliveries = pull(&streams).await;
    let (code, closed) = tokio::join!(ends(&mut deliveries), streams.bus().close());
    closed.expect("closed");
    assert_eq!(code, Code::Unavailable);
    let status = streams.stream_names().await.expect_err("closed");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
}

const LIMITED: &str = "authorization { users: [
    {user: admin, password: x}
    {user: reader, password: x, permissions: { publish: [\"$JS.API.CONSUMER.INFO.>\"], subscribe: [\"_INBOX.>\"] }}
    {user: mute, password: x, permissions: {
        publish: [\"$JS.API.CONSUMER.MSG.NEXT.orders.billing\"], subscribe: [\"_INBOX.>\"]
    }}
] }";

#[tokio::test]
async fn a_reader_that_may_not_is_told_so() {
    let server = NatsServer::builder().jetstream().config(LIMITED).start().await.expect("a server");
    let connect = async |user| JetStream::new(&Bus::nats(server.client_url(user, "x")).await.expect("connected"));
    let admin = connect("admin").await;
    admin.create_stream(&orders_spec()).await.expect("created");
    put_consumer(&admin, ConsumerSpec { ack_wait: Duration::from_secs(60), ..billing() }).await;
    publish(&admin, "order.new", "a").await;
    let mut deliveries = pull(&connect("reader").await).await;
    assert_eq!(ends(&mut deliveries).await, Code::PermissionDenied);
    // Reads, but its acknowledgements do not arrive.
    let mute = connect("mute").await;
    let mut deliveries = pull(&mute).await;
    next_done(&mute, &mut deliveries).await;
    assert_eq!(ends(&mut deliveries).await, Code::PermissionDenied);
}

#[tokio::test]
async fn the_limits_of_a_consumer_that_was_made_elsewhere_are_kept() {
    use async_nats::jetstream::{self, consumer::pull::Config};
    let (server, streams) = filled(50).await;
    let foreign = jetstream::new(async_nats::connect(server.url()).await.expect("connected"));
    let stream = foreign.get_stream("orders").await.expect("a stream");
    let limits = Config {
        durable_name: Some("billing".to_owned()),
        max_batch: 7,
        max_bytes: 5_000,
        max_expires: Duration::from_secs(10),
        ..Config::default()
    };
    stream.create_consumer(limits).await.expect("created");
    let mut deliveries = pull(&streams).await;
    for number in 0..50 {
        assert_eq!(next_done(&streams, &mut deliveries).await, number.to_string());
    }
}

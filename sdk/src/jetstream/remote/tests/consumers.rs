use super::*;
use crate::{AckPolicy, Code, Deliver, ReplayPolicy, jetstream::spec::MAX_DELIVER_RESERVE};

fn full() -> ConsumerSpec {
    ConsumerSpec {
        description: "bills".into(),
        filters: vec!["order.a".into(), "order.b".into()].into(),
        deliver: Deliver::FromSequence(3),
        ack_wait: Duration::from_secs(1),
        max_deliver: Some(3),
        backoff: vec![Duration::from_secs(1), Duration::from_secs(2)].into(),
        max_ack_pending: 9,
        replay: ReplayPolicy::Original,
        headers_only: true,
        ..billing()
    }
}

#[tokio::test]
async fn a_consumer_is_what_its_spec_says() {
    let (_server, streams) = orders().await;
    let now = std::time::UNIX_EPOCH + Duration::from_secs(1_732_176_000);
    for spec in [
        full(),
        ConsumerSpec::new("orders", "plain"),
        ConsumerSpec { filters: vec!["order.*".into()].into(), ..ConsumerSpec::new("orders", "filtered") },
        ConsumerSpec { deliver: Deliver::LastPerSubject, ..ConsumerSpec::new("orders", "last") },
        ConsumerSpec { deliver: Deliver::FromTime(now), ..ConsumerSpec::new("orders", "timed") },
        ConsumerSpec { deliver: Deliver::New, ack: AckPolicy::None, ..ConsumerSpec::new("orders", "unacked") },
        ConsumerSpec { inactive_threshold: Some(Duration::from_secs(60)), ..ConsumerSpec::new("orders", "ephemeral") },
    ] {
        let info = streams.put_consumer(&spec, Action::Create).await.expect("created");
        assert_eq!(info.spec, spec);
        let again = streams.put_consumer(&spec, Action::Create).await.expect("as it is");
        assert_eq!(again.spec, spec);
        assert_eq!(streams.consumer_info("orders", &spec.name).await.expect("a consumer").spec, spec);
    }
    let names = streams.consumer_names("orders").await.expect("names");
    assert_eq!(names, ["billing", "ephemeral", "filtered", "last", "plain", "timed", "unacked"]);
}

#[tokio::test]
async fn the_server_allows_the_reserve_beyond_max_deliver() {
    let (server, streams) = orders().await;
    put_consumer(&streams, ConsumerSpec { max_deliver: Some(3), ..billing() }).await;
    let foreign = async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("connected"));
    let stream = foreign.get_stream("orders").await.expect("a stream");
    let info = stream.consumer_info("billing").await.expect("a consumer");
    assert_eq!(info.config.max_deliver, 3 + i64::from(MAX_DELIVER_RESERVE));
}

#[tokio::test]
async fn what_cannot_be_made_or_changed_says_why() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    let put = |spec: ConsumerSpec, action| {
        let streams = streams.clone();
        async move { streams.put_consumer(&spec, action).await.map_err(|status| status.code()) }
    };
    let changed = ConsumerSpec { max_ack_pending: 5, ..billing() };
    assert_eq!(put(changed.clone(), Action::Create).await, Err(Code::AlreadyExists));
    assert_eq!(put(changed.clone(), Action::Update).await.map(|info| info.spec), Ok(changed));
    let absent = ConsumerSpec::new("orders", "absent");
    assert_eq!(put(absent, Action::Update).await, Err(Code::NotFound));
    assert_eq!(put(ConsumerSpec::new("absent", "a"), Action::Create).await, Err(Code::NotFound));
    let moved = ConsumerSpec { deliver: Deliver::New, ..billing() };
    assert_eq!(put(moved, Action::Update).await, Err(Code::InvalidArgument));
    streams.delete_consumer("orders", "billing").await.expect("deleted");
    assert_eq!(streams.delete_consumer("orders", "billing").await.map_err(|status| status.code()), Err(Code::NotFound));
    assert_eq!(streams.consumer_info("orders", "billing").await.map_err(|status| status.code()), Err(Code::NotFound));
    assert_eq!(streams.consumer_names("absent").await.map_err(|status| status.code()), Err(Code::NotFound));
}

#[tokio::test]
async fn an_abandoned_consumer_is_deleted() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    streams.abandon_consumer("orders", "billing");
    streams.bus().fence().await.expect("seen");
    soon("the end of the consumer", async {
        while streams.consumer_info("orders", "billing").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn counts_follow_what_happens() {
    let (_server, streams) = orders().await;
    put_consumer(&streams, billing()).await;
    for _ in 0..5 {
        publish(&streams, "order.new", "x").await;
    }
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.pending, info.ack_pending, info.delivered, info.waiting), (5, 0, 0, 0));
    let pull = Pull { messages: 3, bytes: 1 << 20 };
    let mut deliveries = streams.pull("orders", "billing", pull).await.expect("a consumer");
    let first = next(&mut deliveries).await;
    streams.ack_confirmed(&first, Ack::Done).await.expect("done");
    let info = streams.consumer_info("orders", "billing").await.expect("a consumer");
    assert_eq!((info.pending, info.ack_pending, info.delivered, info.ack_floor), (2, 2, 3, 1));
}

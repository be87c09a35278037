//! Messages around and over what the broker takes in one piece.

use bytes::Bytes;
use schemas::testing::echo::v1::{CountRequest, EchoClient, EchoRequest, EchoServer, SumRequest};
use subwire::{Bus, Channel, Code, Executed, Server, testing::NatsServer};
use tower::layer::layer_fn;

use crate::{
    cases,
    echo::Echo,
    fixture::{self, Fixture},
};

cases!(
    a_request_of_any_size_arrives,
    a_response_of_any_size_arrives,
    both_may_be_large,
    large_messages_travel_in_streams,
    a_request_over_the_limit_is_refused_before_it_is_sent,
    a_response_over_the_limit_is_refused,
);

const MAX_PAYLOAD: usize = 1024 * 1024;

/// What the field takes of a message of `total` bytes.
fn payload(total: usize) -> Bytes {
    // One byte of key and three or four of length before the data.
    let data = (total - 5..total).rev().find(|data| 1 + prost::length_delimiter_len(*data) + data <= total);
    Bytes::from(vec![3; data.expect("a length")])
}

async fn a_request_of_any_size_arrives(fixture: &Fixture) {
    for size in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD * 7 / 2] {
        let sent = payload(size);
        let requests = vec![SumRequest { n: 1, payload: sent.clone() }];
        let answer = fixture.echo.sum(requests).await.expect("a sum");
        assert_eq!((answer.messages, answer.payload_bytes), (1, sent.len() as u64), "{size}");
    }
}

async fn a_response_of_any_size_arrives(fixture: &Fixture) {
    for size in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD * 7 / 2] {
        let wanted = payload(size).len();
        let request = EchoRequest { payload_bytes: wanted as u64, ..EchoRequest::default() };
        let response = fixture.echo.echo(request).metadata("tenant", "x").response().await.expect("an answer");
        assert_eq!(response.message.payload.len(), wanted, "{size}");
        assert_eq!(response.metadata.get("seen-tenant"), Some("x"));
        assert_eq!(response.trailers.get("cost"), Some("3 %"));
    }
}

async fn both_may_be_large(fixture: &Fixture) {
    for size in [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD * 7 / 2] {
        let sent = Bytes::from((0..payload(size).len()).map(|n| n as u8).collect::<Vec<_>>());
        let request = EchoRequest { payload: sent.clone(), ..EchoRequest::default() };
        let answer = fixture.echo.echo(request).await.expect("an answer");
        assert!(answer.payload == sent, "{size}");
    }
}

async fn large_messages_travel_in_streams(fixture: &Fixture) {
    let request = CountRequest { messages: 5, payload_bytes: 3_000_000, ..CountRequest::default() };
    let mut numbers = fixture.echo.count(request).await.expect("a stream");
    for n in 0..5 {
        let message = numbers.message().await.expect("no failure").expect("a message");
        assert_eq!((message.n, message.payload.len()), (n, 3_000_000));
    }
    assert!(numbers.message().await.expect("the end").is_none());
}

async fn a_request_over_the_limit_is_refused_before_it_is_sent(fixture: &Fixture) {
    if fixture.bus.is_none() {
        return in_process_has_no_limit(fixture).await;
    }
    let channel = Channel::builder(fixture.channel.clone()).max_message_bytes(2_000_000).build();
    let request = EchoRequest { payload: Bytes::from(vec![0; 3_000_000]), ..EchoRequest::default() };
    let status = EchoClient::new(channel).echo(request).await.expect_err("too large");
    assert_eq!((status.code(), status.executed()), (Code::ResourceExhausted, Executed::No));
    assert!(status.message().contains("3000005") && status.message().contains("2000000"), "{status}");
    assert_eq!(fixture.watch.started.get(), 0);
}

async fn a_response_over_the_limit_is_refused(fixture: &Fixture) {
    if fixture.bus.is_none() {
        return in_process_has_no_limit(fixture).await;
    }
    let channel = Channel::builder(fixture.channel.clone()).max_message_bytes(2_000_000).build();
    let request = EchoRequest { payload_bytes: 3_000_000, ..EchoRequest::default() };
    let status = EchoClient::new(channel).echo(request).await.expect_err("too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("30000") && status.message().contains("2000000"), "{status}");
}

/// Nothing is copied to another process, so there is nothing to bound.
async fn in_process_has_no_limit(fixture: &Fixture) {
    let request = EchoRequest { payload_bytes: 100_000_000, ..EchoRequest::default() };
    let answer = fixture.echo.echo(request).await.expect("an answer");
    assert_eq!(answer.payload.len(), 100_000_000);
}

/// Of every size around what goes into one frame of a broker that takes little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_little_gets_it_in_pieces() {
    let nats = NatsServer::builder().config("max_payload: 4096").start().await.expect("a nats-server");
    let bus = Bus::nats(nats.url()).await.expect("a connection");
    let _running = Server::builder(&bus).add(EchoServer::new(Echo::default())).start().await.expect("a server");
    counts_all(&EchoClient::new(&bus)).await;
}

/// What comes in frames of one broker goes on in frames of another, which takes less: both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_passed_on_to_a_broker_that_takes_less() {
    let passes_on = |to: Channel| layer_fn(move |_: Channel| to.clone());
    let behind = fixture::memory().await;
    let nats = NatsServer::builder().config("max_payload: 4096").start().await.expect("a nats-server");
    let middle = Bus::nats(nats.url()).await.expect("a connection");
    let server = Server::builder(&middle).layer(passes_on(behind.channel.clone()));
    let _first = server.add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let front = Bus::memory();
    let server = Server::builder(&front).layer(passes_on(Channel::from(&middle)));
    let _second = server.add(EchoServer::new(Echo::default())).start().await.expect("a server");
    counts_all(&EchoClient::new(&front)).await;
}

async fn counts_all(echo: &EchoClient) {
    for payload_bytes in [0, 10, 1_000, 1_400, 1_600, 2_000, 3_000, 3_070, 3_090, 5_000, 10_000] {
        let request = CountRequest { messages: 200, payload_bytes, ..CountRequest::default() };
        let mut numbers = echo.count(request).await.expect("a stream");
        for n in 0..200 {
            let message = numbers.message().await.expect("no failure").expect("a message");
            assert_eq!((message.n, message.payload.len() as u64), (n, payload_bytes));
        }
        assert!(numbers.message().await.expect("the end").is_none());
        let payload = Bytes::from(vec![3; payload_bytes as usize]);
        let requests: Vec<_> = (0..200).map(|n| SumRequest { n, payload: payload.clone() }).collect();
        let answer = echo.sum(requests).await.expect("a sum");
        assert_eq!((answer.messages, answer.sum, answer.payload_bytes), (200, 199 * 100, 200 * payload_bytes));
    }
}

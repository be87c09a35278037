//! Messages around and over what the broker takes in one piece.

use bytes::Bytes;
use schemas::testing::echo::v1::{CountRequest, EchoClient, EchoRequest, EchoServer, SumRequest, TalkRequest};
use subwire::{Bus, Channel, Code, Executed, Server, Status, Streaming, reason, testing::NatsServer};
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
    a_channel_holds_to_a_small_limit,
    a_server_holds_to_a_small_limit,
);

const MAX_PAYLOAD: usize = 1024 * 1024;

/// What the field takes of a message of `total` bytes.
fn payload(total: usize) -> Bytes {
    // One byte of key and some of length before the data.
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

/// So small that what is over it fits a frame, and one message of the broker.
const SMALL: usize = 1_000;

async fn a_channel_holds_to_a_small_limit(fixture: &Fixture) {
    if fixture.bus.is_none() {
        return in_process_has_no_limit(fixture).await;
    }
    let channel = Channel::builder(fixture.channel.clone()).max_message_bytes(SMALL).build();
    holds_to_a_small_limit(&EchoClient::new(channel), "channel").await;
}

async fn a_server_holds_to_a_small_limit(fixture: &Fixture) {
    let Some(bus) = &fixture.bus else { return in_process_has_no_limit(fixture).await };
    let server = Server::builder(bus).namespace("small").max_message_bytes(SMALL);
    let _running = server.add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let channel = Channel::builder(fixture.channel.clone()).namespace("small").build();
    holds_to_a_small_limit(&EchoClient::new(channel), "server").await;
}

/// Every kind of call, with messages of exactly the limit, one byte more, and far more.
async fn holds_to_a_small_limit(echo: &EchoClient, side: &str) {
    // What they ask for takes two bytes of the request, and the time that remains three of the response.
    let asking = |size| EchoRequest { payload: payload(size - 2), payload_bytes: 1, ..EchoRequest::default() };
    let wanting = |size| EchoRequest { payload_bytes: payload(size - 3).len() as u64, ..EchoRequest::default() };
    let counting =
        |size| CountRequest { messages: 1, payload_bytes: payload(size).len() as u64, ..CountRequest::default() };
    let summing = |size| SumRequest { n: 0, payload: payload(size) };

    echo.echo(asking(SMALL)).await.expect("a request that fits");
    echo.echo(wanting(SMALL)).await.expect("a response that fits");
    echo.count(counting(SMALL)).await.expect("a stream").message().await.expect("a response that fits");
    echo.sum(vec![summing(10), summing(SMALL), summing(10)]).await.expect("requests that fit");

    for size in [SMALL + 1, 5 * SMALL] {
        let refused = |status: Status, reason: &str| {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            assert_eq!(status.error_info().expect("a reason").reason, reason, "{status}");
            for named in [size.to_string().as_str(), "1000", side] {
                assert!(status.message().contains(named), "{named} in: {status}");
            }
            status.executed()
        };
        let status = echo.echo(asking(size)).await.expect_err("a request over the limit");
        assert_eq!(refused(status, reason::TOO_LARGE_REQUEST), Executed::No);

        let status = echo.echo(wanting(size)).await.expect_err("a response over the limit");
        assert_eq!(refused(status, reason::TOO_LARGE_RESPONSE), Executed::Maybe);

        let status = match echo.count(counting(size)).await {
            Ok(mut numbers) => numbers.message().await.expect_err("a response over the limit"),
            Err(status) => status,
        };
        assert_eq!(refused(status, reason::TOO_LARGE_RESPONSE), Executed::Maybe);

        let status = echo.sum(vec![summing(10), summing(size)]).await.expect_err("a request over the limit");
        refused(status, reason::TOO_LARGE_MESSAGE);

        // What comes before it arrives: first the answer is read, and then the large one sent.
        let (large, ready) = tokio::sync::oneshot::channel();
        let requests = Streaming::produce(async move |requests| {
            requests.send(TalkRequest { text: "small".to_owned(), ..TalkRequest::default() }).await?;
            let text = "x".repeat(ready.await.expect("a size"));
            requests.send(TalkRequest { text, ..TalkRequest::default() }).await
        });
        let mut answers = echo.talk(requests).await.expect("a stream");
        assert_eq!(answers.message().await.expect("no failure").expect("an answer").text, "small");
        large.send(payload(size).len()).expect("a sender that waits");
        refused(answers.message().await.expect_err("a request over the limit"), reason::TOO_LARGE_MESSAGE);
    }
}

/// A message that is too large takes none of those before it along, though they share its frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_a_message_over_the_limit_arrives() {
    let fixture = fixture::memory().await;
    let channel = Channel::builder(fixture.channel.clone()).max_message_bytes(SMALL).build();
    counts_to_127(&EchoClient::new(channel)).await;

    let bus = Bus::memory();
    let server = Server::builder(&bus).max_message_bytes(SMALL).add(EchoServer::new(Echo::default()));
    let _running = server.start().await.expect("a server");
    counts_to_127(&EchoClient::new(&bus)).await;
}

/// A larger number takes one byte more.
async fn counts_to_127(echo: &EchoClient) {
    let payload_bytes = payload(SMALL - 2).len() as u64;
    let request = CountRequest { messages: 200, payload_bytes, ..CountRequest::default() };
    let mut numbers = echo.count(request).await.expect("a stream");
    for n in 0..=127 {
        assert_eq!(numbers.message().await.expect("no failure").expect("a message").n, n);
    }
    let status = numbers.message().await.expect_err("a message over the limit");
    assert!(status.message().contains("1001"), "{status}");
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

//! Calls that a layer passes on to another channel, as a gateway between two brokers does.

use std::time::Duration;

use schemas::testing::echo::v1::{CountRequest, EchoClient, EchoRequest, EchoServer};
use subwire::{
    Bus, Channel, Code, Executed, Running, Server,
    bus::{Faults, FaultsControl},
};
use tower::{Layer, ServiceBuilder, layer::layer_fn};

use crate::echo::Echo;

/// Sends elsewhere whatever comes.
fn to(channel: Channel) -> impl Layer<Channel, Service = Channel> + Send + 'static {
    layer_fn(move |_: Channel| channel.clone())
}

fn named(instance: &str) -> EchoServer<Echo> {
    EchoServer::new(Echo { instance: instance.to_owned(), ..Echo::default() })
}

/// Passes what comes on `front` to this channel.
async fn gateway(front: &Bus, behind: Channel) -> Running {
    Server::builder(front).layer(to(behind)).add(named("the gateway")).start().await.expect("a gateway")
}

/// A service, and a link to it that can be cut.
async fn service() -> (Bus, FaultsControl, Running) {
    let broker = Bus::memory();
    let running = Server::builder(&broker).add(named("behind")).start().await.expect("a server");
    let (bus, link) = Faults::seeded(0).wrap(&broker);
    (bus, link, running)
}

#[tokio::test]
async fn the_namespace_of_the_channel_behind_counts() {
    let (front, behind) = (Bus::memory(), Bus::memory());
    let _staging = Server::builder(&behind).namespace("staging").add(named("staging")).start().await.expect("a server");
    let _production = Server::builder(&behind).add(named("production")).start().await.expect("a server");
    let staging = Channel::builder(&behind).namespace("staging").build();
    let _gateway = gateway(&front, staging.clone()).await;
    let answer = EchoClient::new(&front).echo(EchoRequest::default()).await.expect("an answer");
    assert_eq!(answer.instance, "staging");

    // The same without a server between: a service around a channel, as tower puts it.
    let around =
        Channel::new(ServiceBuilder::new().map_request(|request: subwire::RpcRequest| request).service(staging));
    let answer = EchoClient::new(around).echo(EchoRequest::default()).await.expect("an answer");
    assert_eq!(answer.instance, "staging");
}

#[tokio::test]
async fn what_is_built_around_a_channel_decides_before_it() {
    let bus = Bus::memory();
    let _one = Server::builder(&bus).namespace("one").add(named("one")).start().await.expect("a server");
    let _two = Server::builder(&bus).namespace("two").add(named("two")).start().await.expect("a server");
    let one = Channel::builder(&bus).namespace("one").build();
    let same = layer_fn(|channel: Channel| channel);
    let two = Channel::builder(one).layer(same).namespace("two").build();
    assert_eq!(EchoClient::new(two).echo(EchoRequest::default()).await.expect("an answer").instance, "two");
}

#[tokio::test]
async fn the_limit_of_the_channel_behind_counts() {
    let (bus, _, _service) = service().await;
    let front = Bus::memory();
    let _gateway = gateway(&front, Channel::builder(&bus).max_message_bytes(1_000).build()).await;
    let request = EchoRequest { payload: vec![0; 5_000].into(), ..EchoRequest::default() };
    let status = EchoClient::new(&front).echo(request).await.expect_err("too large");
    assert_eq!((status.code(), status.executed()), (Code::ResourceExhausted, Executed::No));
}

#[tokio::test]
async fn the_channel_behind_waits_until_it_is_ready() {
    let (bus, link, _service) = service().await;
    let front = Bus::memory();
    let _gateway = gateway(&front, Channel::builder(&bus).wait_for_ready(true).build()).await;
    link.disconnect();
    let call = tokio::spawn(EchoClient::new(&front).echo(EchoRequest::default()).into_future());
    link.reconnect();
    call.await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_channel_behind_bounds_a_stream() {
    let (bus, _, _service) = service().await;
    let front = Bus::memory();
    let _gateway = gateway(&front, Channel::builder(&bus).timeout(Duration::from_millis(500)).build()).await;
    let request = CountRequest { messages: 1, hang: true, ..CountRequest::default() };
    let mut numbers = EchoClient::new(&front).count(request).await.expect("a stream");
    assert!(numbers.message().await.expect("no failure").is_some());
    assert_eq!(numbers.message().await.expect_err("out of time").code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_channel_behind_counts_even_if_nobody_is_there_to_keep_it() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    let (bus, link, _service) = service().await;
    let front = Bus::memory();
    let _gateway = gateway(&front, Channel::builder(&bus).timeout(TIMEOUT).build()).await;
    let echo = EchoClient::new(&front);
    echo.echo(EchoRequest::default()).await.expect("an answer");
    link.partition();
    let started = tokio::time::Instant::now();
    let status =
        echo.echo(EchoRequest::default()).timeout(Duration::from_secs(3600)).await.expect_err("nobody answers");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < 2 * TIMEOUT, "{:?}", started.elapsed());
}

/// What was proven behind is still true in front, as nobody in between did anything.
#[tokio::test]
async fn what_has_not_run_behind_has_not_run() {
    let (front, nobody) = (Bus::memory(), Bus::memory());
    let _gateway = gateway(&front, Channel::from(&nobody)).await;
    let echo = EchoClient::new(&front);
    let status = echo.echo(EchoRequest::default()).await.expect_err("nobody there");
    assert_eq!((status.code(), status.executed(), status.is_remote()), (Code::Unavailable, Executed::No, true));
    let status = echo.count(CountRequest::default()).await.expect_err("nobody there");
    assert_eq!((status.code(), status.executed(), status.is_remote()), (Code::Unavailable, Executed::No, true));
}

#[tokio::test]
async fn the_metadata_of_a_failed_stream_comes_once_however_often_it_is_passed_on() {
    let (mut bus, _, service) = service().await;
    let mut running = vec![service];
    for _ in 0..4 {
        let front = Bus::memory();
        running.push(gateway(&front, Channel::from(&bus)).await);
        bus = front;
    }
    let request = CountRequest { messages: 3, fail_with: 5, ..CountRequest::default() };
    let mut numbers = EchoClient::new(&bus).count(request).await.expect("a stream");
    let status = loop {
        match numbers.message().await {
            Ok(number) => assert!(number.is_some(), "it fails before its end"),
            Err(status) => break status,
        }
    };
    for name in ["cause", "counted"] {
        assert_eq!(status.metadata().get_all(name).count(), 1, "{name}");
        assert_eq!(numbers.trailers().get_all(name).count(), 1, "{name}");
    }
}

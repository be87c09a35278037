//! Servers: instances, limits, namespaces, stopping. Of the transports that have a bus.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use futures_util::future::join_all;
use schemas::testing::echo::v1::{CountRequest, EchoClient, EchoRequest, EchoServer};
use subwire::{Bus, Channel, Code, Executed, RpcRequest, Server};
use tower::util::MapRequestLayer;

use crate::{
    echo::{Echo, Watch},
    fixture::{self, Fixture},
};

/// Runs each case on both buses, as a test of its own.
macro_rules! on_both_buses {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&crate::fixture::memory().await).await;
            })+
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&crate::fixture::nats().await).await;
            })+
        }
    };
}

on_both_buses!(
    nobody_there_is_unavailable_at_once,
    instances_share_the_work,
    calls_over_the_limit_are_refused,
    namespaces_keep_environments_apart,
    a_stopping_server_finishes_what_it_has,
    a_stopping_server_cancels_what_does_not_end,
    a_method_of_another_service_is_unavailable,
    a_handler_that_computes_holds_up_no_other_call,
    a_layer_that_panics_fails_its_call_alone,
);

fn bus(fixture: &Fixture) -> &Bus {
    fixture.bus.as_ref().expect("a bus")
}

fn named(instance: &str) -> (EchoServer<Echo>, Arc<Watch>) {
    let echo = Echo { instance: instance.to_owned(), ..Echo::default() };
    let watch = echo.watch.clone();
    (EchoServer::new(echo), watch)
}

async fn nobody_there_is_unavailable_at_once(fixture: &Fixture) {
    let channel = Channel::builder(bus(fixture)).namespace("nowhere").build();
    let echo = EchoClient::new(channel);
    let status = echo.echo(EchoRequest::default()).await.expect_err("nobody there");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    let status = echo.count(CountRequest::default()).await.expect_err("nobody there");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
}

async fn a_method_of_another_service_is_unavailable(fixture: &Fixture) {
    let llm = schemas::ai::llm::v1::LlmClient::new(bus(fixture));
    let status = llm.infer(Default::default()).await.expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable);
}

async fn instances_share_the_work(fixture: &Fixture) {
    let mut servers = Vec::new();
    for name in ["a", "b", "c"] {
        let builder = Server::builder(bus(fixture)).namespace("shared").add(named(name).0);
        servers.push(builder.start().await.expect("a server"));
    }
    let echo = EchoClient::new(Channel::builder(bus(fixture)).namespace("shared").build());
    let calls = (0..300).map(|_| echo.echo(EchoRequest::default()).into_future());
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for answer in join_all(calls).await {
        *seen.entry(answer.expect("an answer").instance).or_default() += 1;
    }
    assert_eq!(seen.values().sum::<usize>(), 300);
    assert!(seen.len() == 3 && seen.values().all(|calls| *calls > 30), "{seen:?}");
}

async fn calls_over_the_limit_are_refused(fixture: &Fixture) {
    let (server, watch) = named("small");
    let builder = Server::builder(bus(fixture)).namespace("small").max_in_flight(3).add(server);
    let _running = builder.start().await.expect("a server");
    let echo = EchoClient::new(Channel::builder(bus(fixture)).namespace("small").build());
    let endless = EchoRequest { hang: true, ..EchoRequest::default() };
    let held: Vec<_> = (0..3)
        .map(|_| tokio::spawn(echo.echo(endless.clone()).timeout(Duration::from_secs(120)).into_future()))
        .collect();
    watch.running.becomes(3, "three handlers run").await;
    let status = echo.echo(EchoRequest::default()).await.expect_err("no room");
    assert_eq!((status.code(), status.executed()), (Code::ResourceExhausted, Executed::No));
    let status = echo.count(CountRequest::default()).await.expect_err("no room");
    assert_eq!(status.code(), Code::ResourceExhausted);
    held.iter().for_each(|call| call.abort());
    watch.running.becomes(0, "they are gone").await;
    let free = async { while echo.echo(EchoRequest::default()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.expect("there is room again");
}

async fn namespaces_keep_environments_apart(fixture: &Fixture) {
    let builder = Server::builder(bus(fixture)).namespace("staging").add(named("staging").0);
    let _running = builder.start().await.expect("a server");
    let staging = EchoClient::new(Channel::builder(bus(fixture)).namespace("staging").build());
    assert_eq!(staging.echo(EchoRequest::default()).await.expect("an answer").instance, "staging");
    assert_eq!(fixture.echo.echo(EchoRequest::default()).await.expect("an answer").instance, "");
    for illegal in ["", "a b", "a.*", ">", "a..b", "é"] {
        let channel = Channel::builder(bus(fixture)).namespace(illegal).build();
        let status = EchoClient::new(channel).echo(EchoRequest::default()).await.expect_err(illegal);
        assert_eq!(status.code(), Code::InvalidArgument, "{illegal:?}");
        let builder = Server::builder(bus(fixture)).namespace(illegal).add(named("x").0);
        assert_eq!(builder.start().await.expect_err(illegal).code(), Code::InvalidArgument);
    }
}

async fn a_stopping_server_finishes_what_it_has(fixture: &Fixture) {
    let (server, watch) = named("stopping");
    let running = Server::builder(bus(fixture)).namespace("stopping").add(server).start().await.expect("a server");
    let echo = EchoClient::new(Channel::builder(bus(fixture)).namespace("stopping").build());
    let slow = EchoRequest { delay_ms: 500, ..EchoRequest::default() };
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(echo.echo(slow.clone()).into_future())).collect();
    let mut numbers =
        echo.count(CountRequest { messages: 50, delay_ms: 10, ..CountRequest::default() }).await.expect("a stream");
    watch.running.becomes(51, "all have begun").await;
    let (stopped, seen) = tokio::join!(running.stop(), async {
        let mut seen = 0;
        while numbers.message().await.expect("no failure").is_some() {
            seen += 1;
        }
        seen
    });
    stopped.expect("a clean stop");
    assert_eq!(seen, 50);
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
    let status = echo.echo(EchoRequest::default()).await.expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable);
}

async fn a_stopping_server_cancels_what_does_not_end(fixture: &Fixture) {
    let (server, watch) = named("stuck");
    let builder = Server::builder(bus(fixture)).namespace("stuck").grace(Duration::from_millis(100)).add(server);
    let running = builder.start().await.expect("a server");
    let echo = EchoClient::new(Channel::builder(bus(fixture)).namespace("stuck").build());
    let endless = EchoRequest { hang: true, ..EchoRequest::default() };
    let call = tokio::spawn(echo.echo(endless).timeout(Duration::from_secs(120)).into_future());
    let mut numbers =
        echo.count(CountRequest { messages: 1, hang: true, ..CountRequest::default() }).await.expect("a stream");
    assert!(numbers.message().await.expect("a message").is_some());
    watch.running.becomes(2, "both have begun").await;
    running.stop().await.expect("a clean stop");
    assert_eq!(call.await.expect("no panic").expect_err("cut short").code(), Code::Unavailable);
    assert_eq!(numbers.message().await.expect_err("cut short").code(), Code::Unavailable);
    assert_eq!(watch.running.get(), 0);
}

async fn a_handler_that_computes_holds_up_no_other_call(fixture: &Fixture) {
    let blocking = |block_ms| EchoRequest { block_ms, text: "slow".to_owned(), ..EchoRequest::default() };
    // The first ones teach the server what kind of method this is.
    for _ in 0..3 {
        fixture.echo.echo(blocking(50)).await.expect("an answer");
    }
    let slow = tokio::spawn(fixture.echo.echo(blocking(3_000)).into_future());
    fixture.watch.running.becomes(1, "the handler computes").await;
    // The order in which they end is the point, not how long it takes.
    for _ in 0..20 {
        fixture.echo.echo(EchoRequest::default()).await.expect("an answer");
    }
    assert!(!slow.is_finished(), "the quick calls end first");
    assert_eq!(slow.await.expect("no panic").expect("an answer").text, "slow");
}

#[tokio::test]
async fn a_service_is_added_once() {
    let fixture = fixture::memory().await;
    let builder = Server::builder(bus(&fixture)).namespace("twice").add(named("a").0).add(named("b").0);
    assert_eq!(builder.start().await.expect_err("twice").code(), Code::InvalidArgument);
}

/// Once for each thread that could run handlers, and more.
async fn a_layer_that_panics_fails_its_call_alone(fixture: &Fixture) {
    #[expect(clippy::panic, reason = "it is what is tested")]
    let panics = MapRequestLayer::new(|request: RpcRequest| match request.metadata().get("layer") {
        Some(_) => panic!("told to"),
        None => request,
    });
    let server = Server::builder(bus(fixture)).namespace("layered").layer(panics).add(named("layered").0);
    let _running = server.start().await.expect("a server");
    let echo = EchoClient::new(Channel::builder(bus(fixture)).namespace("layered").build());
    for _ in 0..10 {
        let call = echo.echo(EchoRequest::default()).metadata("layer", "panic");
        assert_eq!(call.await.expect_err("a panic").code(), Code::Internal);
        let stream = echo.count(CountRequest::default()).metadata("layer", "panic");
        let status = match stream.await {
            Ok(mut numbers) => numbers.message().await.expect_err("a panic"),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::Internal);
    }
    echo.echo(EchoRequest::default()).await.expect("as ever");
}

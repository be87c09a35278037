//! How a call failed: that its caller learns it, whatever it is, and what it proves.

use std::{future::Future, time::Duration};

use prost::bytes::Bytes;
use schemas::testing::echo::v1::*;
use subwire::{
    Bus, Channel, Code, Context, Executed, Result, Running, Server, Status, Streaming, bus::Faults, reason,
    testing::NatsServer,
};

use crate::{echo::Echo, fixture};

/// Fails as it is told, once it has begun.
struct Fails<F>(F);

impl<F, Fut> EchoService for Fails<F>
where
    F: Fn(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Status> + Send + 'static,
{
    async fn echo(&self, cx: Context, _: EchoRequest) -> Result<EchoResponse> {
        Err((self.0)(cx).await)
    }

    async fn echo_soon(&self, _: Context, _: EchoSoonRequest) -> Result<EchoSoonResponse> {
        Ok(EchoSoonResponse {})
    }

    /// After as many messages as are asked for.
    async fn count(&self, cx: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        if request.messages == 0 {
            return Err((self.0)(cx).await);
        }
        let fails = self.0.clone();
        Ok(Streaming::produce(async move |numbers| {
            for n in 0..request.messages {
                numbers.send(CountResponse { n, ..CountResponse::default() }).await?;
            }
            Err(fails(cx).await)
        }))
    }

    async fn sum(&self, cx: Context, mut requests: Streaming<SumRequest>) -> Result<SumResponse> {
        while requests.message().await?.is_some() {}
        Err((self.0)(cx).await)
    }

    async fn talk(&self, cx: Context, _: Streaming<TalkRequest>) -> Result<Streaming<TalkResponse>> {
        Err((self.0)(cx).await)
    }
}

/// The failures of all kinds of call.
async fn failures(echo: &EchoClient) -> Vec<Status> {
    let large = EchoRequest { payload: Bytes::from(vec![0; 2_000_000]), ..EchoRequest::default() };
    let mut failures = vec![
        echo.echo(EchoRequest::default()).await.expect_err("it fails"),
        echo.echo(large).await.expect_err("it fails"),
        echo.sum(vec![SumRequest::default()]).await.expect_err("it fails"),
        echo.count(CountRequest::default()).await.expect_err("it fails"),
        echo.talk(Streaming::from_iter([])).await.expect_err("it fails"),
    ];
    let mut numbers = echo.count(CountRequest { messages: 2, ..CountRequest::default() }).await.expect("a stream");
    failures.push(loop {
        match numbers.message().await {
            Ok(number) => assert!(number.is_some(), "it fails before its end"),
            Err(status) => break status,
        }
    });
    failures
}

async fn failing<F, Fut>(bus: &Bus, fails: F) -> (EchoClient, Running)
where
    F: Fn(Context) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Status> + Send + 'static,
{
    let running = Server::builder(bus).add(EchoServer::new(Fails(fails))).start().await.expect("a server");
    (EchoClient::new(bus), running)
}

/// A reason that proves that nothing ran proves it of whom the handler asked, and not of the handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_fails_with_the_failure_of_another_has_run() {
    let bus = Bus::memory();
    let nobody = Bus::memory();
    let (echo, _running) = failing(&bus, move |_| {
        let nobody = EchoClient::new(&nobody);
        async move { nobody.echo(EchoRequest::default()).await.expect_err("nobody is there") }
    })
    .await;
    for status in failures(&echo).await {
        assert_eq!(status.error_info().expect("a reason").reason, reason::NO_RESPONDERS);
        assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
    }
    let (echo, _running) =
        failing(
            &Bus::memory(),
            |cx| async move { cx.append_metadata("not legal", "x").expect_err("a name with a space") },
        )
        .await;
    for status in failures(&echo).await {
        assert_eq!((status.code(), status.executed()), (Code::InvalidArgument, Executed::Maybe));
    }
    // Nor in process.
    let nobody = Bus::memory();
    let echo = EchoClient::new(EchoServer::new(Fails(move |_| {
        let nobody = EchoClient::new(&nobody);
        async move { nobody.echo(EchoRequest::default()).await.expect_err("nobody is there") }
    })));
    assert_eq!(echo.echo(EchoRequest::default()).await.expect_err("it fails").executed(), Executed::Maybe);
}

/// A handler may fail with `CANCELLED` as with anything else: only its own caller's cancel needs no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_says_cancelled_is_heard() {
    let (echo, _running) = failing(&Bus::memory(), |_| async {
        Status::cancelled("the order was cancelled").with_error_info("CANCELLED", "orders", [])
    })
    .await;
    for status in failures(&echo).await {
        assert_eq!((status.code(), status.message()), (Code::Cancelled, "the order was cancelled"));
    }
    // What `?` returns when the other end of a conversation hangs up.
    let (echo, _running) = failing(&Bus::memory(), |_| async {
        let (sender, stream) = Streaming::channel();
        drop(stream);
        sender.send(()).await.expect_err("nobody reads it")
    })
    .await;
    for status in failures(&echo).await {
        assert_eq!(status.code(), Code::Cancelled, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_bus_is_closed_may_have_run() {
    for fixture in [fixture::memory().await, fixture::nats().await] {
        let endless = EchoRequest { hang: true, ..EchoRequest::default() };
        let call = tokio::spawn(fixture.echo.echo(endless).into_future());
        fixture.watch.running.becomes(1, "the handler starts").await;
        fixture.bus.expect("a bus").close().await.expect("closed");
        let status = call.await.expect("no panic").expect_err("closed");
        assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
    }
}

/// The requests of a call that runs cannot be sent: it has begun all the same.
#[tokio::test]
async fn a_conversation_whose_connection_breaks_may_have_run() {
    let broker = Bus::memory();
    let _running = Server::builder(&broker).add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let (bus, link) = Faults::seeded(0).wrap(&broker);
    let (sender, requests) = Streaming::channel();
    let mut answers = EchoClient::new(&bus).talk(requests).await.expect("a conversation");
    sender.send(TalkRequest::default()).await.expect("sent");
    assert!(answers.message().await.expect("no failure").is_some());
    sender.send(TalkRequest::default()).await.expect("sent");
    link.disconnect();
    let status = loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_some(), "it fails before its end"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
}

/// The request goes out, and its answer cannot come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_inbox_is_denied_may_have_run() {
    let users = r#"authorization { users: [
        {user: ann, password: p, permissions: {publish: ">", subscribe: {deny: ["_INBOX.>"]}}}
        {user: root, password: p}
    ] }"#;
    let nats = NatsServer::builder().config(users).start().await.expect("a nats-server");
    let service = Bus::nats(nats.client_url("root", "p")).await.expect("a connection");
    let _running = Server::builder(&service).add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let bus = Bus::nats(nats.client_url("ann", "p")).await.expect("a connection");
    let echo = EchoClient::new(&bus);
    // The first, and one for which the denial is old; neither waits for its deadline.
    for _ in 0..2 {
        let status = echo.echo(EchoRequest::default()).timeout(Duration::from_secs(3600)).await.expect_err("no answer");
        assert_eq!((status.code(), status.executed()), (Code::PermissionDenied, Executed::Maybe));
    }
}

/// What is larger than the broker takes loses its length, and neither its code nor its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_any_size_arrives() {
    let nats = NatsServer::builder().config("max_payload: 4096").start().await.expect("a nats-server");
    for bus in [Bus::memory(), Bus::nats(nats.url()).await.expect("a connection")] {
        for size in [100, 1_000, 3_000, 5_000, 16_000, 1_100_000] {
            let (echo, running) = failing(&bus, move |_| async move {
                let mut status = Status::not_found("x".repeat(size)).with_field_violation("field", "y".repeat(size));
                status = status.with_error_info("GONE", "shop", []);
                status.metadata_mut().append("large", "z".repeat(size.min(10_000))).expect("legal");
                status.metadata_mut().append("small", "é").expect("legal");
                status
            })
            .await;
            for status in failures(&echo).await {
                assert_eq!(status.code(), Code::NotFound, "{size}: {status}");
                assert!(status.message().starts_with("xxxxx"), "{size}");
                assert_eq!(status.error_info().expect("a reason").reason, "GONE", "{size}");
                assert_eq!(status.metadata().get("small"), Some("é"), "{size}");
                if size == 100 {
                    assert_eq!(status.message().len(), 100);
                    assert_eq!(status.field_violations().len(), 1);
                    assert_eq!(status.metadata().len(), 2);
                }
            }
            running.stop().await.expect("stopped");
        }
    }
}

/// Sends metadata and trailers of some size beside what it answers.
struct Wordy(usize);

impl EchoService for Wordy {
    async fn echo(&self, cx: Context, request: EchoRequest) -> Result<EchoResponse> {
        self.speak(&cx)?;
        Ok(EchoResponse { payload: vec![0; request.payload_bytes as usize].into(), ..EchoResponse::default() })
    }

    async fn echo_soon(&self, _: Context, _: EchoSoonRequest) -> Result<EchoSoonResponse> {
        Ok(EchoSoonResponse {})
    }

    async fn count(&self, cx: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        self.speak(&cx)?;
        let payload = Bytes::from(vec![0; request.payload_bytes as usize]);
        Ok(Streaming::from_iter((0..request.messages).map(move |n| CountResponse { n, payload: payload.clone() })))
    }

    async fn sum(&self, cx: Context, mut requests: Streaming<SumRequest>) -> Result<SumResponse> {
        while requests.message().await?.is_some() {}
        self.speak(&cx)?;
        Ok(SumResponse::default())
    }

    async fn talk(&self, _: Context, _: Streaming<TalkRequest>) -> Result<Streaming<TalkResponse>> {
        Ok(Streaming::from_iter([]))
    }
}

impl Wordy {
    fn speak(&self, cx: &Context) -> Result<()> {
        // Three bytes on its way for each of these.
        cx.append_metadata("words", "\u{1}".repeat(self.0))?;
        cx.append_trailer("more", "\u{1}".repeat(self.0))
    }
}

/// Metadata within its limit arrives, whatever comes with it, or is refused for what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_any_size_arrives_or_is_refused() {
    let nats = NatsServer::builder().config("max_payload: 16384").start().await.expect("a nats-server");
    let bus = Bus::nats(nats.url()).await.expect("a connection");
    for (size, fits) in [(10, true), (2_000, true), (5_000, true), (6_000, false), (15_000, false)] {
        let server = Server::builder(&bus).namespace("wordy").add(EchoServer::new(Wordy(size)));
        let running = server.start().await.expect("a server");
        let echo = EchoClient::new(Channel::builder(&bus).namespace("wordy").build());
        let outcomes = |outcome: Result<(Option<usize>, Option<usize>)>| match outcome {
            Ok(sizes) => assert!(fits && sizes == (Some(size), Some(size)), "{size}: {sizes:?}"),
            Err(status) => {
                assert!(!fits, "{size}: {status}");
                assert_eq!(status.error_info().expect("a reason").reason, reason::TOO_LARGE_RESPONSE, "{size}");
                assert_eq!((status.code(), status.executed()), (Code::ResourceExhausted, Executed::Maybe));
            }
        };
        for payload_bytes in [1, 10_000, 100_000] {
            let request = EchoRequest { payload_bytes, ..EchoRequest::default() };
            let answer = echo.echo(request).response().await;
            outcomes(answer.map(|answer| {
                assert_eq!(answer.message.payload.len() as u64, payload_bytes);
                (answer.metadata.get("words").map(str::len), answer.trailers.get("more").map(str::len))
            }));
            let request = CountRequest { messages: 3, payload_bytes, ..CountRequest::default() };
            let counted = async {
                let mut numbers = echo.count(request).await?;
                let mut messages = 0;
                while numbers.message().await?.is_some() {
                    messages += 1;
                }
                assert_eq!(messages, 3);
                Ok((numbers.metadata().get("words").map(str::len), numbers.trailers().get("more").map(str::len)))
            };
            outcomes(counted.await);
        }
        let sum = echo.sum(vec![SumRequest::default()]).response().await;
        outcomes(sum.map(|sum| (sum.metadata.get("words").map(str::len), sum.trailers.get("more").map(str::len))));
        tokio::time::timeout(Duration::from_secs(10), running.stop()).await.expect("in time").expect("stopped");
    }
}

//! What must survive on a real nats-server: brokers and services that are killed or stopped, and
//! peers that do not play by the rules.

#![allow(clippy::panic, reason = "a handler that panics is one of the things it can be told to do")]

#[allow(dead_code, reason = "shared with the conformance suite, which asks for more")]
#[path = "../conformance/echo.rs"]
mod echo;
mod garbage;

use std::{
    collections::HashSet,
    future::{Future, IntoFuture},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::{Pid, Signal, kill_process};
use schemas::testing::echo::v1::*;
use subwire::{
    Bus, Channel, Code, Executed, Result, Server, Status, Streaming,
    bus::{Faults, Message, Subject, Subscription},
    testing::NatsServer,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::echo::Echo;

/// No wait of these tests is longer. Machines that run them are busy with others.
const PATIENCE: Duration = Duration::from_secs(30);

/// The timeout of calls that must not wait for it.
const DEADLINE: Duration = Duration::from_secs(120);

/// How soon a call must end whose connection broke: half a second, on a machine with nothing else to do.
const AT_ONCE: Duration = Duration::from_secs(5);

/// How soon the death of a peer must be noticed: five seconds, likewise.
const PEER_LOST: Duration = Duration::from_secs(15);

/// How soon it must work again: two seconds, likewise.
const AGAIN: Duration = Duration::from_secs(10);

/// Unary calls under way at a time.
const CALLS: usize = 20;

/// Streams of each kind under way at a time.
const STREAMS: usize = 10;

/// Set for the process that is a service; the URL of its broker.
const SERVICE: &str = "SUBWIRE_SURVIVAL_SERVICE";

async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    timeout(limit, future).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

async fn connect(server: &NatsServer) -> Bus {
    within(PATIENCE, "a connection", Bus::nats(server.url())).await.expect("connected")
}

fn slow() -> EchoRequest {
    EchoRequest { hang: true, ..EchoRequest::default() }
}

/// Calls that would go on for long.
struct LongCalls {
    calls: Vec<JoinHandle<Result<EchoResponse>>>,
    endless: Vec<Streaming<CountResponse>>,
    flowing: Vec<Streaming<CountResponse>>,
}

impl LongCalls {
    async fn start(echo: &EchoClient) -> Self {
        let calls = (0..CALLS).map(|_| tokio::spawn(echo.echo(slow()).timeout(DEADLINE).into_future())).collect();
        let mut streams = [Vec::new(), Vec::new()];
        for (hang, streams) in [true, false].into_iter().zip(&mut streams) {
            for _ in 0..STREAMS {
                let messages = if hang { 1 } else { u64::MAX };
                let request = CountRequest { messages, hang, ..CountRequest::default() };
                let mut numbers = within(PATIENCE, "a stream", echo.count(request).into_future()).await;
                let first = numbers.as_mut().expect("a stream").message();
                assert!(within(PATIENCE, "a message", first).await.expect("a message").is_some());
                streams.extend(numbers);
            }
        }
        let [endless, flowing] = streams;
        Self { calls, endless, flowing }
    }

    /// Waits until all have ended, and none of them well.
    async fn end_within(self, limit: Duration) {
        let all = async {
            for call in self.calls {
                let status = call.await.expect("no panic").expect_err("no answer");
                assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe), "{status:?}");
            }
            for mut numbers in self.endless.into_iter().chain(self.flowing) {
                assert_eq!(failure(&mut numbers).await.code(), Code::Unavailable);
            }
        };
        within(limit, "every call ends", all).await;
    }
}

/// What a stream ends with. What has arrived before is in order.
async fn failure(numbers: &mut Streaming<CountResponse>) -> Status {
    let mut next = None;
    loop {
        match numbers.message().await {
            Ok(Some(number)) => assert_eq!(*next.get_or_insert(number.n), number.n),
            Ok(None) => panic!("a clean end"),
            Err(status) => return status,
        }
        next = next.map(|n| n + 1);
    }
}

/// Calls until it works, whenever there is a connection.
async fn works_again(bus: &Bus) {
    let echo = EchoClient::new(Channel::builder(bus).wait_for_ready(true).build());
    let again = async { while echo.echo(EchoRequest::default()).timeout(Duration::from_secs(1)).await.is_err() {} };
    within(AGAIN, "calls work again", again).await;
    let mut numbers = echo.count(CountRequest { messages: 3, ..CountRequest::default() }).await.expect("a stream");
    for n in 0..3 {
        assert_eq!(numbers.message().await.expect("a message").map(|number| number.n), Some(n));
    }
    assert!(numbers.message().await.expect("the end").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_ends_calls_at_once_and_comes_back() {
    let mut nats = NatsServer::start().await.expect("a server");
    let service = Echo::default();
    let watch = service.watch.clone();
    let server = Server::builder(connect(&nats).await).add(EchoServer::new(service)).start().await.expect("a server");
    let bus = connect(&nats).await;
    let echo = EchoClient::new(&bus);
    for _ in 0..3 {
        let calls = LongCalls::start(&echo).await;
        nats.kill();
        calls.end_within(AT_ONCE).await;
        let before = Instant::now();
        let status = echo.echo(EchoRequest::default()).timeout(DEADLINE).await.expect_err("no broker");
        assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
        assert!(before.elapsed() < AT_ONCE);
        nats.restart().await.expect("restarted");
        works_again(&bus).await;
    }
    // The handlers of calls that were never long may run until their deadline; those of streams may not.
    let gone = watch.running.until(|running| *running <= 3 * CALLS);
    within(PEER_LOST, "the streams of lost callers are gone", gone).await;
    drop(server);
}

/// A raw connection, as a peer has that does not play by the rules.
struct Raw(BufReader<TcpStream>);

impl Raw {
    async fn connect(nats: &NatsServer) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(nats.address()).await.expect("connected"));
        let mut info = String::new();
        stream.read_line(&mut info).await.expect("INFO");
        stream
            .write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n")
            .await
            .expect("sent");
        Self(stream)
    }

    /// Publishes, with whatever bytes as headers.
    async fn publish(&mut self, subject: &str, reply: &str, headers: Option<&str>, payload: &[u8]) {
        let space = if reply.is_empty() { "" } else { " " };
        let head = headers.map(|headers| format!("NATS/1.0\r\n{headers}\r\n\r\n")).unwrap_or_default();
        let line = match headers {
            Some(_) => {
                format!("HPUB {subject}{space}{reply} {} {}\r\n{head}", head.len(), head.len() + payload.len())
            }
            None => format!("PUB {subject}{space}{reply} {}\r\n", payload.len()),
        };
        for part in [line.as_bytes(), payload, b"\r\n"] {
            self.0.write_all(part).await.expect("sent");
        }
    }

    /// Waits until the server has taken everything.
    async fn fence(&mut self) {
        self.0.write_all(b"PING\r\n").await.expect("sent");
        let mut answer = String::new();
        // The server may ask the same of us.
        while answer != "PONG\r\n" {
            assert!(matches!(&*answer, "" | "PING\r\n"), "{answer}");
            answer.clear();
            within(PATIENCE, "a PONG", self.0.read_line(&mut answer)).await.expect("an answer");
        }
    }
}

/// Takes down the client of whoever listens there: async-nats asserts that no such header comes.
const DEADLY: Option<&str> = Some("k: a\rb");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadly_header_is_survived() {
    let nats = NatsServer::start().await.expect("a server");
    let (service_bus, client_bus) = (connect(&nats).await, connect(&nats).await);
    let running = Server::builder(&service_bus).add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let echo = EchoClient::new(&client_bus);
    // Somebody who listens to everything learns where the client and the instance listen.
    let mut tap = connect(&nats).await.listen(Subject::pattern("svc.>").expect("legal"), None).await.expect("a tap");
    works_again(&client_bus).await;
    let request = within(PATIENCE, "a request", tap.next()).await.expect("open");
    let inbox = request.reply.expect("a reply subject").as_str().to_owned();
    let instance = format!("svc.testing.echo.v1._i.{}.x", running.instance());
    let mut attacker = Raw::connect(&nats).await;
    for target in ["svc.testing.echo.v1.echo", "svc.testing.echo.v1._cancel", &instance, &inbox] {
        let victim = if target == inbox { &client_bus } else { &service_bus };
        let calls = LongCalls::start(&echo).await;
        let epoch = victim.link().borrow().epoch;
        attacker.publish(target, "_INBOX.x.y", DEADLY, b"").await;
        attacker.fence().await;
        let mut link = victim.link();
        let replaced = link.wait_for(|link| link.up && link.epoch > epoch);
        drop(within(AGAIN, "the connection is replaced", replaced).await.expect("open"));
        works_again(&client_bus).await;
        // One side has lost its connection, and the other its peer.
        drop(calls);
    }
}

/// A service in a process of its own, which is killed when dropped.
struct Service(Child);

impl Service {
    /// Starts this program again, to be the service, and waits until it serves.
    async fn start(nats: &NatsServer, bus: &Bus) -> Self {
        let program = std::env::current_exe().expect("a path");
        let child = Command::new(program)
            .args(["--exact", "the_service_process", "--nocapture"])
            .env(SERVICE, nats.url())
            .kill_on_drop(true)
            .stdout(std::process::Stdio::null())
            .spawn();
        let service = Self(child.expect("started"));
        works_again(bus).await;
        service
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process(pid, signal).expect("signalled");
    }
}

/// Not a test of its own: what [`Service`] runs, in another process. It ends when that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_process() {
    let Ok(url) = std::env::var(SERVICE) else { return };
    let bus = Bus::nats(url).await.expect("connected");
    let service = Echo::default();
    let watch = service.watch.clone();
    // First what is asked once it serves.
    let mut questions = bus.listen(Subject::new(STARTED).expect("legal"), None).await.expect("subscribed");
    let _running = Server::builder(&bus).add(EchoServer::new(service)).start().await.expect("a server");
    while let Some(question) = questions.next().await {
        let started = watch.started.get() as u64;
        let answer = Message::new(question.reply.expect("a reply subject"), started.to_le_bytes().to_vec());
        bus.publish(answer).await.expect("sent");
    }
}

/// Where the service process says how many handlers it has started.
const STARTED: &str = "survival.started";

async fn ask(bus: &Bus, replies: &mut Subscription) -> u64 {
    let reply = Subject::new("_INBOX.survival").expect("legal");
    let question = Message::new(Subject::new(STARTED).expect("legal"), "").with_reply(reply);
    bus.publish(question).await.expect("sent");
    let answer = within(PATIENCE, "an answer", replies.next()).await.expect("open");
    u64::from_le_bytes((&*answer.payload).try_into().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_is_noticed() {
    let nats = NatsServer::start().await.expect("a server");
    let bus = connect(&nats).await;
    let echo = EchoClient::new(&bus);
    let service = Service::start(&nats, &bus).await;
    let observer = connect(&nats).await;
    let calls_alone = Subject::pattern("_INBOX.*.*.*.*").expect("legal");
    let mut tap = observer.listen(calls_alone, None).await.expect("a tap");
    observer.fence().await.expect("the server knows");
    let calls = LongCalls::start(&echo).await;
    let (said, requests) = Streaming::channel();
    let mut answers = echo.talk(requests).await.expect("a stream");
    said.send(TalkRequest::default()).await.expect("sent");
    assert!(answers.message().await.expect("an answer").is_some());
    // Calls are long after a second: then the service says that it has them.
    let accepted = async {
        let mut answered = HashSet::new();
        while answered.len() < CALLS + 2 * STREAMS + 1 {
            answered.insert(tap.next().await.expect("open").subject);
        }
    };
    within(PATIENCE, "each call is spoken of", accepted).await;
    service.signal(Signal::KILL);
    let status = within(PEER_LOST, "the conversation ends", answers.message()).await.expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable);
    calls.end_within(PEER_LOST).await;
    let status = echo.echo(EchoRequest::default()).timeout(DEADLINE).await.expect_err("nobody there");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    let _another = Service::start(&nats, &bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_was_stopped_does_not_run_what_has_expired() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    let nats = NatsServer::start().await.expect("a server");
    let bus = connect(&nats).await;
    let mut replies = bus.listen(Subject::new("_INBOX.survival").expect("legal"), None).await.expect("subscribed");
    let echo = EchoClient::new(&bus);
    let service = Service::start(&nats, &bus).await;
    let before = ask(&bus, &mut replies).await;

    service.signal(Signal::STOP);
    // It stops a moment later than the signal was sent.
    let mut answered = 0;
    while echo.echo(EchoRequest::default()).timeout(TIMEOUT).await.is_ok() {
        answered += 1;
    }
    let calls = (0..CALLS).map(|_| echo.echo(EchoRequest::default()).timeout(TIMEOUT).into_future());
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome.expect_err("nobody answers").code(), Code::DeadlineExceeded);
    }
    // They have expired here; what a request may be late beyond its timeout must pass as well.
    sleep(Duration::from_secs(1)).await;
    service.signal(Signal::CONT);

    // It comes after the others, on the same subject.
    echo.echo(EchoRequest::default()).timeout(PATIENCE).await.expect("an answer");
    let started = ask(&bus, &mut replies).await - before - answered - 1;
    // One may have been under way when it stopped.
    assert!(started <= 1, "of {CALLS} calls that had expired, {started} were started");
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_panic_leave_others_unharmed() {
    let nats = NatsServer::start().await.expect("a server");
    let running = Server::builder(connect(&nats).await).add(EchoServer::new(Echo::default())).start().await;
    let running = running.expect("a server");
    let echo = EchoClient::new(connect(&nats).await);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let request = CountRequest { messages: 50, delay_ms: 20, ..CountRequest::default() };
        streams.push(echo.count(request).await.expect("a stream"));
    }
    let panics = (0..50).map(|n| {
        let request = EchoRequest { panic: true, ..EchoRequest::default() };
        let streaming = CountRequest { panic: true, messages: n % 3, ..CountRequest::default() };
        let (unary, stream) = (echo.echo(request).into_future(), echo.count(streaming).into_future());
        async move {
            assert_eq!(unary.await.expect_err("a panic").code(), Code::Internal);
            let status = match stream.await {
                Ok(mut numbers) => failure(&mut numbers).await,
                Err(status) => status,
            };
            assert_eq!(status.code(), Code::Internal);
        }
    });
    futures_util::future::join_all(panics).await;
    for numbers in &mut streams {
        for n in 0..50 {
            assert_eq!(numbers.message().await.expect("no failure").map(|number| number.n), Some(n));
        }
        assert!(numbers.message().await.expect("the end").is_none());
    }
    within(PATIENCE, "it stops", running.stop()).await.expect("stopped");
}

/// The faults of `tests/faults` work here as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_link_to_nats_breaks_and_mends() {
    let nats = NatsServer::start().await.expect("a server");
    let delay = Duration::from_millis(1)..Duration::from_millis(5);
    let (service, link) = Faults::seeded(1).delay(delay).wrap(connect(&nats).await);
    let running = Server::builder(service).add(EchoServer::new(Echo::default())).start().await.expect("a server");
    let bus = connect(&nats).await;
    let echo = EchoClient::new(&bus);
    works_again(&bus).await;
    for _ in 0..3 {
        let calls = LongCalls::start(&echo).await;
        link.disconnect();
        // The broker knows that nobody is there, as soon as it has heard of it.
        let nobody = async {
            loop {
                let outcome = echo.echo(EchoRequest::default()).timeout(Duration::from_secs(1)).await;
                if outcome.is_err_and(|status| status.executed() == Executed::No) {
                    return;
                }
            }
        };
        within(PATIENCE, "nobody listens", nobody).await;
        link.reconnect();
        works_again(&bus).await;
        drop(calls);
    }
    link.partition();
    let status = echo.echo(EchoRequest::default()).timeout(Duration::from_millis(300)).await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    link.heal();
    works_again(&bus).await;
    drop(running);
}

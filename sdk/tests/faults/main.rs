//! Calls over links that lose, double, overtake and hold back messages, and that break: under paused
//! time, and from a seed, so that whatever fails here fails again with the same seed.

#![allow(clippy::panic, reason = "a handler that panics is one of the things it can be told to do")]

#[allow(dead_code, reason = "shared with the conformance suite, which asks for more")]
#[path = "../conformance/echo.rs"]
mod echo;
mod links;

use std::{
    future::{Future, IntoFuture},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use schemas::testing::echo::v1::*;
use subwire::{
    Bus, Channel, Code, Executed, Result, Running, Server, Status, Streaming,
    bus::{Faults, FaultsControl, Message, Subject},
};
use tokio::time::{Instant, sleep, timeout};

use crate::echo::{Echo, Watch};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a call may take beyond its deadline.
const LATE: Duration = Duration::from_millis(250);

/// Silence after which a peer is given up, and what it takes to notice.
const PEER_LOST: Duration = Duration::from_secs(5);

/// The longest that a stream stands still because one message was lost.
const STANDSTILL: Duration = Duration::from_secs(10);

/// The same when its healing may be hit as well.
const STORMY_STANDSTILL: Duration = Duration::from_secs(20);

/// Runs a test from its seed, on a runtime and a clock of its own.
fn replay<T>(seed: u64, test: impl AsyncFnOnce() -> T) -> T {
    /// Names the seed when the test fails.
    struct Seed(u64);

    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("this was seed {}", self.0);
            }
        }
    }

    let _seed = Seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async { timeout(1_000 * SECOND, test()).await.expect("it hangs") })
}

/// A client and a service on one broker, each behind a link of its own.
struct Fixture {
    echo: EchoClient,
    /// The same, but its calls wait for a connection.
    patient: EchoClient,
    watch: Arc<Watch>,
    server: Running,
    client_link: FaultsControl,
    service_link: FaultsControl,
}

impl Fixture {
    async fn new(client: Faults, service: Faults) -> Self {
        let broker = Bus::memory();
        let (client, client_link) = client.wrap(&broker);
        let (service, service_link) = service.wrap(&broker);
        let echo = Echo::default();
        let watch = echo.watch.clone();
        let server = Server::builder(service).add(EchoServer::new(echo)).start().await.expect("a server");
        let patient = EchoClient::new(Channel::builder(&client).wait_for_ready(true).build());
        Self { echo: EchoClient::new(client), patient, watch, server, client_link, service_link }
    }

    async fn healthy() -> Self {
        Self::new(Faults::seeded(0), Faults::seeded(0)).await
    }

    fn running(&self) -> usize {
        self.watch.running.get()
    }

    /// Waits until the service has nothing left to do.
    async fn idle(&self, limit: Duration) {
        let idle = async {
            while self.server.in_flight() > 0 || self.running() > 0 {
                sleep(MS).await;
            }
        };
        let (in_flight, running) = (self.server.in_flight(), self.running());
        timeout(limit, idle)
            .await
            .unwrap_or_else(|_| panic!("of {in_flight} calls, {running} handlers, some are left"));
    }

    /// A long unary call and an endless stream, both under way.
    async fn two_long_calls(&self) -> (tokio::task::JoinHandle<Result<EchoResponse>>, Streaming<CountResponse>) {
        let slow = EchoRequest { hang: true, ..EchoRequest::default() };
        let call = tokio::spawn(self.echo.echo(slow).timeout(700 * SECOND).into_future());
        let endless = CountRequest { messages: 1, hang: true, ..CountRequest::default() };
        let mut numbers = self.echo.count(endless).await.expect("a stream");
        assert!(numbers.message().await.expect("a message").is_some());
        // Long enough for the unary call to be one that beats.
        sleep(3 * SECOND).await;
        assert_eq!(self.running(), 2);
        (call, numbers)
    }
}

/// Fails the test if `step` takes longer than `limit`.
async fn within<T>(limit: Duration, step: impl Future<Output = T>) -> T {
    timeout(limit, step).await.unwrap_or_else(|_| panic!("it stands still for {limit:?}"))
}

/// A lost message may fail a call, and only like this.
fn excused(status: Status) -> Status {
    assert!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{status:?}");
    status
}

/// One call, which checks for itself that nothing is missing, double or out of place.
type Conversation = for<'a> fn(&'a EchoClient, Duration) -> BoxFuture<'a, Result<()>>;

const CONVERSATIONS: [(&str, Conversation); 6] = [
    ("a short call", |echo, _| Box::pin(call(echo, "short", 0))),
    ("a long call", |echo, _| Box::pin(call(echo, "long", 3_000))),
    ("a large call", |echo, _| Box::pin(large(echo))),
    ("a stream of responses", |echo, limit| Box::pin(count(echo, limit, 25, 200, 40_000))),
    ("a stream of requests", |echo, limit| Box::pin(sum(echo, limit, 25, 200, 40_000))),
    ("a conversation", |echo, limit| Box::pin(talk(echo, limit, 15, 300))),
];

async fn call(echo: &EchoClient, text: &str, delay_ms: u32) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(12);
    let request = EchoRequest { text: text.to_owned(), delay_ms, ..EchoRequest::default() };
    let answer = within(TIMEOUT + LATE, echo.echo(request).timeout(TIMEOUT).into_future()).await;
    assert_eq!(answer.map_err(excused)?.text, text, "the answer to another call");
    Ok(())
}

/// Request and response are larger than the broker takes in one message.
async fn large(echo: &EchoClient) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(12);
    let payload: Bytes = (0..1_200_000u32).map(|n| n.to_le_bytes()[(n % 4) as usize]).collect();
    let request = EchoRequest { payload: payload.clone(), delay_ms: 2_500, ..EchoRequest::default() };
    let answer = within(TIMEOUT + LATE, echo.echo(request).timeout(TIMEOUT).into_future()).await;
    assert!(answer.map_err(excused)?.payload == payload, "some of it is another's");
    Ok(())
}

async fn count(echo: &EchoClient, limit: Duration, messages: u64, delay_ms: u32, payload_bytes: u64) -> Result<()> {
    let request = CountRequest { messages, delay_ms, payload_bytes, ..CountRequest::default() };
    let mut numbers = within(limit, echo.count(request).into_future()).await.map_err(excused)?;
    for next in 0..messages {
        let number = within(limit, numbers.message()).await.map_err(excused)?;
        assert_eq!(number.map(|number| number.n), Some(next), "lost, double, or out of place");
    }
    assert!(within(limit, numbers.message()).await.map_err(excused)?.is_none(), "one too many");
    Ok(())
}

async fn sum(echo: &EchoClient, limit: Duration, messages: u64, delay_ms: u64, payload_bytes: usize) -> Result<()> {
    let numbers = Streaming::produce(async move |numbers| {
        let payload = Bytes::from(vec![7; payload_bytes]);
        for n in 0..messages {
            sleep(Duration::from_millis(delay_ms)).await;
            numbers.send(SumRequest { n: 1 << (n % 50), payload: payload.clone() }).await?;
        }
        Ok(())
    });
    let limit = limit + messages as u32 * Duration::from_millis(delay_ms);
    let sum = within(limit, echo.sum(numbers).into_future()).await.map_err(excused)?;
    assert_eq!(sum.messages, messages);
    assert_eq!(sum.sum, (0..messages).map(|n| 1 << (n % 50)).sum::<u64>(), "lost or double");
    Ok(())
}

async fn talk(echo: &EchoClient, limit: Duration, messages: u32, delay_ms: u64) -> Result<()> {
    let (said, requests) = Streaming::channel();
    let mut answers = within(limit, echo.talk(requests).into_future()).await.map_err(excused)?;
    for n in 0..messages {
        sleep(Duration::from_millis(delay_ms)).await;
        // When nobody listens any more, the answers say why.
        let sent = said.send(TalkRequest { text: n.to_string(), ..TalkRequest::default() }).await;
        let answer = within(limit, answers.message()).await.map_err(excused)?;
        assert_eq!(answer.map(|answer| answer.text), Some(n.to_string()), "lost, double, or out of place");
        sent.expect("somebody listened");
    }
    drop(said);
    assert!(within(limit, answers.message()).await.map_err(excused)?.is_none(), "one too many");
    Ok(())
}

/// Picks one message, by how many came before it.
fn nth(n: u64) -> impl Fn(&Message) -> bool + Send + Sync {
    let seen = AtomicU64::new(0);
    move |_| seen.fetch_add(1, Ordering::Relaxed) == n
}

/// Strikes each message of each kind of call, in turn and alone.
fn strike_each(faults: fn() -> Faults, check: fn(&str, Result<()>)) {
    for (name, conversation) in CONVERSATIONS {
        for of_client in [true, false] {
            for n in 0.. {
                let struck = replay(n, async || {
                    let struck = faults().only(nth(n)).outbound_only();
                    let spared = Faults::seeded(0);
                    let (client, service) = if of_client { (struck, spared) } else { (spared, struck) };
                    let fixture = Fixture::new(client, service).await;
                    let outcome = conversation(&fixture.echo, STANDSTILL).await;
                    let side = if of_client { "client" } else { "service" };
                    check(&format!("{name}, message {n} of the {side}"), outcome);
                    fixture.idle(STANDSTILL).await;
                    let counts = [fixture.client_link.counts(), fixture.service_link.counts()];
                    counts.iter().map(|counts| counts.lost + counts.duplicated + counts.reordered).sum::<u64>() > 0
                });
                if !struck {
                    assert!(n > 0, "{name}: nothing was struck");
                    break;
                }
            }
        }
    }
}

#[test]
fn any_one_message_may_be_lost() {
    strike_each(|| Faults::seeded(0).drop(1.0), |_, _| {});
}

#[test]
fn any_one_message_may_come_twice() {
    strike_each(
        || Faults::seeded(0).duplicate(1.0),
        |what, outcome| outcome.unwrap_or_else(|status| panic!("{what}, came twice: {status:?}")),
    );
}

#[test]
fn any_one_message_may_be_overtaken() {
    strike_each(|| Faults::seeded(0).reorder(1.0), |_, _| {});
}

/// How many storms there are: `FAULTS_SEEDS`, for those who have time for more.
fn seeds() -> u64 {
    std::env::var("FAULTS_SEEDS").map_or(100, |seeds| seeds.parse().expect("a number"))
}

/// Both links lose, double and reorder one message in a hundred, each way.
fn storm(seed: u64) -> Faults {
    Faults::seeded(seed).drop(0.01).duplicate(0.01).reorder(0.01).delay(Duration::ZERO..10 * MS)
}

/// Calls of every kind at once. How each of them ended.
async fn calls_in_a_storm(fixture: &Fixture) -> Vec<Option<Code>> {
    let echo = &fixture.echo;
    let limit = STORMY_STANDSTILL;
    let mut calls: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
    for n in 0..20u32 {
        calls
            .push(Box::pin(async move { call(echo, &n.to_string(), [0, 5, 200, 1_500, 4_000][n as usize % 5]).await }));
    }
    calls.push(Box::pin(large(echo)));
    calls.push(Box::pin(count(echo, limit, 2_000, 0, 0)));
    calls.push(Box::pin(count(echo, limit, 2_000, 0, 2_000)));
    calls.push(Box::pin(count(echo, limit, 100, 40, 100)));
    calls.push(Box::pin(count(echo, limit, 0, 0, 0)));
    calls.push(Box::pin(sum(echo, limit, 2_000, 0, 2_000)));
    calls.push(Box::pin(sum(echo, limit, 50, 20, 10)));
    calls.push(Box::pin(talk(echo, limit, 20, 10)));
    calls.push(Box::pin(talk(echo, limit, 5, 1_000)));
    join_all(calls).await.into_iter().map(|outcome| outcome.err().map(|status| status.code())).collect()
}

#[test]
fn calls_survive_storms_or_fail_honestly() {
    let (mut well, mut failed, mut lost) = (0, 0, 0);
    for seed in 0..seeds() {
        replay(seed, async || {
            let fixture = Fixture::new(storm(seed), storm(seed + 1_000)).await;
            for outcome in calls_in_a_storm(&fixture).await {
                if outcome.is_none() { well += 1 } else { failed += 1 }
            }
            fixture.idle(STORMY_STANDSTILL).await;
            lost += fixture.client_link.counts().lost + fixture.service_link.counts().lost;
        });
    }
    assert!(lost > 0 && failed > 0, "there was no storm");
    assert!(well > failed, "{well} calls ended well and {failed} did not");
}

#[test]
fn a_seed_makes_the_same_storm_each_time() {
    let numbers = |seed| {
        replay(seed, async || {
            let broker = Bus::memory();
            let (bus, link) = storm(seed).drop(0.1).duplicate(0.1).reorder(0.1).wrap(&broker);
            let subject = Subject::new("s").expect("legal");
            let mut subscription = bus.listen(subject.clone(), None).await.expect("subscribed");
            for n in 0..500u32 {
                bus.publish(Message::new(subject.clone(), n.to_string())).await.expect("sent");
                if n % 10 == 0 {
                    sleep(MS).await;
                }
            }
            let mut seen = Vec::new();
            while let Ok(Some(message)) = timeout(SECOND, subscription.next()).await {
                seen.push(String::from_utf8_lossy(&message.payload).into_owned());
            }
            (seen, link.counts())
        })
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    let calls = |seed| {
        replay(seed, async || {
            let fixture = Fixture::new(storm(seed), storm(seed + 1_000)).await;
            let outcomes = calls_in_a_storm(&fixture).await;
            (outcomes, fixture.client_link.counts(), fixture.service_link.counts())
        })
    };
    for seed in 0..5 {
        assert_eq!(calls(seed), calls(seed), "seed {seed}");
    }
}

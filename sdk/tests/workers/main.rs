//! Workers, dead letters and replay on both buses: the same tests, the same results.

#![allow(clippy::panic, reason = "a handler that panics is one of the cases")]

mod backstop;
mod cut_off;
mod effects;
mod gone;
mod groups;
mod lag;
mod letters;
mod metrics;
mod ordering;
mod outcomes;
mod poison;
mod replays;
mod restart;
mod stopping;
mod trouble;
mod unreadable;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemas::testing::event::v1::{self as schema, *};
use subwire::{
    Bus, ConsumerSpec, DeadLetter, DeadLetters, Delivery, Events, Letters, Result, RunningWorker, Streams, Worker,
    WorkerBuilder, testing::NatsServer,
};
use tokio::{sync::mpsc, time::timeout};

/// No wait of these tests is longer. Machines that run them are busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what has to come true.
const POLL: Duration = Duration::from_millis(5);

/// How long a message may be out in these tests.
const ACK_WAIT: Duration = Duration::from_secs(1);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Waits until it is true.
async fn eventually(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !is_true().await {
            tokio::time::sleep(POLL).await;
        }
    };
    within(what, waited).await;
}

/// A bus, and whatever it needs to live.
struct Broker {
    bus: Bus,
    server: Option<NatsServer>,
}

impl Broker {
    async fn memory() -> Self {
        Self { bus: Bus::memory(), server: None }.with_streams().await
    }

    async fn nats() -> Self {
        let server = NatsServer::builder().jetstream().start().await.expect("a server");
        Self { bus: Bus::nats(server.url()).await.expect("connected"), server: Some(server) }.with_streams().await
    }

    async fn with_streams(self) -> Self {
        Streams::new(&self.bus).apply(schema::stream::TESTING.clone()).await.expect("applied");
        self
    }

    async fn publish(&self, values: impl IntoIterator<Item = u64>) {
        let mut pipeline = Events::new(&self.bus).pipeline();
        for value in values {
            pipeline.publish(&reading(value)).await.expect("handed over");
        }
        pipeline.finish().await.expect("stored");
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let mut list = DeadLetters::new(&self.bus).list(Letters::all()).await.expect("a list");
        let mut letters = Vec::new();
        while let Some(letter) = list.next().await {
            letters.push(letter.expect("a letter"));
        }
        letters
    }

    /// Waits until there are so many dead letters.
    async fn letters_when(&self, count: usize) -> Vec<DeadLetter> {
        eventually("dead letters", async || self.letters().await.len() >= count).await;
        self.letters().await
    }

    async fn is_done(&self) -> bool {
        let info = Streams::new(&self.bus).consumer_info("TESTING", "testing").await.expect("a consumer");
        info.pending + info.ack_pending == 0
    }

    /// Waits until nothing is left to do.
    async fn done(&self) {
        eventually("everything is done", async || self.is_done().await).await;
    }
}

/// Each of these functions is a test on either bus: in memory with the time of the test, which passes by
/// itself where everybody waits, and on a server with two threads.
macro_rules! on_both_buses {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $test() { super::$test($crate::Broker::memory().await).await }
            )+
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test($crate::Broker::nats().await).await }
            )+
        }
    };
}
pub(crate) use on_both_buses;

fn reading(value: u64) -> Reading {
    Reading {
        id: format!("reading-{value}"),
        place: Some(Place { room: "kitchen".to_owned() }),
        kind: ReadingKind::Temperature.into(),
        value,
    }
}

/// The waits between three attempts. The first is also how long the broker waits for the end of one, so none
/// is so short that a busy machine could miss it.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(600)];

/// Three attempts, with waits between them.
fn consumer() -> ConsumerSpec {
    let backoff = WAITS.to_vec();
    ConsumerSpec { max_deliver: Some(3), backoff: backoff.into(), ..impatient() }
}

/// Any number of attempts.
fn impatient() -> ConsumerSpec {
    ConsumerSpec { ack_wait: ACK_WAIT, ..ConsumerSpec::new("TESTING", "testing") }
}

/// What a handler was called with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    value: u64,
    attempt: u32,
}

/// What handlers were called with, in that order.
struct Book {
    seen: mpsc::UnboundedReceiver<Seen>,
    all: Arc<Mutex<HashMap<u64, Vec<u32>>>>,
}

/// Where a handler writes what it was called with.
#[derive(Clone)]
struct Pen {
    seen: mpsc::UnboundedSender<Seen>,
    all: Arc<Mutex<HashMap<u64, Vec<u32>>>>,
}

impl Pen {
    fn write(&self, cx: &Delivery, value: u64) {
        let attempt = cx.attempt();
        self.all.lock().unwrap_or_else(PoisonError::into_inner).entry(value).or_default().push(attempt);
        // Once the test has ended, nobody reads it.
        let _ = self.seen.send(Seen { value, attempt });
    }
}

impl Book {
    fn new() -> (Pen, Self) {
        let (sender, seen) = mpsc::unbounded_channel();
        let all = Arc::new(Mutex::default());
        (Pen { seen: sender, all: all.clone() }, Self { seen, all })
    }

    async fn next(&mut self) -> Seen {
        within("a message", self.seen.recv()).await.expect("a worker")
    }

    async fn take(&mut self, count: usize) -> Vec<Seen> {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(self.next().await);
        }
        taken
    }

    /// The attempts at this one, in their order.
    fn attempts(&self, value: u64) -> Vec<u32> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(&value).cloned().unwrap_or_default()
    }
}

/// A worker that does nothing but write down what it was called with.
fn scribe(broker: &Broker, spec: &ConsumerSpec, pen: Pen) -> WorkerBuilder {
    Worker::builder(&broker.bus).handle(spec, async move |cx: Delivery, reading: Reading| -> Result<()> {
        pen.write(&cx, reading.value);
        Ok(())
    })
}

async fn started(worker: WorkerBuilder) -> RunningWorker {
    within("a start", worker.start()).await.expect("started")
}

async fn stopped(worker: RunningWorker) {
    within("a stop", worker.stop()).await.expect("stopped");
}

//! What a case runs on: a bus with a stream of notes, and an archive in a PostgreSQL of its own.

use std::{borrow::Cow, time::Duration};

use subwire::{Bus, ConsumerSpec, Events, Handler, Specs, StreamSpec, Streams, Worker, testing::NatsServer};
use subwire_archive::{Archive, Facts, testing::PostgresServer};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::note::Note;

/// No wait of these tests is longer. Machines that run them are busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a worker that stops waits for what cannot end.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) struct Fixture {
    pub(crate) bus: Bus,
    pub(crate) postgres: PostgresServer,
    pub(crate) archive: Archive,
    _nats: Option<NatsServer>,
}

pub(crate) async fn memory() -> Fixture {
    Fixture::new(Bus::memory(), None, postgres().await).await
}

pub(crate) async fn nats() -> Fixture {
    let server = NatsServer::builder().jetstream().start().await.expect("a nats-server");
    let bus = Bus::nats(server.url()).await.expect("a connection");
    Fixture::new(bus, Some(server), postgres().await).await
}

async fn postgres() -> PostgresServer {
    PostgresServer::start().await.expect("a PostgreSQL")
}

impl Fixture {
    pub(crate) async fn new(bus: Bus, nats: Option<NatsServer>, postgres: PostgresServer) -> Self {
        let archive = Archive::connect(postgres.url()).await.expect("an archive");
        let fixture = Self { bus, postgres, archive, _nats: nats };
        fixture.make_stream().await;
        fixture
    }

    pub(crate) async fn make_stream(&self) {
        let specs = Specs { streams: vec![StreamSpec::new("notes", ["note.>"])], consumers: vec![consumer("archive")] };
        Streams::new(&self.bus).apply(specs).await.expect("a stream");
    }

    /// Publishes these, one after another.
    pub(crate) async fn publish(&self, notes: &[Note]) {
        let mut pipeline = Events::new(&self.bus).pipeline();
        for note in notes {
            pipeline.publish(note).await.expect("a place in the window");
        }
        pipeline.finish().await.expect("stored in the stream");
    }

    /// Archives what this consumer hands out, until it is stopped.
    pub(crate) fn work(&self, consumer: ConsumerSpec) -> Working {
        self.work_with(consumer, handler(&self.archive))
    }

    pub(crate) fn work_with(&self, consumer: ConsumerSpec, handler: Handler) -> Working {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(&self.bus).handle(&consumer, handler).concurrency(64).grace(GRACE);
        let task = tokio::spawn(worker.run(async { drop(stopped.await) }));
        Working { stop, task }
    }

    /// Waits until this consumer has nothing left, handed out or not.
    pub(crate) async fn acknowledged(&self, consumer: &str) {
        let streams = Streams::new(&self.bus);
        eventually("all is acknowledged", async || {
            let info = streams.consumer_info("notes", consumer).await;
            info.is_ok_and(|info| info.pending == 0 && info.ack_pending == 0)
        })
        .await;
    }

    /// Waits until the archive has this many notes, then stays for none more.
    pub(crate) async fn archived(&self, count: u64) {
        eventually(&format!("{count} notes are archived"), async || {
            self.archive.events::<Note>().count().await.is_ok_and(|found| found >= count)
        })
        .await;
        assert_eq!(self.archive.events::<Note>().count().await.expect("a count"), count);
    }
}

/// A worker in a task.
pub(crate) struct Working {
    stop: oneshot::Sender<()>,
    task: JoinHandle<subwire::Result<()>>,
}

impl Working {
    pub(crate) async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.expect("in time").expect("no panic").expect("a clean stop");
    }

    /// Ends it where it is, with whatever it holds.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let ended = timeout(PATIENCE, self.task).await.expect("in time");
        assert!(ended.is_err_and(|error| error.is_cancelled()), "it had not ended before");
    }
}

/// What stores notes: found by their author and their topic.
pub(crate) fn handler(archive: &Archive) -> Handler {
    archive.of::<Note>(|note| Facts::new().agent(&note.author).kind(&note.topic))
}

/// A durable consumer of all notes.
pub(crate) fn consumer(name: &'static str) -> ConsumerSpec {
    ConsumerSpec { backoff: Cow::Owned(vec![Duration::from_secs(1)]), ..ConsumerSpec::new("notes", name) }
}

/// Notes of one author and topic, whose texts are numbers from 0 on.
pub(crate) fn notes(author: &str, topic: &str, count: usize) -> Vec<Note> {
    (0..count).map(|number| Note::new(author, topic, number)).collect()
}

/// Fails the test if `what` does not come true soon: for things that happen a moment later.
pub(crate) async fn eventually(promise: &str, what: impl AsyncFn() -> bool) {
    let waited = async {
        while !what().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, waited).await.is_ok(), "within {PATIENCE:?}: {promise}");
}

//! A connection that is lost while the last that a reader waits for is under way: nothing after it shows the gap.

use std::sync::atomic::{AtomicI64, Ordering};

use subwire::{Kv, KvSpec, ObjectSpec, ObjectStore, Replay};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use crate::*;

/// The way to a server, which breaks once, when so much has come from there.
struct Way {
    bus: Bus,
    left: Arc<AtomicI64>,
    _tasks: JoinSet<()>,
}

impl Way {
    async fn to(broker: &Broker) -> Self {
        let server = broker.server.as_ref().expect("a server").address();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let mut tasks = JoinSet::new();
        let way = left.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                let server = TcpStream::connect(&server).await.expect("the server");
                let ((from_client, to_client), (from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let left = way.clone();
                connections.spawn(async move {
                    let mut from_client = from_client;
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                        () = pass(from_server, to_client, &left) => {}
                    }
                });
            }
        });
        let bus = Bus::nats(format!("nats://127.0.0.1:{port}")).await.expect("connected");
        Self { bus, left, _tasks: tasks }
    }

    fn breaks_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: &AtomicI64) {
    let mut buffer = vec![0; 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if left.fetch_sub(read as i64, Ordering::SeqCst) < read as i64 {
            left.store(i64::MAX, Ordering::SeqCst);
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_has_all_of_them() {
    let broker = Broker::nats().await;
    broker.publish(0..500).await;
    let way = Way::to(&broker).await;
    for bytes in [10_000, 30_000, 60_000] {
        way.breaks_after(bytes);
        let mut past = Replay::of(&way.bus, ReadingFilter::new()).until_caught_up().open().await.expect("opened");
        for value in 0..500 {
            assert_eq!(within("the next", past.next()).await.expect("there is more").expect("read").event.value, value);
        }
        assert!(within("the end", past.next()).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_has_all_its_keys_and_a_watch_all_its_changes() {
    let broker = Broker::nats().await;
    let near: Kv<String> = Kv::open(&broker.bus, KvSpec::new("settings").history(3)).await.expect("a bucket");
    for number in 0..600 {
        near.put(format!("k{}", number % 300), &number.to_string()).await.expect("put");
    }
    let way = Way::to(&broker).await;
    let far: Kv<String> = Kv::existing(&way.bus, "settings").await.expect("a bucket");
    for bytes in [10_000, 20_000, 40_000] {
        way.breaks_after(bytes);
        let mut keys = within("the keys", far.keys(">")).await.expect("keys");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 300, "{bytes}");
    }

    // Each key once, with its newest value, and then what is new.
    way.breaks_after(20_000);
    let mut watch = far.watch(">").await.expect("a watch");
    let mut seen = HashMap::new();
    while let subwire::KvChange::Entry(entry) = within("a change", watch.next()).await.expect("one").expect("read") {
        let value: u32 = entry.value.expect("a value").parse().expect("a number");
        assert!(value >= 300, "{value} has been replaced");
        assert_eq!(seen.insert(entry.key, value), None);
    }
    assert_eq!(seen.len(), 300);
    way.breaks_after(0);
    near.put("late", &"1".to_owned()).await.expect("put");
    let subwire::KvChange::Entry(entry) = within("a change", watch.next()).await.expect("one").expect("read") else {
        panic!("it has caught up before");
    };
    assert_eq!(entry.key, "late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_takes_nothing_that_is_in_use() {
    let broker = Broker::nats().await;
    let near = ObjectStore::open(&broker.bus, ObjectSpec::new("models")).await.expect("a store");
    for number in 0..300 {
        near.put_bytes(format!("object-{number}"), vec![1; 10]).await.expect("put");
    }
    let way = Way::to(&broker).await;
    let far = ObjectStore::existing(&way.bus, "models").await.expect("a store");
    way.breaks_after(60_000);
    within("swept", far.sweep(Duration::ZERO)).await.expect("swept");
    for number in 0..300 {
        near.get_bytes(format!("object-{number}")).await.expect("still there");
    }
}

//! What is lost on its way to a reader, with the connection or without: nothing after it shows the gap.

use std::sync::atomic::{AtomicI64, Ordering};

use subwire::{Kv, KvSpec, ObjectSpec, ObjectStore, Replay};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

use crate::*;

/// The way to a server. It breaks once, when so much has come from there, or loses one message.
struct Way {
    bus: Bus,
    fault: Arc<Fault>,
    _tasks: JoinSet<()>,
}

/// What happens on the way, once.
struct Fault {
    /// Bytes until it breaks.
    left: AtomicI64,
    /// What the message has in it that is lost.
    lost: Mutex<Option<String>>,
}

impl Fault {
    /// Whether what the server says goes on.
    fn passes(&self, said: &[u8]) -> bool {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = |mark: &String| String::from_utf8_lossy(said).contains(mark.as_str());
        lost.take_if(|mark| is_lost(mark)).is_none()
    }

    fn breaks(&self, bytes: usize) -> bool {
        let breaks = self.left.fetch_sub(bytes as i64, Ordering::SeqCst) < bytes as i64;
        if breaks {
            self.left.store(i64::MAX, Ordering::SeqCst);
        }
        breaks
    }
}

impl Way {
    async fn to(broker: &Broker) -> Self {
        let server = broker.server.as_ref().expect("a server").address();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let fault = Arc::new(Fault { left: AtomicI64::new(i64::MAX), lost: Mutex::default() });
        let mut tasks = JoinSet::new();
        let way = fault.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                let server = TcpStream::connect(&server).await.expect("the server");
                let ((from_client, to_client), (from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let fault = way.clone();
                connections.spawn(async move {
                    let mut from_client = from_client;
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                        () = pass(from_server, to_client, &fault) => {}
                    }
                });
            }
        });
        let bus = Bus::nats(format!("nats://127.0.0.1:{port}")).await.expect("connected");
        Self { bus, fault, _tasks: tasks }
    }

    fn breaks_after(&self, bytes: i64) {
        self.fault.left.store(bytes, Ordering::SeqCst);
    }

    fn loses(&self, mark: &str) {
        *self.fault.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark.to_owned());
    }
}

async fn pass(from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: &Fault) {
    let mut from = BufReader::new(from);
    let mut said = Vec::new();
    loop {
        said.clear();
        let Ok(1..) = from.read_until(b'\n', &mut said).await else { return };
        if said.starts_with(b"MSG") || said.starts_with(b"HMSG") {
            let line = String::from_utf8_lossy(&said);
            let size: usize = line.split_whitespace().last().and_then(|size| size.parse().ok()).expect("a size");
            let line = said.len();
            said.resize(line + size + 2, 0);
            if from.read_exact(&mut said[line..]).await.is_err() {
                return;
            }
        }
        if !fault.passes(&said) {
            continue;
        }
        if fault.breaks(said.len()) || to.write_all(&said).await.is_err() {
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

/// As the connection between two servers of a cluster can, which a client does not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_them_is_not_lost_with_the_connection_still_there() {
    let broker = Broker::nats().await;
    let near: Kv<String> = Kv::open(&broker.bus, KvSpec::new("settings").history(3)).await.expect("a bucket");
    for number in 0..6 {
        near.put(format!("k{}", number % 3), &number.to_string()).await.expect("put");
    }
    let way = Way::to(&broker).await;
    let far: Kv<String> = Kv::existing(&way.bus, "settings").await.expect("a bucket");
    way.loses("$KV.settings.k2");
    let mut keys = within("the keys", far.keys(">")).await.expect("keys");
    keys.sort_unstable();
    assert_eq!(keys, ["k0", "k1", "k2"]);

    let mut watch = far.watch(">").await.expect("a watch");
    while let subwire::KvChange::Entry(_) = within("a change", watch.next()).await.expect("one").expect("read") {}
    way.loses("$KV.settings.late");
    near.put("late", &"1".to_owned()).await.expect("put");
    let subwire::KvChange::Entry(entry) = within("a change", watch.next()).await.expect("one").expect("read") else {
        panic!("it has caught up before");
    };
    assert_eq!(entry.key, "late");
}

//! Messages that the client of the broker cannot read: it ends its connection at them. The broker stores them all
//! the same, and hands them out again and again.

use subwire::{Code, Event, Kv, KvChange, KvSpec, Replay, bus::Headers};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::*;

/// The lines of a head, and what is shown of them.
type Head = (&'static [u8], &'static [(&'static str, &'static str)]);

/// Heads that end a connection.
const HEADS: [Head; 6] = [
    (b"Name: M\xfcller\r\nA: 1\r\n", &[("Name", "M\u{fffd}ller"), ("A", "1")]),
    (b"two words: x\r\n", &[("Subwire-No-Header", "two words: x")]),
    (b"A: 1\r\nnothing\r\n", &[("A", "1"), ("Subwire-No-Header", "nothing")]),
    (b"A: b\rc\r\n", &[("A", "b c")]),
    (b"gr\xc3\xbc\xc3\x9fe: x\r\n", &[("Subwire-No-Header", "gr\u{fc}\u{df}e: x")]),
    (b"A: 1\nB\r\n", &[("A", "1"), ("Subwire-No-Header", "B")]),
];

/// A client that sends whatever it likes.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn of(broker: &Broker) -> Self {
        let address = broker.server.as_ref().expect("a server").address();
        let mut peer = Self(BufReader::new(TcpStream::connect(address).await.expect("connected")));
        peer.send(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await;
        peer
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
        self.0.write_all(b"PING\r\n").await.expect("sent");
        self.until("PONG").await;
    }

    async fn until(&mut self, begin: &str) {
        let mut line = Vec::new();
        while !line.starts_with(begin.as_bytes()) {
            line.clear();
            within("an answer", self.0.read_until(b'\n', &mut line)).await.expect("read");
            assert!(!line.starts_with(b"-ERR"), "{}", String::from_utf8_lossy(&line));
        }
    }

    async fn publish(&mut self, subject: &[u8], head: &[u8], payload: &[u8]) {
        let block = [b"NATS/1.0", head, b"\r\n"].concat();
        let sizes = format!(" {} {}\r\n", block.len(), block.len() + payload.len());
        self.send(&[b"HPUB ", subject, sizes.as_bytes(), &block, payload, b"\r\n"].concat()).await;
    }

    /// Publishes a reading.
    async fn tell(&mut self, value: u64, head: &[u8]) {
        let message = reading(value).to_message().expect("legal");
        let head = [b"\r\n", head].concat();
        self.publish(message.subject.as_str().as_bytes(), &head, &message.payload).await;
    }
}

/// Another connection: those who read lose theirs.
async fn far(broker: &Broker) -> Broker {
    let url = broker.server.as_ref().expect("a server").url();
    Broker { bus: Bus::nats(url).await.expect("connected"), server: None }
}

/// A broker with readings, each third of them unreadable.
async fn with_unreadable() -> (Broker, Peer) {
    let broker = Broker::nats().await;
    let mut peer = Peer::of(&broker).await;
    for (value, (head, _)) in (0..).zip(HEADS) {
        broker.publish([value * 3, value * 3 + 1]).await;
        peer.tell(value * 3 + 2, head).await;
    }
    (broker, peer)
}

fn is_unreadable(value: u64) -> bool {
    value % 3 == 2
}

const VALUES: u64 = 3 * HEADS.len() as u64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sets_them_aside_and_does_the_others() {
    let (broker, _peer) = with_unreadable().await;
    let (pen, book) = Book::new();
    let worker = started(scribe(&far(&broker).await, &impatient(), pen)).await;
    broker.done().await;
    // What was done just before the connection was lost may be done once more.
    assert!((0..VALUES).all(|value| is_unreadable(value) == book.attempts(value).is_empty()));
    let mut letters = broker.letters().await;
    letters.sort_unstable_by_key(|letter| letter.sequence);
    assert_eq!(letters.len(), HEADS.len());
    for (number, (letter, (_, shown))) in letters.iter().zip(HEADS).enumerate() {
        let message = reading(3 * number as u64 + 2).to_message().expect("legal");
        assert_eq!((letter.code, letter.sequence), (Code::DataLoss, 3 * number as u64 + 3));
        assert_eq!((&letter.subject, &letter.payload), (&message.subject, &message.payload));
        let (mut got, mut wanted) = (Headers::new(), shown.to_vec());
        letter.headers.iter().for_each(|(name, value)| got.append(name.to_owned(), value));
        wanted.sort_unstable();
        let mut got: Vec<_> = got.iter().collect();
        got.sort_unstable();
        assert_eq!(got, wanted);
    }

    // Published once more, with the headers as they are shown, each can be read.
    let letters = DeadLetters::new(&broker.bus);
    within("a replay", letters.replay_all(Letters::all()).into_future()).await.expect("replayed");
    eventually("all are read", async || (0..VALUES).all(|value| !book.attempts(value).is_empty())).await;
    stopped(worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_been_handed_first_is_found_too() {
    let broker = Broker::nats().await;
    let mut peer = Peer::of(&broker).await;
    peer.tell(0, HEADS[0].0).await;
    Streams::new(&broker.bus).apply(impatient()).await.expect("applied");
    peer.send(b"SUB _INBOX.peer 1\r\nPUB $JS.API.CONSUMER.MSG.NEXT.TESTING.testing _INBOX.peer 0\r\n\r\n").await;
    broker.publish(1..5).await;
    let (pen, book) = Book::new();
    let worker = started(scribe(&far(&broker).await, &impatient(), pen)).await;
    broker.done().await;
    stopped(worker).await;
    assert_eq!(broker.letters().await.len(), 1);
    assert!((1..5).all(|value| !book.attempts(value).is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_that_is_no_text_is_set_aside_and_a_status_of_the_publisher_is_no_word_of_the_broker() {
    let broker = Broker::nats().await;
    let mut peer = Peer::of(&broker).await;
    let message = reading(7).to_message().expect("legal");
    peer.publish(message.subject.as_str().as_bytes(), b" 409 Consumer Deleted\r\n", &message.payload).await;
    peer.publish(b"testing.reading.k\xfcche.TEMPERATURE", b"\r\n", &message.payload).await;
    peer.publish("testing.reading.k\u{a0}che.TEMPERATURE".as_bytes(), b"\r\n", &message.payload).await;
    let (pen, mut book) = Book::new();
    let worker = started(scribe(&far(&broker).await, &impatient(), pen)).await;
    assert_eq!(book.next().await.value, 7);
    broker.done().await;
    stopped(worker).await;
    let letters = broker.letters().await;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!(letter.subject.as_str(), "testing.reading.k\u{fffd}che.TEMPERATURE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_has_all_of_them_in_their_order() {
    let (broker, mut peer) = with_unreadable().await;
    let connections = || broker.bus.link().borrow().epoch;
    let before = connections();
    let mut past = Replay::of(&broker.bus, ReadingFilter::new()).open().await.expect("opened");
    for value in 0..VALUES {
        assert_eq!(within("the next", past.next()).await.expect("there is more").expect("read").event.value, value);
    }
    // And what comes while it waits.
    peer.tell(VALUES, HEADS[0].0).await;
    assert_eq!(within("the next", past.next()).await.expect("there is more").expect("read").event.value, VALUES);
    // The first of those that lie near one another costs a connection, and so does the one that came alone.
    assert!(connections() - before <= 2, "{} connections", connections() - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_lists_gets_and_watches_them() {
    let broker = Broker::nats().await;
    let mut peer = Peer::of(&broker).await;
    let bucket: Kv<String> = Kv::open(&broker.bus, KvSpec::new("settings")).await.expect("a bucket");
    for number in 0..4 {
        bucket.put(format!("k{number}"), &number.to_string()).await.expect("put");
        let head = [b"\r\n", HEADS[0].0].concat();
        peer.publish(format!("$KV.settings.p{number}").as_bytes(), &head, b"poison").await;
    }
    let mut keys = within("the keys", bucket.keys(">")).await.expect("keys");
    keys.sort_unstable();
    assert_eq!(keys, ["k0", "k1", "k2", "k3", "p0", "p1", "p2", "p3"]);
    let value = within("a value", bucket.get("p2")).await.expect("read");
    assert_eq!(value.map(|entry| entry.value).as_deref(), Some("poison"));

    let mut watch = bucket.watch(">").await.expect("a watch");
    let mut seen = Vec::new();
    while let KvChange::Entry(entry) = within("a change", watch.next()).await.expect("one").expect("read") {
        seen.push(entry.key);
    }
    assert_eq!(seen, ["k0", "p0", "k1", "p1", "k2", "p2", "k3", "p3"]);
}

/// One by one takes longer than to write: what is new must not put off the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_have_an_end_while_others_write() {
    let broker = Broker::nats().await;
    let mut peer = Peer::of(&broker).await;
    let bucket: Kv<String> = Kv::open(&broker.bus, KvSpec::new("settings")).await.expect("a bucket");
    peer.publish(b"$KV.settings.poison", &[b"\r\n", HEADS[0].0].concat(), b"poison").await;
    let (other, written) = (far(&broker).await, Arc::new(tokio::sync::Semaphore::new(0)));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let bucket: Kv<String> = Kv::existing(&other.bus, "settings").await.expect("a bucket");
        let written = written.clone();
        writers.spawn(async move {
            for number in 0.. {
                bucket.put(format!("k{}", number % 25 * 8 + writer), &number.to_string()).await.expect("put");
                written.add_permits(1);
            }
        });
    }
    written.acquire_many(200).await.expect("written").forget();
    let keys = within("the keys", bucket.keys(">")).await.expect("keys");
    assert_eq!(keys.len(), 201);
    writers.shutdown().await;
}

//! What the cases share.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use subwire::{
    Bus, Code, Kv, KvChange, KvEntry, KvSpec, KvValue, KvWatch, ObjectSpec, ObjectStore, Status, testing::NatsServer,
};
use tokio::time::{sleep, timeout};

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A nats-server of one test, and a connection to it.
pub(crate) struct Nats {
    pub(crate) bus: Bus,
    pub(crate) server: NatsServer,
}

pub(crate) async fn nats() -> Nats {
    let server = NatsServer::builder().jetstream().start().await.expect("a nats-server");
    let bus = Bus::nats(server.url()).await.expect("a connection");
    Nats { bus, server }
}

impl Nats {
    /// What another program uses.
    pub(crate) async fn other(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.server.url()).await.expect("a connection"))
    }
}

/// A message of a schema.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Squad {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(uint32, tag = "2")]
    pub(crate) size: u32,
}

pub(crate) fn squad(name: &str, size: u32) -> Squad {
    Squad { name: name.to_owned(), size }
}

pub(crate) fn text(value: &str) -> String {
    value.to_owned()
}

/// A bucket `b` of text that keeps 5 revisions of a key.
pub(crate) async fn texts(bus: &Bus) -> Kv<String> {
    Kv::open(bus, KvSpec::new("b").history(5)).await.expect("a bucket")
}

/// An object store `s`.
pub(crate) async fn objects(bus: &Bus) -> ObjectStore {
    ObjectStore::open(bus, ObjectSpec::new("s")).await.expect("an object store")
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Looks again and again until it is so: for what happens a moment later.
pub(crate) async fn eventually<F: Future<Output = bool>>(promise: &str, mut is_so: impl FnMut() -> F) {
    let looked = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(promise, looked).await;
}

/// What comes next is a change.
pub(crate) async fn change<T: KvValue>(watch: &mut KvWatch<T>) -> KvChange<T> {
    soon("a change", watch.next()).await.expect("no end").expect("no error")
}

/// What comes next is a revision.
pub(crate) async fn entry<T: KvValue + std::fmt::Debug>(watch: &mut KvWatch<T>) -> KvEntry<Option<T>> {
    match change(watch).await {
        KvChange::Entry(entry) => entry,
        KvChange::CaughtUp => panic!("a revision was to come, and the watch has caught up"),
    }
}

pub(crate) async fn caught_up<T: KvValue + std::fmt::Debug + PartialEq>(watch: &mut KvWatch<T>) {
    assert_eq!(change(watch).await, KvChange::CaughtUp);
}

/// What comes next is an error.
pub(crate) async fn failure<T: KvValue + std::fmt::Debug>(watch: &mut KvWatch<T>) -> Status {
    soon("an error", watch.next()).await.expect("no end").expect_err("an error")
}

/// That it has failed, and how.
#[track_caller]
pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = result.expect_err("it had to fail");
    let found = status.error_info().map(|info| info.reason).unwrap_or_default();
    assert_eq!((status.code(), found.as_str()), (code, reason), "{status}");
    status
}

/// Bytes that are the same each time, and nowhere the same.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

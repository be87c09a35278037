//! [`Dedup`]: the ids of the messages that came lately.

use std::{collections::HashMap, mem};

use foldhash::quality::RandomState;
use std::hash::BuildHasher;

use super::clock::Nanos;

/// The ids of the messages that came lately, so that each is stored once.
///
/// An id is kept as 64 bits of its hash, which a sender cannot foresee; two ids meet by chance once in
/// 10^19 pairs. The ids lie in two tables of one window each, so that old ones go all at once.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    hash: RandomState,
    young: Ids,
    old: Ids,
    /// When the young ones began to come.
    since: Nanos,
    /// The id of the newest message, if it had one.
    pub(super) last: String,
}

type Ids = HashMap<u64, (u64, Nanos), Plain>;

impl Dedup {
    /// The place of the message that had this id, if that was less than `window` ago.
    pub(super) fn find(&self, id: &str, now: Nanos, window: Nanos) -> Option<u64> {
        let hash = self.hash.hash_one(id);
        let found = self.young.get(&hash).or_else(|| self.old.get(&hash));
        found.filter(|(_, time)| now.saturating_sub(*time) < window).map(|(sequence, _)| *sequence)
    }

    pub(super) fn insert(&mut self, id: &str, sequence: u64, now: Nanos, window: Nanos) {
        if now.saturating_sub(self.since) >= window {
            self.old = mem::take(&mut self.young);
            self.since = now;
        }
        self.young.insert(self.hash.hash_one(id), (sequence, now));
    }

    /// Forgets what is over, where nothing comes any more that would.
    pub(super) fn expire(&mut self, now: Nanos, window: Nanos) {
        if now.saturating_sub(self.since) >= window.saturating_mul(2) {
            self.young = Ids::default();
            self.old = Ids::default();
            self.since = now;
        }
    }
}

/// Hashes what is a hash already.
#[derive(Debug, Default, Clone)]
struct Plain(u64);

impl BuildHasher for Plain {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl std::hash::Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

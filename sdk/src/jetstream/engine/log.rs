//! [`Log`]: the messages of a stream, in their places.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{clock::Nanos, packed};
use crate::bus::Headers;

/// Messages of one block.
const BLOCK_MESSAGES: usize = 512;

/// Bytes after which a block takes no more.
const BLOCK_BYTES: usize = 64 * 1024;

/// Payloads from this size on are kept as they came; smaller ones are copied together.
const LARGE_BYTES: usize = 1024;

/// The subject of an entry that is removed.
const GONE: u32 = u32::MAX;

/// The messages of a stream, in their places.
///
/// They lie in blocks: a small message costs its bytes and 32 more, no allocation of its own, and a
/// block goes, or shrinks, with its messages, so that one old message does not hold on to many.
#[derive(Debug, Default)]
pub(super) struct Log {
    sealed: BTreeMap<u64, Block>,
    /// The one that grows.
    open: Block,
    /// The place of the newest message, also when it is gone.
    last: u64,
    messages: u64,
    /// Whether it ever had a message, or was purged.
    has_begun: bool,
}

#[derive(Debug, Default)]
struct Block {
    /// The place that offsets count from.
    first: u64,
    entries: Vec<Entry>,
    /// Entries before this one are gone.
    head: usize,
    live: usize,
    data: Vec<u8>,
    large: Vec<Bytes>,
}

/// A message in its block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) time: Nanos,
    /// The number of its subject in [`Subjects`](super::subjects::Subjects).
    pub(super) subject: u32,
    /// What its headers take on the wire; 0: it has none.
    pub(super) headers: u32,
    pub(super) payload: u32,
    offset: u32,
    start: u32,
    /// 1 + its place in `large`; 0: its payload is in `data`.
    large: u32,
}

impl Entry {
    fn is_live(&self) -> bool {
        self.subject != GONE
    }

    fn is_large(&self) -> bool {
        self.large != 0
    }
}

/// A message in the log, to look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) sequence: u64,
    pub(super) entry: &'a Entry,
    block: &'a Block,
}

impl View<'_> {
    pub(super) fn headers(&self) -> Headers {
        if self.entry.headers == 0 {
            return Headers::new();
        }
        packed::read(self.bytes()).0
    }

    pub(super) fn payload(&self) -> Bytes {
        if self.entry.is_large() {
            return self.block.large.get(self.entry.large as usize - 1).cloned().unwrap_or_default();
        }
        Bytes::copy_from_slice(self.payload_of(self.bytes(), self.headers_len()))
    }

    /// Both, with one walk over the headers.
    pub(super) fn parts(&self) -> (Headers, Bytes) {
        if self.entry.headers == 0 || self.entry.is_large() {
            return (self.headers(), self.payload());
        }
        let (headers, length) = packed::read(self.bytes());
        (headers, Bytes::copy_from_slice(self.payload_of(self.bytes(), length)))
    }

    fn headers_len(&self) -> usize {
        if self.entry.headers == 0 { 0 } else { packed::len(self.bytes()) }
    }

    fn bytes(&self) -> &[u8] {
        self.block.data.get(self.entry.start as usize..).unwrap_or_default()
    }

    fn payload_of<'b>(&self, bytes: &'b [u8], from: usize) -> &'b [u8] {
        bytes.get(from..from + self.entry.payload as usize).unwrap_or_default()
    }
}

impl Log {
    /// How many there are.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// The place of the newest message, also when it is gone; 0 if there was none.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The place of the oldest message, or the next one; 0 if there never was one.
    pub(super) fn first_sequence(&self) -> u64 {
        match self.first() {
            Some(view) => view.sequence,
            None if self.has_begun => self.last + 1,
            None => 0,
        }
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<View<'_>> {
        let block = self.sealed.first_key_value().map_or(&self.open, |(_, block)| block);
        block.view_at(block.head)
    }

    /// Adds a message in the next place, which it returns.
    pub(super) fn append(&mut self, subject: u32, time: Nanos, headers: &Headers, payload: &Bytes) -> u64 {
        let sequence = self.last + 1;
        let open = &self.open;
        let full = open.entries.len() >= BLOCK_MESSAGES || open.data.len() >= BLOCK_BYTES;
        if full || sequence - open.first > u64::from(u32::MAX) {
            self.seal();
        }
        if self.open.entries.is_empty() {
            self.open.first = sequence;
        }
        self.open.append(sequence, subject, time, headers, payload);
        self.last = sequence;
        self.messages += 1;
        self.has_begun = true;
        sequence
    }

    /// Leaves the next place empty.
    pub(super) fn skip(&mut self) -> u64 {
        self.last += 1;
        self.has_begun = true;
        self.last
    }

    fn seal(&mut self) {
        if self.open.live == 0 {
            return self.open.clear();
        }
        let mut block = std::mem::take(&mut self.open);
        // What the next one will take, as far as anybody can tell.
        self.open.entries.reserve_exact(block.entries.len());
        self.open.data.reserve_exact(block.data.len() + block.data.len() / 8);
        block.shrink();
        self.sealed.insert(block.first, block);
    }

    pub(super) fn get(&self, sequence: u64) -> Option<View<'_>> {
        let block = self.block(sequence)?;
        block.find(sequence).and_then(|index| block.view_at(index))
    }

    /// The messages in this place and after it.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = View<'_>> {
        let start = self.sealed.range(..=sequence).next_back().map_or(sequence, |(first, _)| *first);
        let blocks = self.sealed.range(start..).map(|(_, block)| block).chain([&self.open]);
        blocks.flat_map(move |block| {
            let from = block.position(sequence).max(block.head);
            (from..block.entries.len()).filter_map(|index| block.view_at(index))
        })
    }

    /// The messages in this place and before it, newest first.
    pub(super) fn back_from(&self, sequence: u64) -> impl Iterator<Item = View<'_>> {
        let sealed = self.sealed.range(..=sequence).rev().map(|(_, block)| block);
        [&self.open].into_iter().chain(sealed).flat_map(move |block| {
            let to = block.position(sequence.saturating_add(1));
            (block.head.min(to)..to).rev().filter_map(|index| block.view_at(index))
        })
    }

    /// Takes a message out.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        if !self.open.entries.is_empty() && sequence >= self.open.first {
            let entry = self.open.remove(sequence)?;
            self.messages -= 1;
            return Some(entry);
        }
        let oldest = *self.sealed.first_key_value()?.0;
        let (first, block) = self.sealed.range_mut(..=sequence).next_back()?;
        let (first, entry) = (*first, block.remove(sequence)?);
        self.messages -= 1;
        if block.live == 0 {
            self.sealed.remove(&first);
        } else if first != oldest && block.live * 2 < block.entries.len() {
            // The oldest one is about to go as a whole.
            block.compact();
        }
        Some(entry)
    }

    /// Takes everything out, and goes on in the same place.
    pub(super) fn clear(&mut self) {
        self.sealed.clear();
        self.open.clear();
        self.messages = 0;
    }

    /// Leaves all places up to this one empty that were not used yet.
    pub(super) fn skip_to(&mut self, last: u64) {
        self.last = self.last.max(last);
        self.has_begun = true;
    }

    fn block(&self, sequence: u64) -> Option<&Block> {
        if !self.open.entries.is_empty() && sequence >= self.open.first {
            return Some(&self.open);
        }
        self.sealed.range(..=sequence).next_back().map(|(_, block)| block)
    }
}

impl Block {
    fn append(&mut self, sequence: u64, subject: u32, time: Nanos, headers: &Headers, payload: &Bytes) {
        let start = self.data.len();
        let wire = headers.wire_len();
        if wire > 0 {
            packed::write(headers, &mut self.data);
        }
        let large = payload.len() >= LARGE_BYTES;
        match large {
            true => self.large.push(payload.clone()),
            false => self.data.extend_from_slice(payload),
        }
        self.entries.push(Entry {
            time,
            subject,
            headers: small(wire),
            payload: small(payload.len()),
            offset: small(usize::try_from(sequence - self.first).unwrap_or(usize::MAX)),
            start: small(start),
            large: if large { small(self.large.len()) } else { 0 },
        });
        self.live += 1;
    }

    /// Where the message of this place is, or the next one would be.
    fn position(&self, sequence: u64) -> usize {
        let Some(offset) = sequence.checked_sub(self.first) else { return 0 };
        // Nearly always there is no hole.
        let guess = usize::try_from(offset).unwrap_or(usize::MAX);
        if self.entries.get(guess).is_some_and(|entry| u64::from(entry.offset) == offset) {
            return guess;
        }
        self.entries.partition_point(|entry| u64::from(entry.offset) < offset)
    }

    fn find(&self, sequence: u64) -> Option<usize> {
        let index = self.position(sequence);
        let entry = self.entries.get(index)?;
        (self.first + u64::from(entry.offset) == sequence && entry.is_live()).then_some(index)
    }

    fn view_at(&self, index: usize) -> Option<View<'_>> {
        let entry = self.entries.get(index).filter(|entry| entry.is_live())?;
        Some(View { sequence: self.first + u64::from(entry.offset), entry, block: self })
    }

    fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let index = self.find(sequence)?;
        let entry = self.entries.get_mut(index)?;
        let removed = *entry;
        entry.subject = GONE;
        self.live -= 1;
        if removed.is_large()
            && let Some(payload) = self.large.get_mut(removed.large as usize - 1)
        {
            *payload = Bytes::new();
        }
        while self.entries.get(self.head).is_some_and(|entry| !entry.is_live()) {
            self.head += 1;
        }
        Some(removed)
    }

    /// Gives up the room of what is gone.
    fn compact(&mut self) {
        let mut block = Self { first: self.first, live: self.live, ..Self::default() };
        block.entries.reserve_exact(self.live);
        for index in self.head..self.entries.len() {
            let Some(view) = self.view_at(index) else { continue };
            let start = block.data.len();
            let mut entry = *view.entry;
            let headers = view.headers_len();
            let length = if entry.is_large() { headers } else { headers + entry.payload as usize };
            block.data.extend_from_slice(view.bytes().get(..length).unwrap_or_default());
            if entry.is_large() {
                block.large.push(view.payload());
                entry.large = small(block.large.len());
            }
            entry.start = small(start);
            block.entries.push(entry);
        }
        block.shrink();
        *self = block;
    }

    fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.data.shrink_to_fit();
        self.large.shrink_to_fit();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.data.clear();
        self.large.clear();
        self.head = 0;
        self.live = 0;
    }
}

/// Sizes fit: a bus takes no message of 4 GiB, and a block ends long before.
fn small(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

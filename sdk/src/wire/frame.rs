//! [`Frame`]: what streams, large messages and flow control travel in.
//!
//! The schema is `sdk/proto/subwire/v1/frame.proto`. The messages of a frame are read and written by
//! hand, because they are the hot path and because a batch becomes a frame in place; the rest is prost.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    Message,
    encoding::{self, DecodeContext, WireType},
};

use super::{percent, status};
use crate::{Code, Metadata, Result, Status, Value, details, message::MESSAGES_KEY, status::reason};

/// What a frame says beside its messages.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Head {
    /// Counts the frames of one direction that have content, from 1; 0 in a frame that only controls.
    #[prost(fixed64, tag = "1")]
    pub(crate) seq: u64,
    /// From the service: who has the call.
    #[prost(message, optional, boxed, tag = "3")]
    pub(crate) accept: Option<Box<Accept>>,
    /// From the service: the response has begun, and this is its metadata.
    #[prost(message, optional, tag = "4")]
    pub(crate) metadata: Option<Entries>,
    /// How far the receiver of this frame may send.
    #[prost(message, optional, tag = "5")]
    pub(crate) credit: Option<Credit>,
    /// A piece of a message that is too large for one frame.
    #[prost(message, optional, tag = "6")]
    pub(crate) part: Option<Part>,
    /// Nothing comes after this frame.
    #[prost(message, optional, boxed, tag = "7")]
    pub(crate) end: Option<Box<End>>,
    /// From the caller: nobody waits for the answer any more.
    #[prost(message, optional, tag = "8")]
    pub(crate) cancel: Option<Cancel>,
}

/// Who has the call, and where to speak to it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Accept {
    /// Where the caller sends frames of this call.
    #[prost(string, tag = "1")]
    pub(crate) subject: String,
    /// Where the caller sends its beats.
    #[prost(string, tag = "2")]
    pub(crate) beat: String,
    /// What the call is called in beats.
    #[prost(string, tag = "3")]
    pub(crate) call: String,
}

/// Names and values, as in headers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) entries: Vec<Entry>,
}

/// One name and its value: percent-encoded text, or base64 for a name that ends in `-bin`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// Totals since the stream began, so that one which is lost or comes twice does no harm.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Credit {
    #[prost(uint64, tag = "1")]
    pub(crate) messages: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
}

/// A piece of a large message. Its pieces come one after the other, with nothing between.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Part {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
    /// The size of the whole message; in every piece.
    #[prost(uint64, tag = "2")]
    pub(crate) total: u64,
}

/// How a direction ended.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct End {
    /// Absent: well.
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<details::Status>,
    #[prost(message, optional, tag = "2")]
    pub(crate) trailers: Option<Entries>,
    /// How many messages there were.
    #[prost(uint64, tag = "3")]
    pub(crate) messages: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Cancel {}

/// What a client and a service instance tell each other of the calls they share, every two seconds.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Beat {
    #[prost(message, repeated, tag = "1")]
    pub(crate) calls: Vec<CallState>,
}

/// One call, as the sender of a beat sees it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CallState {
    #[prost(string, tag = "1")]
    pub(crate) call: String,
    /// The `seq` of the last frame it has sent.
    #[prost(uint64, tag = "2")]
    pub(crate) sent: u64,
    /// How far the other side may send.
    #[prost(message, optional, tag = "3")]
    pub(crate) credit: Option<Credit>,
    /// It has no such call, or no longer.
    #[prost(bool, tag = "4")]
    pub(crate) over: bool,
}

/// What an unfinished frame begins with: the key of `seq`, and room for it.
pub(crate) const SEQ_BYTES: usize = 9;
const SEQ_KEY: u8 = 0x09;

/// A frame as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    /// The field `messages`, entry after entry.
    pub(crate) entries: Bytes,
    /// How many entries there are.
    pub(crate) messages: usize,
    /// What it came in, which its entries keep in memory: with what else it says, and what nobody knows.
    wire_bytes: usize,
}

impl Frame {
    /// Reads a frame. Every length in it is checked here, once.
    pub(crate) fn decode(payload: Bytes) -> Result<Self> {
        Self::read(payload).ok_or_else(|| {
            Status::made_here(
                Code::Internal,
                reason::INVALID_FRAME,
                "the other side sent a frame that cannot be decoded",
            )
        })
    }

    fn read(payload: Bytes) -> Option<Self> {
        let mut frame = Self { wire_bytes: payload.len(), ..Self::default() };
        // Where the entries of one run lie; frames of ours have them in one run.
        let mut run = 0..0;
        let mut scattered: Option<Vec<u8>> = None;
        let mut rest = payload.clone();
        while rest.has_remaining() {
            let start = payload.len() - rest.len();
            if rest.first() == Some(&MESSAGES_KEY) {
                rest.advance(1);
                let len = usize::try_from(encoding::decode_varint(&mut rest).ok()?).ok()?;
                if len > rest.len() {
                    return None;
                }
                rest.advance(len);
                frame.messages += 1;
                if run.is_empty() {
                    run.start = start;
                } else if run.end != start {
                    scattered.get_or_insert_default().put_slice(payload.get(run.clone())?);
                    run.start = start;
                }
                run.end = payload.len() - rest.len();
                continue;
            }
            let (tag, wire_type) = encoding::decode_key(&mut rest).ok()?;
            if (tag, wire_type) == (2, WireType::LengthDelimited) {
                return None; // the same field with a key of another length: legal, and nobody writes it
            }
            frame.head.merge_field(tag, wire_type, &mut rest, DecodeContext::default()).ok()?;
        }
        if frame.head.part.as_ref().is_some_and(|part| part.data.is_empty()) {
            return None; // it would cost its sender nothing
        }
        frame.entries = match scattered {
            Some(mut entries) => {
                entries.put_slice(payload.get(run)?);
                entries.into()
            }
            None => payload.slice(run),
        };
        Some(frame)
    }
}

impl Frame {
    /// The bytes of its messages, or of its piece of one.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() + self.head.part.as_ref().map_or(0, |part| part.data.len())
    }

    /// Whether it may keep a lot in memory beside what it has: the payload it came in, or what a small one was
    /// read with, some 64 KiB.
    pub(crate) fn has_slack(&self, waits: bool) -> bool {
        const SMALL: usize = 4_096;
        let bytes = self.bytes();
        self.wire_bytes > 2 * bytes + SMALL || (waits && bytes < SMALL)
    }

    /// Keeps what it has and nothing else.
    pub(crate) fn copy_out(&mut self) {
        self.entries = Bytes::copy_from_slice(&self.entries);
        if let Some(part) = &mut self.head.part {
            part.data = Bytes::copy_from_slice(&part.data);
        }
    }
}

impl Beat {
    /// All these calls, in beats that a broker of this `max_payload` takes.
    pub(crate) fn of(calls: Vec<CallState>, max_payload: usize) -> impl Iterator<Item = Self> {
        /// What one takes at most: an id of 22 characters, and three numbers.
        const CALL_BYTES: usize = 64;
        let calls_each = (max_payload / 2 / CALL_BYTES).clamp(1, 4_096);
        let mut calls = calls.into_iter().peekable();
        std::iter::from_fn(move || {
            calls.peek().is_some().then(|| Self { calls: calls.by_ref().take(calls_each).collect() })
        })
    }
}

/// Begins a frame: what follows are entries, then [`finish`].
pub(crate) fn begin(capacity: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(SEQ_BYTES + capacity);
    buffer.resize(SEQ_BYTES, 0);
    buffer
}

/// Fills in `seq` and adds what else the frame says. The order of fields is free in protobuf, so the
/// head goes behind the messages and nothing moves.
pub(crate) fn finish(mut buffer: Vec<u8>, head: &Head) -> Bytes {
    if let Some(room) = buffer.get_mut(..SEQ_BYTES) {
        room[0] = SEQ_KEY;
        room[1..].copy_from_slice(&head.seq.to_le_bytes());
    }
    let rest = Head { seq: 0, ..head.clone() };
    buffer.reserve(rest.encoded_len());
    rest.encode_raw(&mut buffer);
    buffer.into()
}

/// A frame without messages.
pub(crate) fn control(head: &Head) -> Bytes {
    finish(begin(head.encoded_len()), head)
}

impl Entries {
    pub(crate) fn from_metadata(metadata: &Metadata) -> Self {
        let entry = |(name, value): (&str, &Value)| Entry {
            name: name.to_owned(),
            value: match value {
                Value::Text(text) => percent::encode(text).into_owned(),
                Value::Bytes(bytes) => status::encode_bin(bytes),
            },
        };
        Self { entries: metadata.iter().map(entry).collect() }
    }

    pub(crate) fn to_metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        let whole =
            self.entries.iter().try_for_each(|Entry { name, value }| status::append(&mut metadata, name, value));
        if let Err(status) = whole {
            tracing::debug!(%status, "metadata of a stream was left out");
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{BatchWriter, next_entry};

    fn batch(texts: &[&str]) -> crate::Batch {
        let mut batch = BatchWriter::with_capacity(10);
        for text in texts {
            let text = (*text).to_owned();
            batch.push(text.encoded_len(), |buffer| text.encode_raw(buffer));
        }
        batch.finish(false)
    }

    #[test]
    fn a_frame_comes_back() -> Result<()> {
        let batch = batch(&["a", "", "bc"]);
        let head = Head { seq: 7, credit: Some(Credit { messages: 1, bytes: 2 }), ..Head::default() };
        let mut frame = Frame::decode(batch.into_frame(&head))?;
        assert_eq!(frame.head, head);
        assert_eq!(frame.messages, 3);
        let mut texts = Vec::new();
        while let Some(entry) = next_entry(&mut frame.entries)? {
            texts.push(String::decode(entry).expect("text"));
        }
        assert_eq!(texts, ["a", "", "bc"]);
        Ok(())
    }

    #[test]
    fn messages_may_lie_apart() -> Result<()> {
        let one = batch(&["a"]).into_frame(&Head { seq: 1, cancel: Some(Cancel {}), ..Head::default() });
        let two = [one.clone(), one].concat();
        let mut frame = Frame::decode(two.into())?;
        assert_eq!(frame.messages, 2);
        assert!(next_entry(&mut frame.entries)?.is_some() && next_entry(&mut frame.entries)?.is_some());
        assert!(next_entry(&mut frame.entries)?.is_none());
        Ok(())
    }

    #[test]
    fn beats_are_what_a_broker_takes_and_leave_no_call_out() {
        let credit = Some(Credit { messages: u64::MAX, bytes: u64::MAX });
        let call = || CallState { call: "x".repeat(22), sent: u64::MAX, credit, over: true };
        for max_payload in [0, 100, 1_024, 16_384, 1 << 20] {
            for calls in [0, 1, 100, 10_000] {
                let beats: Vec<_> = Beat::of(vec![call(); calls], max_payload).collect();
                assert_eq!(beats.iter().map(|beat| beat.calls.len()).sum::<usize>(), calls);
                assert!(beats.iter().all(|beat| beat.encoded_len() <= max_payload.max(100)), "{max_payload}");
            }
        }
        assert_eq!(Beat::of(Vec::new(), 100).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes: Vec<u8>) {
            if let Ok(mut frame) = Frame::decode(bytes.into()) {
                let mut messages = 0;
                while next_entry(&mut frame.entries).expect("legal").is_some() {
                    messages += 1;
                }
                prop_assert_eq!(messages, frame.messages);
            }
        }
    }
}

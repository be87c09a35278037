//! What travels through a channel: [`RpcRequest`] in, [`RpcResponse`] out, each with a [`Body`].

use std::{
    collections::VecDeque,
    fmt,
    ops::Deref,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use prost::{DecodeError, encoding};
use tokio::time::Instant;

use crate::{Code, Metadata, Method, Peer, Result, Status, status::reason, wire::frame};

/// A call on its way to a service. Layers see it before the handler does.
#[derive(Debug)]
pub struct RpcRequest {
    pub(crate) method: &'static Method,
    pub(crate) metadata: Metadata,
    pub(crate) deadline: Option<Instant>,
    pub(crate) peer: Peer,
    pub(crate) body: Body,
    pub(crate) options: SharedOptions,
}

/// What a channel asks of its bus; without meaning in process.
#[derive(Debug, Clone)]
pub(crate) struct TransportOptions {
    /// The subject prefix of an environment.
    pub(crate) namespace: Option<String>,
    /// Wait for a connection rather than fail at once.
    pub(crate) wait_for_ready: bool,
    /// The largest message to send or to accept.
    pub(crate) max_message_bytes: usize,
}

impl TransportOptions {
    const DEFAULT: Self =
        Self { namespace: None, wait_for_ready: false, max_message_bytes: crate::limits::MESSAGE_BYTES };
}

/// What every call through a channel shares. What nobody has set costs a call nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedOptions(Option<Arc<TransportOptions>>);

impl SharedOptions {
    /// Whether somebody has set them.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

impl From<TransportOptions> for SharedOptions {
    fn from(options: TransportOptions) -> Self {
        Self(Some(Arc::new(options)))
    }
}

impl Deref for SharedOptions {
    type Target = TransportOptions;

    fn deref(&self) -> &TransportOptions {
        static DEFAULT: TransportOptions = TransportOptions::DEFAULT;
        self.0.as_deref().unwrap_or(&DEFAULT)
    }
}

impl RpcRequest {
    /// The method being called.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// What the caller sends beside the message.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The metadata, to change it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Who is calling.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The message, or the stream of them.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

/// An answer on its way to the caller. Layers see it after the handler returned.
#[derive(Debug)]
pub struct RpcResponse {
    pub(crate) metadata: Metadata,
    /// Of an answer that is one message; a stream has its own at its end.
    pub(crate) trailers: Metadata,
    pub(crate) body: Body,
}

impl RpcResponse {
    /// What the service sends beside the message.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The metadata, to change it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// The message, or the stream of them.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The response with its body replaced by what `map` makes of it: for layers that watch streams.
    pub fn map_body(mut self, map: impl FnOnce(Body) -> Body) -> Self {
        self.body = map(self.body);
        self
    }
}

/// One encoded message, or a stream of them.
pub enum Body {
    /// One message.
    Message(Bytes),
    /// Any number of messages.
    Stream(Box<dyn Batches>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// A stream of encoded messages, read many at a time: whatever is ready comes in one batch.
///
/// Reading message by message would cost an allocation and two virtual calls each; a batch costs
/// that once for some 8 kB.
pub trait Batches: Send {
    /// The next batch: messages in order, at most about `room`.
    ///
    /// `None` is the clean end and comes only when the other side said so.
    fn poll_batch(&mut self, cx: &mut TaskContext<'_>, room: Room) -> Poll<Option<Result<Batch>>>;

    /// Metadata that came with the end; empty before.
    fn trailers(&mut self) -> Metadata;
}

/// How much a batch may hold. One message may go over it, and so may two that do not by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// In bytes.
    pub bytes: usize,
    /// In messages.
    pub messages: usize,
}

impl Room {
    /// A whole frame.
    pub const FRAME: Self = Self { bytes: crate::limits::FRAME_BYTES, messages: 4096 };
}

/// Some messages of a stream, encoded one after the other.
#[derive(Debug)]
pub struct Batch {
    content: Content,
    messages: usize,
    /// Whether the stream is known to end after these.
    pub(crate) last: bool,
}

/// The field `messages` of a `subwire.v1.Frame`, entry after entry.
#[derive(Debug)]
enum Content {
    /// Made here: the beginning of a frame, so that it becomes one without a copy.
    Made(Vec<u8>),
    /// Come from elsewhere.
    Come(Bytes),
}

/// The key of `Frame.messages`: field 2, length-delimited.
pub(crate) const MESSAGES_KEY: u8 = 0x12;

impl Batch {
    /// The messages of a frame.
    pub(crate) fn from_entries(entries: Bytes, messages: usize) -> Self {
        Self { content: Content::Come(entries), messages, last: false }
    }

    /// How many messages it holds.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Made(buffer) => buffer.len() - frame::SEQ_BYTES,
            Content::Come(entries) => entries.len(),
        }
    }

    /// Cuts off what begins with the first message whose size is an error.
    pub(crate) fn truncate_before(&mut self, check: impl Fn(usize) -> Result<()>) -> Result<()> {
        let entries = match &self.content {
            Content::Made(buffer) => buffer.get(frame::SEQ_BYTES..).unwrap_or_default(),
            Content::Come(entries) => entries,
        };
        let (mut rest, mut messages) = (entries, 0);
        while !rest.is_empty() {
            let before = entries.len() - rest.len();
            let len = entry_at(&mut rest)?;
            if let Err(status) = check(len) {
                match &mut self.content {
                    Content::Made(buffer) => buffer.truncate(frame::SEQ_BYTES + before),
                    Content::Come(entries) => entries.truncate(before),
                }
                (self.messages, self.last) = (messages, false);
                return Err(status);
            }
            rest.advance(len);
            messages += 1;
        }
        Ok(())
    }

    /// Its entries, for [`next_entry`].
    pub(crate) fn into_entries(self) -> Bytes {
        match self.content {
            Content::Made(buffer) => {
                let mut entries = Bytes::from(buffer);
                entries.advance(frame::SEQ_BYTES);
                entries
            }
            Content::Come(entries) => entries,
        }
    }

    /// The frame that carries it.
    pub(crate) fn into_frame(self, head: &frame::Head) -> Bytes {
        match self.content {
            Content::Made(buffer) => frame::finish(buffer, head),
            Content::Come(entries) => {
                let mut buffer = frame::begin(entries.len() + 64);
                buffer.put_slice(&entries);
                frame::finish(buffer, head)
            }
        }
    }
}

/// A batch in the making.
pub(crate) struct BatchWriter {
    buffer: Vec<u8>,
    messages: usize,
}

impl BatchWriter {
    /// An empty batch with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { buffer: frame::begin(capacity), messages: 0 }
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() - frame::SEQ_BYTES
    }

    /// Adds a message of `len` bytes that `write` writes.
    pub(crate) fn push(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.reserve(entry_len(len));
        self.buffer.put_u8(MESSAGES_KEY);
        encoding::encode_varint(len as u64, &mut self.buffer);
        write(&mut self.buffer);
        self.messages += 1;
    }

    pub(crate) fn finish(self, last: bool) -> Batch {
        Batch { content: Content::Made(self.buffer), messages: self.messages, last }
    }
}

/// What a message of `len` bytes takes in a batch.
pub(crate) fn entry_len(len: usize) -> usize {
    1 + encoding::encoded_len_varint(len as u64) + len
}

/// Takes the next message off the front of a batch. `None` when it is empty.
pub(crate) fn next_entry(entries: &mut Bytes) -> Result<Option<Bytes>> {
    if !entries.has_remaining() {
        return Ok(None);
    }
    let len = entry_at(entries)?;
    Ok(Some(entries.split_to(len)))
}

/// Reads what is before the message of an entry: its key and how many bytes it has, which are there.
fn entry_at(entries: &mut impl Buf) -> Result<usize> {
    let key = entries.get_u8();
    match encoding::decode_varint(entries).ok().and_then(|len| usize::try_from(len).ok()) {
        Some(len) if key == MESSAGES_KEY && len <= entries.remaining() => Ok(len),
        _ => Err(Status::made_here(Code::Internal, reason::INVALID_FRAME, "a batch of messages is malformed")),
    }
}

/// Decodes a message that is all there is. Where it will be, as it would else be moved twice.
pub(crate) fn decode<M>(bytes: Bytes, malformed: fn(DecodeError) -> Status) -> Result<M>
where
    M: prost::Message + Default,
{
    let mut message = M::default();
    match message.merge(bytes) {
        Ok(()) => Ok(message),
        Err(error) => Err(malformed(error)),
    }
}

/// Decodes messages off the front of a batch, as many as `decoded` has room for without growing, so that each
/// is made where it waits for its reader. One that fails leaves nothing to go on with.
///
/// Not cut out first, as [`next_entry`] does: counting references costs as much as reading a small message.
pub(crate) fn decode_entries<M>(
    entries: &mut Bytes,
    decoded: &mut VecDeque<Result<M>>,
    malformed: fn(DecodeError) -> Status,
) where
    M: prost::Message + Default,
{
    while decoded.len() < decoded.capacity() && !entries.is_empty() {
        // Its key, which whoever read the frame has looked at.
        entries.advance(1);
        decoded.push_back(Ok(M::default()));
        if let Some(next) = decoded.back_mut()
            && let Ok(message) = next
            && let Err(error) = message.merge_length_delimited(&mut *entries)
        {
            *next = Err(malformed(error));
            entries.clear();
        }
    }
}

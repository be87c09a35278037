//! [`Exchange`]: one call as one side sees it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
};

use tokio::time::Instant;

use super::window::{ReceiveWindow, SendWindow};
use crate::{
    Code, Result, Status,
    bus::message::Message,
    limits,
    message::Room,
    status::reason,
    wire::{
        call_id::CallId,
        frame::{Accept, CallState, Credit, Frame},
        status,
        subject::Subject,
    },
};

/// One call as one side sees it: what has arrived and is unread, how far it may send, and whether
/// the other side is still there. The router of an inbox writes it; the call reads it.
pub(crate) struct Exchange {
    pub(crate) call: CallId,
    /// Where the request went.
    pub(crate) subject: Subject,
    /// The connection it was made on; a later one knows nothing of it.
    pub(crate) epoch: u64,
    /// Whether a payload is a frame even without a header that says so.
    framed: bool,
    state: Mutex<State>,
}

struct State {
    /// A reply that is no frame: the message of a unary call, or an error.
    reply: Option<Message>,
    /// Frames with content, in order, unread.
    frames: VecDeque<Frame>,
    last_seq: u64,
    /// Whether metadata has come: it comes once.
    has_metadata: bool,
    receive: ReceiveWindow,
    send: SendWindow,
    sent_seq: u64,
    accept: Option<Box<Accept>>,
    failure: Option<Status>,
    /// The end has arrived; it may be unread.
    ended: bool,
    /// When the other side last said that it has this call; `None` until it may be expected to.
    confirmed: Option<Instant>,
    /// How many beats in a row spoke of something that never came.
    strikes: u32,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

impl State {
    /// Charges what a frame takes while it waits to be read; `false` if it is more than the other side may send.
    ///
    /// What costs no credit must not pile up either: metadata that nobody reads, frames with nothing in them,
    /// bytes of fields that nobody knows.
    fn admit(&mut self, frame: &mut Frame) -> bool {
        if self.has_metadata {
            frame.head.metadata = None;
        }
        self.has_metadata |= frame.head.metadata.is_some();
        if frame.has_slack(!self.frames.is_empty()) {
            frame.copy_out();
        }
        match (frame.messages, frame.bytes()) {
            (0, 0) => frame.head.metadata.is_some() || frame.head.end.is_some(),
            (messages, bytes) => self.frames.len() < limits::WAITING_FRAMES && self.receive.arrive(messages, bytes),
        }
    }

    fn beat(&self, call: String) -> CallState {
        CallState { call, sent: self.sent_seq, credit: Some(self.receive.granted()), over: false }
    }
}

/// What arrives for a reader.
pub(crate) enum Arrival {
    /// Not a frame.
    Reply(Message),
    /// With content.
    Frame(Frame),
}

impl Exchange {
    pub(crate) fn new(call: CallId, subject: Subject, epoch: u64, framed: bool) -> Self {
        let state = State {
            reply: None,
            frames: VecDeque::new(),
            last_seq: 0,
            has_metadata: false,
            receive: ReceiveWindow::new(),
            send: SendWindow::new(),
            sent_seq: 0,
            accept: None,
            failure: None,
            ended: false,
            confirmed: None,
            strikes: 0,
            reader: None,
            writer: None,
            watcher: None,
        };
        Self { call, subject, epoch, framed, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a message that came for this call.
    pub(crate) fn deliver(&self, message: Message) {
        if let Some(status) = status::decode(&message).filter(|_| self.framed) {
            self.lock().ended = true;
            return self.fail(status);
        }
        if !self.framed && message.headers.get(status::FRAME).is_none() {
            let mut state = self.lock();
            state.reply.get_or_insert(message);
            let reader = state.reader.take();
            drop(state);
            return wake([reader]);
        }
        match Frame::decode(message.payload) {
            Ok(frame) => self.deliver_frame(frame),
            Err(status) => self.fail(status),
        }
    }

    pub(crate) fn deliver_frame(&self, mut frame: Frame) {
        let mut state = self.lock();
        if let Some(credit) = frame.head.credit {
            state.send.grant(credit);
        }
        if let Some(accept) = frame.head.accept.take() {
            state.accept.get_or_insert(accept);
            state.confirmed = Some(Instant::now());
        }
        let failure = if frame.head.cancel.is_some() {
            Some(cancelled_by_peer())
        } else if frame.head.seq == 0 || frame.head.seq <= state.last_seq || state.ended {
            None // it controls, came twice, or comes too late
        } else if frame.head.seq != state.last_seq + 1 {
            Some(gap())
        } else {
            state.last_seq = frame.head.seq;
            state.ended = frame.head.end.is_some();
            // A caller whose accept was lost has nobody to ask, and must not wait forever.
            state.confirmed.get_or_insert_with(Instant::now);
            let honest = state.admit(&mut frame);
            state.frames.push_back(frame);
            (!honest).then(|| {
                let message = "the other side sent more than it had credit for";
                Status::made_here(Code::ResourceExhausted, reason::FLOW_CONTROL, message)
            })
        };
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wake(wakers);
        if let Some(failure) = failure {
            self.fail(failure);
        }
    }

    /// Ends the call on this side. What has arrived can still be read; the first failure counts.
    pub(crate) fn fail(&self, status: Status) {
        let mut state = self.lock();
        state.failure.get_or_insert(status);
        let wakers = [state.reader.take(), state.writer.take(), state.watcher.take()];
        drop(state);
        wake(wakers);
    }

    /// What arrived next.
    pub(crate) fn poll_arrival(&self, cx: &mut TaskContext<'_>) -> Poll<Result<Arrival>> {
        let mut state = self.lock();
        if let Some(frame) = state.frames.pop_front() {
            return Poll::Ready(Ok(Arrival::Frame(frame)));
        }
        if let Some(reply) = state.reply.take() {
            return Poll::Ready(Ok(Arrival::Reply(reply)));
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        state.receive.caught_up();
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the other side has said anything at all.
    pub(crate) fn poll_begun(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut state = self.lock();
        let begun = state.accept.is_some() || !state.frames.is_empty() || state.reply.is_some();
        if begun || state.failure.is_some() {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts back what was read too early.
    pub(crate) fn unread(&self, frame: Frame) {
        self.lock().frames.push_front(frame);
    }

    /// Waits until something may be sent.
    pub(crate) async fn room(&self, frame_bytes: usize) -> Result<Room> {
        self.when_writable(|state| state.send.room(frame_bytes)).await
    }

    /// Waits until it is known who has the call.
    pub(crate) async fn accepted(&self) -> Result<Subject> {
        self.when_writable(|state| state.accept.as_ref().map(|accept| accept.subject.clone()))
            .await
            .and_then(Subject::new)
    }

    async fn when_writable<T>(&self, mut ready: impl FnMut(&State) -> Option<T>) -> Result<T> {
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(failure) = &state.failure {
                return Poll::Ready(Err(failure.clone()));
            }
            if let Some(value) = ready(&state) {
                return Poll::Ready(Ok(value));
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until the call has failed on this side: the peer cancelled it, or is gone.
    pub(crate) async fn failed(&self) -> Status {
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(failure) = &state.failure {
                return Poll::Ready(failure.clone());
            }
            state.watcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Whether it is this call that its caller has cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().failure.as_ref().is_some_and(|failure| failure.code() == Code::Cancelled)
    }

    /// Who has the call, if that is known.
    pub(crate) fn accept(&self) -> Option<Accept> {
        self.lock().accept.as_deref().cloned()
    }

    /// Whether the other side has ended the call, so that it need not be told.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Whether everything the other side has to say has arrived.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.ended || state.failure.is_some()
    }

    /// Counts what goes out with the next frame.
    pub(crate) fn spend(&self, messages: usize, bytes: usize) {
        self.lock().send.sent(messages, bytes);
    }

    /// Notes that a frame is on its way, so that beats may speak of it.
    pub(crate) fn sent(&self, seq: u64) {
        self.lock().sent_seq = seq;
    }

    /// Counts what the application has read; returns a grant when one is due.
    pub(crate) fn read(&self, messages: usize, bytes: usize) -> Option<Credit> {
        self.lock().receive.read(messages, bytes)
    }

    /// This side of the call, for a beat to the instance that has it: `beat` gets its subject.
    pub(crate) fn beat(&self, beat: impl FnOnce(&str, CallState)) {
        let state = self.lock();
        if let Some(accept) = &state.accept {
            beat(&accept.beat, state.beat(self.call.to_string()));
        }
    }

    /// Takes in what a beat says of this call, and what to say in return.
    pub(crate) fn answer(&self, other: CallState) -> CallState {
        self.hear(&other);
        self.lock().beat(other.call)
    }

    /// Takes in what a beat of the other side says of this call.
    pub(crate) fn hear(&self, other: &CallState) {
        let mut state = self.lock();
        state.confirmed = Some(Instant::now());
        if let Some(credit) = other.credit {
            state.send.grant(credit);
        }
        // Frames travel on other subjects than beats and may be overtaken once; not twice.
        let missing = (other.over || other.sent > state.last_seq) && !state.ended;
        state.strikes = if missing { state.strikes + 1 } else { 0 };
        let lost = state.strikes >= 2;
        let writer = state.writer.take();
        drop(state);
        wake([writer]);
        if lost {
            self.fail(gap());
        }
    }

    /// From here on the other side must speak of this call, or it counts as gone.
    pub(crate) fn lease(&self) {
        self.lock().confirmed = Some(Instant::now());
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.lock().confirmed.is_some()
    }

    /// When the other side will not have spoken of this call for too long, if it has to.
    pub(crate) fn silent_at(&self) -> Option<Instant> {
        self.lock().confirmed.map(|confirmed| confirmed + limits::PEER_SILENCE)
    }
}

fn wake<const N: usize>(wakers: [Option<Waker>; N]) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

fn gap() -> Status {
    let message = "a part of the stream was lost on the way";
    Status::made_here(Code::Unavailable, reason::STREAM_GAP, message)
}

pub(crate) fn peer_lost() -> Status {
    let message = format!("the other side of the call has been silent for {} ms", limits::PEER_SILENCE.as_millis());
    Status::made_here(Code::Unavailable, reason::PEER_LOST, message)
}

pub(crate) fn cancelled_by_peer() -> Status {
    Status::made_here(Code::Cancelled, reason::CANCELLED, "the caller cancelled the call")
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes};

    use super::*;
    use crate::{
        message::BatchWriter,
        wire::frame::{self, End, Entries, Head, Part},
    };

    fn exchange() -> Exchange {
        Exchange::new(CallId::random(), Subject::from_static("s"), 0, true)
    }

    fn deliver(exchange: &Exchange, payload: &Bytes) {
        exchange.deliver(Message::new(Subject::from_static("s"), payload.clone()));
    }

    fn failure(exchange: &Exchange) -> Option<Code> {
        exchange.lock().failure.as_ref().map(Status::code)
    }

    fn with_message(seq: u64, message: &[u8]) -> Bytes {
        let mut batch = BatchWriter::with_capacity(message.len());
        batch.push(message.len(), |buffer| buffer.put_slice(message));
        batch.finish(false).into_frame(&Head { seq, ..Head::default() })
    }

    #[test]
    fn what_costs_no_credit_does_not_pile_up() {
        let metadata = |seq| Head { seq, metadata: Some(Entries::default()), ..Head::default() };
        let nothing = |seq| Head { seq, ..Head::default() };
        let crumb = |seq| Head { seq, part: Some(Part { data: "x".into(), total: u64::MAX }), ..Head::default() };
        let piles: [(&dyn Fn(u64) -> Head, usize); 3] =
            [(&metadata, 1), (&nothing, 0), (&crumb, limits::WAITING_FRAMES)];
        for (head, most) in piles {
            let exchange = exchange();
            for seq in 1..=most as u64 {
                deliver(&exchange, &frame::control(&head(seq)));
            }
            assert_eq!(failure(&exchange), None, "{most}");
            deliver(&exchange, &frame::control(&head(most as u64 + 1)));
            assert_eq!(failure(&exchange), Some(Code::ResourceExhausted), "{most}");
        }
        let nothing = Head { seq: 1, part: Some(Part::default()), ..Head::default() };
        assert!(Frame::decode(frame::control(&nothing)).is_err());
    }

    #[test]
    fn what_an_honest_sender_says_beside_its_messages_costs_nothing() {
        let exchange = exchange();
        let metadata = Head { seq: 1, metadata: Some(Entries::default()), ..Head::default() };
        let end = Head { seq: 3, end: Some(Box::new(End::default())), ..Head::default() };
        for payload in [frame::control(&metadata), with_message(2, b"x"), frame::control(&end)] {
            deliver(&exchange, &payload);
        }
        assert_eq!(failure(&exchange), None);
        assert_eq!(exchange.lock().frames.len(), 3);
    }

    #[test]
    fn a_frame_that_waits_keeps_what_it_has_and_nothing_else() {
        let exchange = exchange();
        // Field 15, which nobody knows.
        let unknown = [&with_message(1, b"x")[..], &[0x7a, 0x80, 0x80, 0x40], &vec![0; 1 << 20]].concat().into();
        let small = with_message(2, b"x");
        let large = with_message(3, &[0; 8_000]);
        for payload in [&unknown, &small, &large] {
            deliver(&exchange, payload);
        }
        assert_eq!(failure(&exchange), None);
        assert!(unknown.is_unique(), "a megabyte for a message of a byte");
        assert!(small.is_unique(), "what it was read with for a message of a byte");
        assert!(!large.is_unique(), "copied without need");
    }
}

//! [`Delivery`]: what a handler knows about the message it is given.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Headers, Message, Subject},
    jetstream::{Delivered, header},
};

/// What a handler knows about the message it is given: where it lies, which attempt this is, headers.
///
/// A clone is one atomic increment and speaks of the same attempt. While the handler runs the broker
/// is told so, and does not hand the message to anybody else.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    delivered: Delivered,
    life: Arc<Life>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The same message, handed out again while this was not over yet.
    again: Option<Box<Delivered>>,
    /// The broker has been told what became of it, or will be in a moment.
    is_over: bool,
    /// It was given back: what comes now is another attempt.
    is_given_back: bool,
}

/// What all deliveries of a worker share.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) abort: CancellationToken,
    /// Attempts that a message has.
    pub(super) attempts: Option<u32>,
}

impl Delivery {
    pub(super) fn new(delivered: Delivered, life: &Arc<Life>) -> Self {
        Self(Arc::new(Inner { delivered, life: life.clone(), state: Mutex::default() }))
    }

    /// What it was published on.
    pub fn subject(&self) -> &Subject {
        &self.0.delivered.message.subject
    }

    /// What came beside it: its id, its trace (`traceparent`), and whatever its publisher added.
    pub fn headers(&self) -> &Headers {
        &self.0.delivered.message.headers
    }

    /// Its bytes.
    pub fn payload(&self) -> &bytes::Bytes {
        &self.0.delivered.message.payload
    }

    /// What makes it the same message when it is published twice, if its publisher said so.
    pub fn id(&self) -> Option<&str> {
        self.headers().get(header::ID)
    }

    /// The stream that it lies in.
    pub fn stream(&self) -> &str {
        &self.0.delivered.origin.stream
    }

    /// Its place there.
    pub fn sequence(&self) -> u64 {
        self.0.delivered.stream_sequence
    }

    /// When it was stored there.
    pub fn time(&self) -> SystemTime {
        self.0.delivered.time
    }

    /// The consumer that handed it out.
    pub fn consumer(&self) -> &str {
        &self.0.delivered.origin.consumer
    }

    /// How often it has been handed out, this time included: 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.0.delivered.attempt
    }

    /// Whether it becomes a dead letter when this attempt fails.
    pub fn is_last_attempt(&self) -> bool {
        // The broker counts also what came again while it was in hand.
        let handed_out = self.state().again.as_ref().map_or(self.attempt(), |again| again.attempt);
        self.0.life.attempts.is_some_and(|attempts| handed_out >= attempts)
    }

    /// How many messages the consumer had not handed out yet, when it handed out this one.
    pub fn pending(&self) -> u64 {
        self.0.delivered.pending
    }

    /// Whether the worker has stopped waiting for its handlers.
    pub fn is_cancelled(&self) -> bool {
        self.0.life.abort.is_cancelled()
    }

    /// Resolves when the worker stops and the time it grants its handlers is up.
    ///
    /// The handler is dropped then, so it needs this only for work it has moved elsewhere, a spawned
    /// task or a blocking thread, which holds a clone of the delivery.
    pub async fn cancelled(&self) {
        self.0.life.abort.cancelled().await;
    }

    pub(super) fn message(&self) -> &Message {
        &self.0.delivered.message
    }

    pub(super) fn delivered(&self) -> &Delivered {
        &self.0.delivered
    }

    /// Whether both speak of the same attempt.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What tells it from every other message of the consumer, also of a stream that was made anew.
    pub(super) fn place(&self) -> Place {
        Place::of(&self.0.delivered)
    }

    /// It was handed out again, before it was given back: that one's ticket is good when this one's is not any more.
    pub(super) fn came_again(&self, delivered: &Delivered) -> bool {
        let mut state = self.state();
        if !state.is_given_back {
            state.again = Some(Box::new(delivered.clone()));
        }
        !state.is_given_back
    }

    /// As [`end`](Self::end), for what is to come again.
    pub(super) fn give_back(&self) -> Option<Box<Delivered>> {
        self.state().is_given_back = true;
        self.end()
    }

    /// By what its end is told. From now on nobody says that it is being worked on: said too late, that
    /// would undo a wait for another attempt.
    pub(super) fn end(&self) -> Option<Box<Delivered>> {
        let mut state = self.state();
        state.is_over = true;
        state.again.clone()
    }

    /// Does something while it is not over.
    pub(super) fn while_in_hand<T>(&self, what: impl FnOnce(&Delivered) -> T) -> Option<T> {
        let state = self.state();
        (!state.is_over).then(|| what(state.again.as_deref().unwrap_or(&self.0.delivered)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it takes in memory, in about.
    pub(super) fn bytes(&self) -> usize {
        self.payload().len() + self.headers().wire_len() + self.subject().as_str().len()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("subject", self.subject())
            .field("stream", &self.stream())
            .field("sequence", &self.sequence())
            .field("consumer", &self.consumer())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// A place in a stream, and when it was taken: sequences begin anew when a stream is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) sequence: u64,
    /// Since 1970; 0 for what was before.
    pub(super) time: Duration,
}

impl Place {
    pub(super) fn of(delivered: &Delivered) -> Self {
        let time = delivered.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { sequence: delivered.stream_sequence, time }
    }
}

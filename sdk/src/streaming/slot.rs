//! The few messages between a [`Sender`] and its stream.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
};

use futures_util::Stream;

use crate::{Code, Result, Status, status::reason};

/// Messages that may wait for the reader. More would only hide a slow one.
const SLOT_MESSAGES: usize = 32;

/// Writes a stream. A clone writes the same stream; the last one to go ends it.
pub struct Sender<T>(Arc<Slot<T>>);

/// The reading end. Dropping it makes every `send` fail.
pub(super) struct Receiver<T>(Arc<Slot<T>>);

struct Slot<T>(Mutex<State<T>>);

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    reader: Option<Waker>,
    reader_gone: bool,
    writers: Vec<Waker>,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { queue: VecDeque::new(), senders: 1, reader: None, reader_gone: false, writers: Vec::new() };
    let slot = Arc::new(Slot(Mutex::new(state)));
    (Sender(slot.clone()), Receiver(slot))
}

impl<T> Sender<T> {
    /// Sends a message; waits while the reader is slow.
    ///
    /// # Errors
    /// `CANCELLED` when the reader has gone, so that `?` ends the producer.
    pub async fn send(&self, message: T) -> Result<()> {
        let mut message = Some(message);
        poll_fn(|cx| self.poll_send(cx, &mut message)).await
    }

    fn poll_send(&self, cx: &mut TaskContext<'_>, message: &mut Option<T>) -> Poll<Result<()>> {
        let mut state = self.0.lock();
        if state.reader_gone {
            return Poll::Ready(Err(reader_gone()));
        }
        if state.queue.len() >= SLOT_MESSAGES {
            if !state.writers.iter().any(|writer| writer.will_wake(cx.waker())) {
                state.writers.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        state.queue.extend(message.take());
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the reader has gone, so that nothing more needs to be sent.
    pub fn is_closed(&self) -> bool {
        self.0.lock().reader_gone
    }
}

fn reader_gone() -> Status {
    Status::made_here(Code::Cancelled, reason::CANCELLED, "nobody reads this stream any more")
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let reader = if state.senders == 0 { state.reader.take() } else { None };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

impl<T> Receiver<T> {
    /// The next message, if one waits; else whether any can still come.
    fn take(&self, cx: &mut TaskContext<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        let Some(message) = state.queue.pop_front() else {
            if state.senders == 0 {
                return Poll::Ready(None);
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        // Half empty rather than empty, so that a writer on another thread is back in time.
        let writers =
            if state.queue.len() == SLOT_MESSAGES / 2 { std::mem::take(&mut state.writers) } else { Vec::new() };
        drop(state);
        writers.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(message))
    }

    fn has_message(&self) -> bool {
        !self.0.lock().queue.is_empty()
    }
}

impl<T> Stream for Receiver<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.take(cx).map(|message| message.map(Ok))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        let (writers, unread) = (std::mem::take(&mut state.writers), std::mem::take(&mut state.queue));
        drop(state);
        drop(unread);
        writers.into_iter().for_each(Waker::wake);
    }
}

/// A producer and what it has sent. It is polled only when nothing waits to be read.
pub(super) struct Producer<T, Fut> {
    running: Option<Pin<Box<Fut>>>,
    failure: Option<Status>,
    receiver: Receiver<T>,
}

impl<T, Fut> Producer<T, Fut> {
    pub(super) fn new(producer: Fut, receiver: Receiver<T>) -> Self {
        Self { running: Some(Box::pin(producer)), failure: None, receiver }
    }
}

impl<T, Fut: Future<Output = Result<()>>> Stream for Producer<T, Fut> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.receiver.has_message()
            && let Some(running) = &mut this.running
            // Caught here and not further out, so that what was sent before a panic still arrives.
            && let Poll::Ready(outcome) = std::panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)))
                .unwrap_or_else(|panic| Poll::Ready(Err(crate::__codegen::panicked(&*panic))))
        {
            this.running = None;
            this.failure = outcome.err();
        }
        match this.receiver.take(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            // The senders are gone; the producer itself may still have something to do, or to fail with.
            _ if this.running.is_some() => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(this.failure.take().map(Err)),
            Poll::Pending if this.failure.is_some() => Poll::Ready(this.failure.take().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

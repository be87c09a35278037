//! [`Deliveries`]: what a consumer hands out, to one reader.

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll, ready},
};

use tokio::time::{Sleep, sleep_until};

use super::stream::Stream;
use crate::{
    Code, Result,
    jetstream::{Ack, Delivered, Origin, Pull},
};

/// Messages that are taken out at one time, so that a lock is held briefly and others get their share.
const BATCH: usize = 128;

/// Which consumer.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(super) stream: Arc<Stream>,
    /// Its name, and that of the stream.
    pub(super) origin: Arc<Origin>,
    /// No other consumer of the stream has, or had, this number.
    pub(super) serial: u64,
}

/// By what a delivery is acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    handle: Arc<Handle>,
    sequence: u64,
}

impl Ticket {
    pub(super) fn new(handle: &Arc<Handle>, sequence: u64) -> Self {
        Self { handle: handle.clone(), sequence }
    }

    /// Says what became of the delivery. Nobody may be left to hear it.
    pub(crate) fn ack(&self, ack: &Ack) -> Result<()> {
        match self.ack_confirmed(ack) {
            Err(status) if status.code() != Code::NotFound => Err(status),
            _ => Ok(()),
        }
    }

    /// The same.
    ///
    /// # Errors
    /// `NOT_FOUND` when its consumer is gone.
    pub(crate) fn ack_confirmed(&self, ack: &Ack) -> Result<()> {
        self.handle.stream.with(|state, now| state.ack(self.handle.serial, self.sequence, ack, now))
    }
}

/// Deliveries that are done, to be said under one lock of their stream.
#[derive(Debug, Default)]
pub(crate) struct Done {
    handle: Option<Arc<Handle>>,
    sequences: Vec<u64>,
}

impl Done {
    pub(crate) fn add(&mut self, ticket: &Ticket) {
        if self.handle.as_ref().is_none_or(|handle| !Arc::ptr_eq(handle, &ticket.handle)) {
            self.say();
            self.handle = Some(ticket.handle.clone());
        }
        self.sequences.push(ticket.sequence);
    }

    /// Says so. Nobody may be left to hear it.
    pub(crate) fn say(&mut self) {
        let Some(handle) = self.handle.as_ref().filter(|_| !self.sequences.is_empty()) else { return };
        handle.stream.with(|state, now| {
            for sequence in self.sequences.drain(..) {
                let _ = state.ack(handle.serial, sequence, &Ack::Done, now);
            }
        });
    }
}

/// What a consumer hands out, to one reader.
///
/// Whoever waits has a timer for what time alone brings: a redelivery, a message that is replayed at
/// its pace. Nothing else in an engine runs by itself.
#[derive(Debug)]
pub(crate) struct Deliveries {
    handle: Arc<Handle>,
    pull: Pull,
    /// No other reader of the stream has, or had, this number.
    reader: u64,
    held: VecDeque<Delivered>,
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    has_ended: bool,
}

impl Deliveries {
    pub(super) fn new(handle: Arc<Handle>, reader: u64, pull: Pull) -> Self {
        let pull = Pull { messages: pull.messages.min(BATCH), ..pull };
        Self { handle, pull, reader, held: VecDeque::new(), timer: None, waits: false, has_ended: false }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Delivered>>> {
        loop {
            if let Some(delivered) = self.held.pop_front() {
                return Poll::Ready(Some(Ok(delivered)));
            }
            if self.has_ended {
                return Poll::Ready(None);
            }
            // Once a refill: a reader that always finds more still lets its neighbours run.
            ready!(pin!(tokio::task::coop::consume_budget()).poll(cx));
            let stream = &self.handle.stream;
            let (serial, reader) = (self.handle.serial, self.reader);
            let taken = stream.with(|state, now| {
                let consumer = state.consumer(serial)?;
                consumer.readers.stop_waiting(reader);
                state.take(serial, now, &self.pull, &mut self.held)?;
                match self.held.is_empty() {
                    true => Ok(state.wait(serial, reader, cx.waker())),
                    false => Ok(None),
                }
            });
            self.waits = self.held.is_empty();
            let due = match taken {
                Ok(_) if !self.waits => continue,
                Ok(due) => due,
                Err(status) => {
                    self.has_ended = true;
                    self.waits = false;
                    return Poll::Ready(Some(Err(status)));
                }
            };
            match due {
                Some(due) => self.set_timer(stream.clock.instant(due)),
                None => self.timer = None,
            }
            match &mut self.timer {
                Some(timer) => ready!(timer.as_mut().poll(cx)),
                None => return Poll::Pending,
            }
        }
    }

    fn set_timer(&mut self, due: tokio::time::Instant) {
        match &mut self.timer {
            Some(timer) if timer.deadline() == due && !timer.is_elapsed() => {}
            Some(timer) => timer.as_mut().reset(due),
            None => self.timer = Some(Box::pin(sleep_until(due))),
        }
    }

    /// Begins the wait of everything anew that is here and not read yet.
    pub(crate) fn progress(&mut self) {
        let serial = self.handle.serial;
        self.handle.stream.with(|state, now| {
            for delivered in &self.held {
                // Once the consumer is gone, there is nothing to wait for.
                let _ = state.ack(serial, delivered.stream_sequence, &Ack::Progress, now);
            }
        });
    }

    /// Takes out so many at one time from now on.
    pub(crate) fn ask(&mut self, messages: usize) {
        self.pull.messages = messages.clamp(1, BATCH);
    }

    pub(crate) fn stop(&mut self) {
        self.leave();
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let (serial, reader, waited) = (self.handle.serial, self.reader, self.waits);
        self.handle.stream.with(|state, now| state.left(serial, reader, waited, now));
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.leave();
    }
}

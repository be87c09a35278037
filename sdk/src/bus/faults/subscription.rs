//! [`FaultySubscription`]: messages for one subject, as they come over a faulty link.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
};

use tokio::time::{Instant, Sleep};

use super::{line::Line, link::Shared};
use crate::{
    bus::{BusEvent, Message, Subscription},
    wire::subject::Subject,
};

/// Messages for one subject, as they come over a faulty link. Dropping it unsubscribes.
pub(in crate::bus) struct FaultySubscription {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

/// One subscription, as its link and its reader share it.
pub(super) struct Slot {
    pub(super) subject: Subject,
    pub(super) queue: Option<String>,
    state: Mutex<State>,
}

struct State {
    /// What the broker knows of; `None` while there is no connection.
    inner: Option<Subscription>,
    /// On its way.
    line: Line,
    /// Arrived and unread.
    unread: VecDeque<Message>,
    reader: Option<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Nothing comes after what is on its way.
    over: bool,
    draining: bool,
    dropped: u64,
}

impl FaultySubscription {
    pub(super) fn new(slot: Arc<Slot>, shared: Arc<Shared>) -> Self {
        Self { slot, shared }
    }

    pub(in crate::bus) fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        let mut state = self.slot.lock();
        loop {
            state.take_in(&self.shared, cx);
            if let Some(message) = state.unread.pop_front() {
                return Poll::Ready(Some(message));
            }
            let Some(due) = state.line.due() else {
                if state.over {
                    return Poll::Ready(None);
                }
                break;
            };
            let timer = state.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(in crate::bus) fn drain(&mut self) {
        let mut state = self.slot.lock();
        state.draining = true;
        match &mut state.inner {
            Some(inner) => inner.drain(),
            None => state.over = true,
        }
        state.wake();
    }

    pub(in crate::bus) fn dropped(&self) -> u64 {
        let state = self.slot.lock();
        state.dropped + state.inner.as_ref().map_or(0, |inner| inner.dropped())
    }
}

impl fmt::Debug for FaultySubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultySubscription")
            .field("subject", &self.slot.subject)
            .field("queue", &self.slot.queue)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn new(subject: Subject, queue: Option<&str>, line: Line) -> Self {
        let state = State {
            inner: None,
            line,
            unread: VecDeque::new(),
            reader: None,
            timer: None,
            over: false,
            draining: false,
            dropped: 0,
        };
        Self { subject, queue: queue.map(str::to_owned), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the broker has to be told of it.
    pub(super) fn is_missing(&self) -> bool {
        let state = self.lock();
        state.inner.is_none() && !state.over
    }

    pub(super) fn establish(&self, inner: Subscription) {
        let mut state = self.lock();
        if !state.over {
            state.inner = Some(inner);
            state.wake();
        }
    }

    /// Loses the connection, and what was on its way.
    pub(super) fn disconnect(&self, shared: &Shared) {
        let mut state = self.lock();
        if let Some(inner) = state.inner.take() {
            state.dropped += inner.dropped();
        }
        state.line.lose(&shared.tally);
        state.over |= state.draining;
        state.wake();
    }

    /// Loses what is on its way, and what the broker has sent that nobody has looked at.
    pub(super) fn lose(&self, shared: &Shared) {
        let mut state = self.lock();
        state.line.lose(&shared.tally);
        // With the waker of the reader, which still waits for what comes after.
        let waker = state.reader.clone().unwrap_or_else(|| Waker::noop().clone());
        let mut cx = TaskContext::from_waker(&waker);
        while let Some(Poll::Ready(Some(_))) = state.inner.as_mut().map(|inner| inner.poll_next(&mut cx)) {
            shared.tally.lost.add(1);
        }
    }

    /// What is on its way still comes, then the end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.inner = None;
        state.over = true;
        state.wake();
    }
}

impl State {
    /// Takes in what the broker has sent, and what has come through.
    fn take_in(&mut self, shared: &Shared, cx: &mut TaskContext<'_>) {
        let now = Instant::now();
        let deaf = shared.switch.borrow().deaf;
        while let Some(inner) = &mut self.inner {
            match inner.poll_next(cx) {
                Poll::Ready(Some(_)) if deaf => shared.tally.lost.add(1),
                Poll::Ready(Some(message)) => self.line.put(shared.faults_inbound(), &shared.tally, message, now),
                Poll::Ready(None) => {
                    self.inner = None;
                    self.over = true;
                }
                Poll::Pending => break,
            }
        }
        while let Some(message) = self.line.take(now) {
            if self.unread.len() < shared.faults.buffer {
                self.unread.push_back(message);
                continue;
            }
            self.dropped += 1;
            shared.tally.overflowed.add(1);
            // Nobody may be listening to events, and that is fine.
            let _ = shared.events.send(BusEvent::SlowConsumer);
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

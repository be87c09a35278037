//! [`Unread`]: messages that a subscriber has not read yet, and what happens when they are too many.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
};

use crate::bus::Message;

/// What happens when a subscriber reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenSlow {
    /// The subscription ends with an error: nothing is missed without notice.
    #[default]
    Fail,
    /// The oldest unread event goes: for those who want the present.
    DropOldest,
    /// The newest event goes: for those who want what they have begun.
    DropNewest,
}

/// Messages that a subscriber has not read yet, as both sides see them.
#[derive(Clone)]
pub(super) struct Unread(Arc<Mutex<State>>);

struct State {
    capacity: usize,
    when_slow: WhenSlow,
    queue: VecDeque<Message>,
    /// Dropped before the first of the queue, and not told yet.
    before: u64,
    /// Dropped after the last of the queue, and not told yet. While there are any nothing is added:
    /// they are told in their place.
    after: u64,
    reader: Option<Waker>,
    closed: bool,
}

/// What a reader gets.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    /// So many were dropped here.
    Dropped(u64),
    End,
}

impl Unread {
    pub(super) fn new(capacity: usize, when_slow: WhenSlow) -> Self {
        Self(Arc::new(Mutex::new(State {
            capacity: capacity.max(1),
            when_slow,
            queue: VecDeque::new(),
            before: 0,
            after: 0,
            reader: None,
            closed: false,
        })))
    }

    /// Adds a message, or drops one.
    pub(super) fn push(&self, message: Message) {
        let mut state = self.lock();
        if state.after > 0 {
            state.after += 1;
        } else if state.queue.len() < state.capacity {
            state.queue.push_back(message);
        } else if state.when_slow == WhenSlow::DropOldest {
            state.queue.pop_front();
            state.queue.push_back(message);
            state.before += 1;
        } else {
            state.after += 1;
        }
        wake(state);
    }

    /// Counts messages that were dropped before they came here.
    pub(super) fn count_dropped(&self, dropped: u64) {
        let mut state = self.lock();
        state.after += dropped;
        wake(state);
    }

    /// There will be no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
    }

    pub(super) fn poll_next(&self, cx: &TaskContext<'_>) -> Poll<Next> {
        let mut state = self.lock();
        if state.before > 0 {
            return Poll::Ready(Next::Dropped(std::mem::take(&mut state.before)));
        }
        if let Some(message) = state.queue.pop_front() {
            return Poll::Ready(Next::Message(message));
        }
        if state.after > 0 {
            return Poll::Ready(Next::Dropped(std::mem::take(&mut state.after)));
        }
        if state.closed {
            return Poll::Ready(Next::End);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;

    /// What a reader of two gets, when five are sent and one after it has begun to read.
    fn read(when_slow: WhenSlow) -> Vec<String> {
        let unread = Unread::new(2, when_slow);
        let push = |number: u8| unread.push(Message::new(Subject::from_static("s"), vec![number]));
        (1..=5).for_each(push);
        let cx = TaskContext::from_waker(Waker::noop());
        let mut got = Vec::new();
        for round in 0.. {
            match unread.poll_next(&cx) {
                Poll::Ready(Next::Message(message)) => got.push(message.payload.iter().map(u8::to_string).collect()),
                Poll::Ready(Next::Dropped(dropped)) => got.push(format!("-{dropped}")),
                Poll::Ready(Next::End) => break,
                Poll::Pending => unread.close(),
            }
            if round == 0 {
                push(6);
            }
        }
        got
    }

    #[test]
    fn what_is_dropped_is_told_where_it_is_missing() {
        assert_eq!(read(WhenSlow::DropOldest), ["-3", "-1", "5", "6"]);
        assert_eq!(read(WhenSlow::DropNewest), ["1", "2", "-4"]);
        assert_eq!(read(WhenSlow::Fail), ["1", "2", "-4"]);
    }
}

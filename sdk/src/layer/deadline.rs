//! The end of a call's time.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use crate::{Code, Context, Result, Status, limits, status::reason};

/// Work, for as long as it may take.
///
/// Work that is ready at once never touches a timer; that is most calls in process. It has to be pinned
/// where it lies: a future that takes another one in makes room for it twice.
pub(crate) struct Within<F> {
    work: F,
    deadline: Option<Instant>,
    /// Made when the work has to wait.
    timer: Option<Pin<Box<Sleep>>>,
    late: fn() -> Status,
}

impl<F> Within<F> {
    pub(crate) fn new(deadline: Option<Instant>, work: F) -> Self {
        Self { work, deadline, timer: None, late: exceeded }
    }

    /// What the outcome is when the time is up; unless said, that of a call.
    pub(crate) fn or(mut self, late: fn() -> Status) -> Self {
        self.late = late;
        self
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl<T, F: Future<Output = Result<T>> + Unpin> Future for Within<F> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<T>> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.work).poll(cx) {
            return Poll::Ready(outcome);
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // Work that used up its task's budget must not keep its deadline from being seen.
        ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
        Poll::Ready(Err((self.late)()))
    }
}

/// The error of a call whose time is up.
pub(crate) fn exceeded() -> Status {
    Status::made_here(Code::DeadlineExceeded, reason::DEADLINE, "the deadline passed before the call ended")
}

/// What a call made within another may take: a little less than its parent has left.
pub(crate) fn of_child(parent: &Context) -> Option<Instant> {
    parent.deadline().map(|deadline| deadline.checked_sub(limits::CHILD_RESERVE).unwrap_or(deadline))
}

/// The moment `timeout` from now. A timeout too long for the clock is no timeout.
pub(crate) fn after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

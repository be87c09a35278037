//! The end of a call's time.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use crate::{Code, Context, Result, Status, limits, status::reason};

/// Runs `work` until `deadline`.
///
/// Work that is ready at once never touches a timer; that is most calls in process.
pub(crate) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    match (first, deadline) {
        (Poll::Ready(outcome), _) => outcome,
        (Poll::Pending, None) => work.await,
        (Poll::Pending, Some(deadline)) => {
            tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(exceeded()))
        }
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

//! [`Job`]: a message on its way through a worker.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, task::Context as TaskContext, task::Poll};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    delivery::Delivery,
    in_hand::Held,
    outcome::{Reason, Verdict},
};
use crate::BoxFuture;

/// A message on its way through a worker, and what is to be done with it.
pub(super) struct Job {
    pub(super) delivery: Delivery,
    pub(super) key: Option<u64>,
    pub(super) work: Work,
    /// One of the places for messages that are handled at one time.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    pub(super) held: Option<Held>,
}

/// What a handler does with one message. A panic is a failure of this one.
pub(super) struct Work(pub(super) BoxFuture<Verdict>);

impl Future for Work {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Verdict> {
        let work = AssertUnwindSafe(|| self.0.as_mut().poll(cx));
        std::panic::catch_unwind(work).unwrap_or_else(|panic| Poll::Ready(Verdict::Panicked(panicked(&*panic))))
    }
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Reason {
    Reason::from(&crate::__codegen::panicked(panic))
}

//! [`Messages`]: a stream that shows its messages.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use futures_util::Stream;

use crate::{Result, Status};

/// A stream that shows its messages, many in one call. One that is returned instead is moved, which costs as
/// much as encoding it.
pub(super) trait Messages<T>: Stream<Item = Result<T>> {
    /// Shows the messages that are ready to `take`, one after the other.
    fn poll_each(self: Pin<&mut Self>, cx: &mut TaskContext<'_>, take: &mut dyn FnMut(&T) -> Take) -> Pause<T>;
}

/// What became of a message that was shown.
pub(super) enum Take {
    /// It was taken, and there is room for more.
    More,
    /// It was taken, and there is no room for more.
    Enough,
    /// It was not taken.
    Refused,
}

/// Why a stream shows no more messages.
pub(super) enum Pause<T> {
    /// Enough were taken.
    Enough,
    /// This one was not.
    Refused(T),
    /// No other is ready.
    Pending,
    /// There is no other, and what the stream failed with, if it did.
    End(Option<Status>),
}

impl<T, S: Stream<Item = Result<T>>> Messages<T> for S {
    fn poll_each(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, take: &mut dyn FnMut(&T) -> Take) -> Pause<T> {
        loop {
            // Looked at where it is, and taken apart only when it goes on.
            let next = self.as_mut().poll_next(cx);
            if let Poll::Ready(Some(Ok(message))) = &next {
                match take(message) {
                    Take::More => continue,
                    Take::Enough => return Pause::Enough,
                    Take::Refused => {}
                }
            }
            return match next {
                Poll::Ready(Some(Ok(message))) => Pause::Refused(message),
                Poll::Ready(end) => Pause::End(end.and_then(Result::err)),
                Poll::Pending => Pause::Pending,
            };
        }
    }
}

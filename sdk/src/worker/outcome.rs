//! [`Outcome`]: what a handler says of its message.

use std::time::Duration;

use crate::{Code, Result, Status};

/// What a handler says of its message.
///
/// A handler that returns `Result<()>` says [`Done`](Self::Done) by `Ok`. An error is retried, unless its
/// code says that another attempt cannot help: `INVALID_ARGUMENT`, `OUT_OF_RANGE`, `UNIMPLEMENTED` and
/// `DATA_LOSS` make a dead letter at once. Return an `Outcome` to decide otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It will not come again.
    Done,
    /// It comes again after this time, unless this was its last attempt.
    Retry(Duration),
    /// It is set aside, for this reason.
    DeadLetter(String),
}

/// What a handler may return: `Result<()>`, `Result<Outcome>` or [`Outcome`].
pub trait IntoOutcome {
    /// What became of the message.
    ///
    /// # Errors
    /// The handler's own.
    fn into_outcome(self) -> Result<Outcome>;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Self> {
        Ok(self)
    }
}

impl IntoOutcome for Result<Outcome> {
    fn into_outcome(self) -> Self {
        self
    }
}

impl IntoOutcome for Result<()> {
    fn into_outcome(self) -> Result<Outcome> {
        self.map(|()| Outcome::Done)
    }
}

/// What is done with a message.
#[derive(Debug)]
pub(super) enum Verdict {
    Done,
    /// Its effects were there already.
    Repeated,
    /// After this time, or when the policy says.
    Retry(Option<Duration>, Reason),
    Panicked(Reason),
    DeadLetter(Reason),
    /// The worker stopped before its handler had ended.
    CutOff,
}

/// Why a message was not done.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Reason {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<&Status> for Reason {
    fn from(status: &Status) -> Self {
        Self::new(status.code(), status.message())
    }
}

impl From<Result<Outcome>> for Verdict {
    fn from(outcome: Result<Outcome>) -> Self {
        match outcome {
            Ok(Outcome::Done) => Self::Done,
            Ok(Outcome::Retry(after)) => {
                Self::Retry(Some(after), Reason::new(Code::Unknown, "its handler asked for another attempt"))
            }
            Ok(Outcome::DeadLetter(reason)) => Self::DeadLetter(Reason::new(Code::Unknown, reason)),
            Err(status) if is_final(status.code()) => Self::DeadLetter(Reason::from(&status)),
            Err(status) => Self::Retry(status.retry_delay(), Reason::from(&status)),
        }
    }
}

/// Whether an error of this code will be the same next time.
fn is_final(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented | Code::DataLoss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_says_whether_another_attempt_can_help() {
        let dead = Code::ALL.into_iter().filter(|code| {
            matches!(Verdict::from(Err::<Outcome, _>(Status::new(*code, "no"))), Verdict::DeadLetter(_))
        });
        let dead: Vec<_> = dead.collect();
        assert_eq!(dead, [Code::InvalidArgument, Code::OutOfRange, Code::Unimplemented, Code::DataLoss]);
    }

    #[test]
    fn an_error_may_say_when_to_come_again() {
        let status = Status::unavailable("busy").with_retry_delay(Duration::from_secs(7));
        let verdict = Verdict::from(Err(status));
        assert!(matches!(verdict, Verdict::Retry(Some(after), _) if after == Duration::from_secs(7)), "{verdict:?}");
    }
}

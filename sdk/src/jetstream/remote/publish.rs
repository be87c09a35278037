//! [`Acknowledgement`]: whether and where a published message is stored.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Remote,
    requests::{Request, late},
    waiting::{Answer, Wants},
};
use crate::{
    BoxFuture, Code, Executed, Result, Status,
    bus::{Bus, Message, Subject},
    jetstream::{PublishAck, error},
    status::reason,
};

/// How long the broker may take to say whether a subject has a stream, after a publish went wrong.
const EXPLANATION: Duration = Duration::from_secs(1);

impl Remote<'_> {
    pub(in crate::jetstream) async fn publish(&self, mut message: Message) -> Result<Acknowledgement> {
        let subject = message.subject.clone();
        // Boxed, because only the first request of a connection has to wait for it.
        let requests = match self.bus.opened_requests() {
            Some(requests) => requests,
            None => Box::pin(self.bus.requests()).await?,
        };
        let (request, reply) = requests.enter(self.bus, Wants::PublishAck, &subject)?;
        message.reply = Some(reply);
        self.bus.publish(message).await?;
        Ok(Acknowledgement { subject, state: State::Waiting(request) })
    }
}

/// Whether and where a message is stored, when the server has said so.
pub(in crate::jetstream) struct Acknowledgement {
    subject: Subject,
    state: State,
}

enum State {
    Waiting(Request),
    /// There was no acknowledgement: why?
    Asking(BoxFuture<Status>),
    Told,
}

impl Future for Acknowledgement {
    type Output = Result<PublishAck>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        loop {
            let result = match &mut self.state {
                State::Waiting(request) => match ready!(request.poll(cx)) {
                    Answer::Stored(ack) => Ok(ack),
                    Answer::Failed(status) => Err(status),
                    silence @ (Answer::NoResponders | Answer::Late | Answer::Message(_)) => {
                        let heard = matches!(silence, Answer::NoResponders);
                        let why = explain(request.bus().clone(), self.subject.clone(), heard);
                        self.state = State::Asking(Box::pin(why));
                        continue;
                    }
                },
                State::Asking(why) => Err(ready!(why.as_mut().poll(cx))),
                State::Told => Err(error::polled_again()),
            };
            self.state = State::Told;
            return Poll::Ready(result);
        }
    }
}

/// Why there is no acknowledgement. `nobody`: the broker says that nobody listens to the subject, which
/// is so without a stream, and also while the stream has no leader. Silence is no proof that there is a
/// stream either: somebody else may listen to the subject.
pub(super) async fn explain(bus: Bus, subject: Subject, nobody: bool) -> Status {
    match timeout(EXPLANATION, Remote::new(&bus).streams_with(&subject)).await {
        Ok(Ok(streams)) if streams.is_empty() => error::no_stream(subject.as_str()),
        Ok(Err(status)) if status.code() == Code::FailedPrecondition => status,
        _ if nobody => {
            let message = format!("the stream of {subject} has no leader at the moment, or there is none");
            Status::made_here(Code::Unavailable, reason::STREAM_UNAVAILABLE, message).with_executed(Executed::No)
        }
        _ => late(&format!("a message for {subject}")),
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledgement").field("subject", &self.subject).finish_non_exhaustive()
    }
}

//! [`Ticket`]: by what a delivery is acknowledged.

use bytes::Bytes;

use super::{
    Remote, nanos,
    requests::{Request, late},
    waiting::Answer,
};
use crate::{
    Code, Executed, Result, Status,
    bus::{Message, Sending, Subject},
    jetstream::{Ack, Origin},
    status::reason,
};

/// By what a delivery is acknowledged: the subject that the server waits on.
#[derive(Clone)]
pub(crate) struct Ticket(pub(super) Subject);

impl Ticket {
    /// For a message that did not come from its consumer. By its place the server finds what is acknowledged, and
    /// looks at nothing else.
    pub(in crate::jetstream) fn new(origin: &Origin, sequence: u64) -> Self {
        Self(Subject::trusted(format!("$JS.ACK.{}.{}.1.{sequence}.0.0.0", origin.stream, origin.consumer)))
    }
}

impl<'a> Remote<'a> {
    pub(in crate::jetstream) fn ack(&self, ticket: &Ticket, ack: &Ack) -> Sending<'a> {
        self.bus.send(Message::new(ticket.0.clone(), payload(ack)))
    }

    pub(in crate::jetstream) async fn ack_done(&self, ticket: Ticket) -> Result<()> {
        self.bus.publish(Message::new(ticket.0, payload(&Ack::Done))).await
    }

    pub(in crate::jetstream) async fn ack_confirmed(&self, ticket: &Ticket, ack: &Ack) -> Result<()> {
        match Request::ask(self.bus, Message::new(ticket.0.clone(), payload(ack))).await? {
            Answer::Message(message) => confirmed(&message),
            Answer::Failed(status) => Err(status),
            Answer::NoResponders => {
                let message = "nobody takes the acknowledgement: the consumer is gone, or has no leader at the moment";
                let status = Status::made_here(Code::Unavailable, reason::STREAM_UNAVAILABLE, message);
                Err(status.with_executed(Executed::No))
            }
            Answer::Late | Answer::Stored(_) => Err(late("an acknowledgement")),
        }
    }
}

pub(super) fn payload(ack: &Ack) -> Bytes {
    match ack {
        Ack::Done => Bytes::from_static(b"+ACK"),
        Ack::Progress => Bytes::from_static(b"+WPI"),
        Ack::Retry(delay) => format!("-NAK {{\"delay\":{}}}", nanos::count(*delay)).into(),
        Ack::Term(reason) if reason.is_empty() => Bytes::from_static(b"+TERM"),
        Ack::Term(reason) => format!("+TERM {reason}").into(),
    }
}

/// The server confirms with an empty message. Anything else is no success.
fn confirmed(message: &Message) -> Result<()> {
    if message.status.is_none() && (message.payload.is_empty() || message.payload.starts_with(b"+")) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&message.payload);
    let message = format!("JetStream did not take the acknowledgement: {:?} {text}", message.status);
    Err(Status::made_here(Code::Unavailable, reason::REFUSED_BY_JETSTREAM, message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn acknowledgements_are_written_as_jetstream_reads_them() {
        for (ack, text) in [
            (Ack::Done, "+ACK"),
            (Ack::Progress, "+WPI"),
            (Ack::Retry(Duration::from_millis(1_500)), "-NAK {\"delay\":1500000000}"),
            (Ack::Term("poison".to_owned()), "+TERM poison"),
            (Ack::Term(String::new()), "+TERM"),
        ] {
            assert_eq!(payload(&ack), text, "{ack:?}");
        }
    }

    #[test]
    fn only_a_confirmation_confirms() {
        let message = |payload: &'static str| Message::new(Subject::from_static("_INBOX.a"), payload);
        assert!(confirmed(&message("")).is_ok());
        assert!(confirmed(&message("-ERR 'no'")).is_err());
        assert!(confirmed(&Message { status: Some(503), ..message("") }).is_err());
    }
}

//! Several messages that are published as one: all or none (ADR-50).

use std::future::poll_fn;

use super::{
    Remote,
    publish::explain,
    publish_ack::PublishAcks,
    requests::late,
    waiting::{Answer, Wants},
};
use crate::{
    Code, Executed, Result, Status,
    bus::Message,
    jetstream::{PublishAck, error, header},
    status::reason,
    wire::call_id::CallId,
};

/// Messages in one batch, a limit of the server.
const BATCH_MESSAGES: usize = 1_000;

impl Remote<'_> {
    pub(in crate::jetstream) async fn publish_batch(&self, messages: Vec<Message>) -> Result<PublishAck> {
        if messages.is_empty() || messages.len() > BATCH_MESSAGES {
            let message = format!("a batch has 1 to {BATCH_MESSAGES} messages, and not {}", messages.len());
            return Err(Status::invalid_argument(message).with_executed(Executed::No));
        }
        let id = CallId::random().to_string();
        let count = messages.len();
        for (mut message, number) in messages.into_iter().zip(1..) {
            message.headers.append(header::BATCH_ID, id.as_str());
            message.headers.append(header::BATCH_SEQUENCE, itoa::Buffer::new().format(number));
            if number == count {
                message.headers.append(header::BATCH_COMMIT, "1");
                return self.publish(message).await?.await;
            }
            let sent = match number {
                1 => self.begin(message).await,
                _ => self.bus.send(message).await,
            };
            // Nothing is stored before the end, so whatever fails until then has done nothing.
            sent.map_err(|status| status.with_executed(Executed::No))?;
        }
        Err(error::polled_again())
    }

    /// Sends the first message, and waits until the stream has accepted it: a server that does not
    /// know batches would store every message by itself, so it shall not get more than one.
    async fn begin(&self, mut first: Message) -> Result<()> {
        let subject = first.subject.clone();
        let (mut request, reply) = self.bus.requests().await?.enter(self.bus, Wants::Message, &subject)?;
        first.reply = Some(reply);
        self.bus.send(first).await?;
        match poll_fn(|cx| request.poll(cx)).await {
            Answer::Message(message) if message.payload.is_empty() => Ok(()),
            Answer::Message(message) => match PublishAcks::default().read(&message.payload) {
                Some(Err(status)) => Err(status),
                Some(Ok(ack)) => {
                    // Not all or none, but at least not some.
                    let _ = self.delete_message(&ack.stream, ack.sequence).await;
                    let message = "the server does not know batches: nats-server has them since 2.12";
                    Err(Status::made_here(Code::FailedPrecondition, reason::REFUSED_BY_JETSTREAM, message))
                }
                None => Err(Status::internal("a batch was answered by something that is no stream")),
            },
            Answer::NoResponders => Err(explain(self.bus.clone(), subject, true).await),
            Answer::Late => Err(explain(self.bus.clone(), subject, false).await),
            Answer::Failed(status) => Err(status),
            Answer::Stored(_) => Err(late("a batch")),
        }
    }
}

//! [`Reader`]: an answer, whole or as it grows.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Response, body::Incoming, header::CONTENT_TYPE};
use schemas::ai::llm::v1::FinishReason;
use tokio::time::{Instant, timeout_at};

use super::{events::Events, wire::Reply};
use crate::{
    limits,
    model::{Answer, End, Error, Piece, Pieces, Result},
};

/// How a stream says that it is complete.
const DONE: &[u8] = b"[DONE]";

/// Reads an answer to its end.
pub(super) async fn whole(response: Response<Incoming>) -> Result<Answer> {
    let body = Limited::new(response.into_body(), limits::ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => Error::Malformed(format!("more than {} bytes", limits::ANSWER_BYTES)),
        false => Error::BrokenOff(Some(error)),
    })?;
    let mut reply = parse(&body.to_bytes())?;
    let Some(choice) = reply.choices.first_mut() else {
        return Err(Error::Malformed("there is no choice".to_owned()));
    };
    let reason = choice.finish_reason().unwrap_or_default();
    let tokens = reply.usage.map_or(0, |usage| usage.total_tokens);
    Ok(Answer { text: choice.text(), end: End { reason, tokens } })
}

/// Reads an answer as it grows.
#[derive(Debug)]
pub(super) struct Reader {
    body: Incoming,
    events: Events,
    deadline: Instant,
    /// Why it ends, once that was said.
    reason: Option<FinishReason>,
    tokens: u32,
    ended: bool,
}

impl Reader {
    pub(super) fn new(response: Response<Incoming>, deadline: Instant) -> Result<Self> {
        let content_type = response.headers().get(CONTENT_TYPE).map_or(b"".as_slice(), |value| value.as_bytes());
        if !content_type.starts_with(b"text/event-stream") {
            let content_type = String::from_utf8_lossy(content_type);
            return Err(Error::Malformed(format!("expected a stream of events and got `{content_type}`")));
        }
        let body = response.into_body();
        Ok(Self { body, events: Events::default(), deadline, reason: None, tokens: 0, ended: false })
    }

    pub(super) fn into_pieces(self) -> Pieces {
        Box::pin(stream::try_unfold(self, async |mut reader| Ok(reader.next().await?.map(|piece| (piece, reader)))))
    }

    async fn next(&mut self) -> Result<Option<Piece>> {
        while !self.ended {
            let piece = match self.events.pop() {
                Some(event) => self.piece(&event)?,
                None => self.read().await?,
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// What an event adds to the answer, if it does.
    fn piece(&mut self, event: &[u8]) -> Result<Option<Piece>> {
        if event == DONE {
            return Ok(Some(self.end()));
        }
        let mut reply = parse(event)?;
        if let Some(usage) = reply.usage {
            self.tokens = usage.total_tokens;
        }
        let Some(choice) = reply.choices.first_mut() else { return Ok(None) };
        self.reason = choice.finish_reason().or(self.reason);
        let text = choice.text();
        Ok((!text.is_empty()).then_some(Piece { text, end: None }))
    }

    /// Reads on, until the answer is complete, which not every endpoint says with an event.
    async fn read(&mut self) -> Result<Option<Piece>> {
        let frame = timeout_at(self.deadline, self.body.frame()).await.map_err(|_| Error::Timeout)?;
        match frame {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_else(|_| Bytes::new());
                self.events.push(&data)?;
                Ok(None)
            }
            Some(Err(error)) => Err(Error::BrokenOff(Some(error.into()))),
            None if self.reason.is_some() => Ok(Some(self.end())),
            None => Err(Error::BrokenOff(None)),
        }
    }

    fn end(&mut self) -> Piece {
        self.ended = true;
        let reason = self.reason.unwrap_or_default();
        Piece { text: String::new(), end: Some(End { reason, tokens: self.tokens }) }
    }
}

fn parse(json: &[u8]) -> Result<Reply> {
    // Of the cause only the place: its text may quote the answer.
    let reply: Reply = serde_json::from_slice(json)
        .map_err(|error| Error::Malformed(format!("not the JSON of an answer, see column {}", error.column())))?;
    match reply.error {
        // After a 200 it is too late for a status, so this is how an endpoint gives up.
        Some(failure) => {
            tracing::warn!(message = failure.message, "the endpoint gives up");
            Err(Error::BrokenOff(None))
        }
        None => Ok(reply),
    }
}

//! [`call`]: a request to JetStream's API, which speaks JSON.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    requests::{Request, late},
    waiting::Answer,
};
use crate::{
    Code, Executed, Result, Status,
    bus::{Bus, Message, Subject},
    jetstream::error,
    status::reason,
};

/// What the subjects of the API begin with.
pub(super) const PREFIX: &str = "$JS.API.";

/// Asks JetStream: `call(bus, "STREAM.INFO.orders", &())`.
pub(super) async fn call<T: DeserializeOwned>(bus: &Bus, verb: &str, request: &impl Serialize) -> Result<T> {
    let payload = serde_json::to_vec(request).map_err(|error| Status::internal("not JSON").with_source(error))?;
    // The API refuses a payload where it wants none.
    let payload = if payload == b"null" { Vec::new() } else { payload };
    let subject = Subject::trusted(format!("{PREFIX}{verb}"));
    match Request::ask(bus, Message::new(subject, payload)).await? {
        Answer::Message(message) => read(verb, &message.payload),
        Answer::NoResponders => Err(no_jetstream()),
        Answer::Failed(status) => Err(status),
        Answer::Late | Answer::Stored(_) => Err(late(verb)),
    }
}

fn read<T: DeserializeOwned>(verb: &str, payload: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Envelope {
        error: Option<Refusal>,
    }
    match serde_json::from_slice(payload) {
        Ok(Envelope { error: Some(refusal) }) => Err(refusal.status()),
        Ok(Envelope { error: None }) => serde_json::from_slice(payload).map_err(|error| malformed(verb, error)),
        Err(error) => Err(malformed(verb, error)),
    }
}

fn malformed(verb: &str, error: serde_json::Error) -> Status {
    Status::internal(format!("the answer of JetStream to {verb} cannot be read: {error}")).with_source(error)
}

/// Why JetStream refuses.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default, rename = "err_code")]
    number: u32,
    #[serde(default)]
    description: String,
}

impl Refusal {
    pub(super) fn status(&self) -> Status {
        error::refused(self.number, self.code, &self.description)
    }
}

/// For an answer of which only the success counts.
#[derive(Debug, Deserialize)]
pub(super) struct Success {}

/// The status of a broker without streams.
fn no_jetstream() -> Status {
    let message = "the broker has no streams: it runs without JetStream, or this account may not use it";
    Status::made_here(Code::FailedPrecondition, reason::NO_JETSTREAM, message).with_executed(Executed::No)
}

/// One page of a list, of which the API gives as much as it likes.
pub(super) trait Page {
    /// How many there are in all, and how many are on this page.
    fn extent(&self) -> (usize, usize);
}

/// Asks for one page after the other; `request` makes the request for the page that begins at an offset.
pub(super) async fn pages<P, R>(
    bus: &Bus,
    verb: &str,
    request: impl Fn(usize) -> R,
    mut take: impl FnMut(P),
) -> Result<()>
where
    P: DeserializeOwned + Page,
    R: Serialize,
{
    let mut offset = 0;
    loop {
        let page: P = call(bus, verb, &request(offset)).await?;
        let (total, here) = page.extent();
        take(page);
        offset += here;
        // An empty page ends it, whatever the total says: something was deleted meanwhile.
        if here == 0 || offset >= total {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_value_or_a_refusal() {
        #[derive(Debug, Deserialize)]
        struct Purged {
            purged: u64,
        }
        let purged: Purged = read("X", br#"{"type":"t","success":true,"purged":3,"new":{}}"#).expect("a value");
        assert_eq!(purged.purged, 3);
        for (payload, code) in [
            (&br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#[..], Code::NotFound),
            (br#"{"error":{}}"#, Code::InvalidArgument),
            (br#"{"purged":"three"}"#, Code::Internal),
            (b"", Code::Internal),
        ] {
            assert_eq!(read::<Purged>("X", payload).expect_err("no value").code(), code);
        }
    }
}

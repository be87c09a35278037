//! [`DeadLetters`]: messages that were set aside.

mod burial;
mod letter;
mod replay;

use std::borrow::Cow;

pub(crate) use self::burial::Burial;
pub use self::{
    letter::DeadLetter,
    replay::{ReplayLetters, Replays},
};
use crate::{
    Code, ConsumerSpec, Discard, Events, Executed, PublishAck, Result, Retention, Status, StreamSpec,
    bus::Bus,
    jetstream::{Get, JetStream, Purge},
    limits,
    status::reason,
};

/// The stream of the dead letters, unless somebody says otherwise.
const STREAM: &str = "dead-letters";

/// The first token of their subjects.
const PREFIX: &str = "dlq";

/// Messages that workers set aside: to list, to look at, to publish again, to throw away.
///
/// A [`Worker`](crate::Worker) writes them into the stream `dead-letters`, on the subject
/// `dlq.<stream>.<consumer>`, with their bytes and headers and with why. They stay until somebody takes
/// them out: the stream has no age, and when it is full it refuses more, which keeps the worker from
/// letting go of its message. A clone is one atomic increment.
///
/// ```
/// # use subwire::{Bus, DeadLetters, Letters, Result};
/// # async fn example(bus: &Bus) -> Result<()> {
/// let letters = DeadLetters::new(bus);
/// let mut list = letters.list(Letters::from_stream("agent-messages")).await?;
/// while let Some(letter) = list.next().await.transpose()? {
///     println!("{} after {} attempts: {}", letter.subject, letter.attempts, letter.reason);
///     letters.replay(letter.place).await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct DeadLetters {
    streams: JetStream,
    stream: Cow<'static, str>,
}

impl DeadLetters {
    /// Those in the stream `dead-letters`.
    pub fn new(bus: &Bus) -> Self {
        Self { streams: JetStream::new(bus), stream: Cow::Borrowed(STREAM) }
    }

    /// Those in another stream: what [`WorkerBuilder::dead_letters`](crate::WorkerBuilder::dead_letters) was
    /// told.
    #[must_use]
    pub fn in_stream(mut self, stream: impl Into<Cow<'static, str>>) -> Self {
        self.stream = stream.into();
        self
    }

    /// The stream that a worker makes when there is none: at most 1,000,000 letters, in a file, with as
    /// many replicas as the stream that they come from.
    pub fn spec() -> StreamSpec {
        StreamSpec {
            description: Cow::Borrowed("what workers set aside"),
            max_messages: Some(limits::DEAD_LETTERS),
            // A letter that is dropped for a newer one is a message lost.
            discard: Discard::New,
            duplicate_window: Some(limits::DEAD_LETTER_WINDOW),
            allow_direct: true,
            ..StreamSpec::new(STREAM, [format!("{PREFIX}.*.*")])
        }
    }

    /// Those of these letters that are there now, the oldest first.
    ///
    /// # Errors
    /// As those of reading a stream. Where there is no stream there are no letters: no error.
    pub async fn list(&self, letters: Letters) -> Result<LetterList> {
        let last = if_there(self.streams.stream_info(&self.stream).await)?.map_or(0, |info| info.last_sequence);
        let subject = letters.subject().unwrap_or_else(|| ">".to_owned());
        Ok(LetterList { letters: self.clone(), subject, next: 1, last })
    }

    /// The letter in this place.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none; `DATA_LOSS` when what lies there is none.
    pub async fn show(&self, place: u64) -> Result<DeadLetter> {
        let letter = self.first_part(place).await?;
        self.whole(letter).await
    }

    /// Publishes the message of a letter again, as it was, and takes out the letter when a stream has
    /// stored the message.
    ///
    /// Every consumer of that stream gets it, also those that had done it. Its id is another one, or the
    /// stream might take it for what it has already; its other `Nats-*` headers, which were orders to the
    /// broker, are left out. A message that fills what a broker takes has no room for that id: where the answer is
    /// lost and it is replayed again, the stream may have it twice.
    ///
    /// # Errors
    /// As [`show`](Self::show) and [`Events::publish`]; the letter is still there. Where
    /// [`executed`](Status::executed) says `Yes`, its message is stored, and only the letter could not be taken out:
    /// to replay it again soon does just that, as long as the stream knows the id. `FAILED_PRECONDITION`, reason
    /// `CONSUMER_NOT_FOUND`: its stream keeps only what a consumer waits for, and none waits for this.
    pub async fn replay(&self, place: u64) -> Result<PublishAck> {
        let letter = self.show(place).await?;
        self.publish_again(&letter).await
    }

    /// Publishes the messages of all these letters again, when it is awaited: those that are there now, the
    /// oldest first.
    pub fn replay_all(&self, letters: Letters) -> ReplayLetters {
        ReplayLetters::new(self.clone(), letters)
    }

    /// Throws a letter away. The second part of a large one is left behind where the connection is lost meanwhile:
    /// no list has it, and [`purge`](Self::purge) takes it out.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none.
    pub async fn remove(&self, place: u64) -> Result<()> {
        let letter = self.first_part(place).await?;
        self.take_out(&letter).await
    }

    /// Throws all these letters away; says how many messages of the stream that were.
    ///
    /// # Errors
    /// As those of changing a stream. Where there is no stream there are no letters: no error.
    pub async fn purge(&self, letters: Letters) -> Result<u64> {
        let purge = Purge { subject: letters.subject(), ..Purge::default() };
        Ok(if_there(self.streams.purge_stream(&self.stream, &purge).await)?.unwrap_or(0))
    }

    async fn first_part(&self, place: u64) -> Result<DeadLetter> {
        let stored = self.streams.get_message(&self.stream, &Get::Sequence(place), false).await?;
        stored.and_then(DeadLetter::from_stored).ok_or_else(|| absent(place))?
    }

    /// With the rest of it, if that lies elsewhere.
    async fn whole(&self, mut letter: DeadLetter) -> Result<DeadLetter> {
        if let Some(rest) = letter.rest {
            let found = self.streams.get_message(&self.stream, &Get::Sequence(rest), false).await?;
            let Some(found) = found else {
                let message = format!("the letter in place {} has lost its second part, place {rest}", letter.place);
                return Err(Status::made_here(Code::DataLoss, reason::MESSAGE_NOT_FOUND, message));
            };
            letter.join(&found.message)?;
        }
        Ok(letter)
    }

    async fn publish_again(&self, letter: &DeadLetter) -> Result<PublishAck> {
        self.check_interest(letter).await?;
        let events = Events::new(self.streams.bus());
        let mut marks = letter.marks(&self.stream);
        let ack = loop {
            match events.publish(letter.replayed(&marks)).await {
                // It had the room that they take.
                Err(status) if is_too_large(&status) && marks.pop().is_some() => {}
                ack => break ack?,
            }
        };
        // Whatever this says, the message is on its way again.
        self.take_out(letter).await.map_err(|status| status.with_executed(Executed::Yes))?;
        Ok(ack)
    }

    /// Refuses what its stream would acknowledge and not keep, unless that may not be asked.
    async fn check_interest(&self, letter: &DeadLetter) -> Result<()> {
        match self.is_wanted(letter).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let (stream, subject) = (&letter.stream, &letter.subject);
                let message = format!("no consumer of {stream} waits for {subject}, and the stream keeps nothing else");
                let status = Status::made_here(Code::FailedPrecondition, reason::CONSUMER_NOT_FOUND, message);
                Err(status.with_executed(Executed::No))
            }
            Err(status) if status.code() == Code::PermissionDenied => {
                tracing::warn!(%status, "it is not known whether a stream keeps what is replayed");
                Ok(())
            }
            Err(status) => Err(status),
        }
    }

    async fn is_wanted(&self, letter: &DeadLetter) -> Result<bool> {
        let (stream, subject) = (&letter.stream, letter.subject.as_str());
        // Where it is gone another may take the subject by now: publishing tells.
        let info = if_there(self.streams.stream_info(stream).await)?;
        if info.is_none_or(|info| info.spec.retention != Retention::Interest) {
            return Ok(true);
        }
        for name in self.streams.consumer_names(stream).await? {
            let consumer = if_there(self.streams.consumer_info(stream, &name).await)?;
            if consumer.is_some_and(|consumer| consumer.spec.wants(subject)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rest goes last: alone it is no letter, and a letter without it would be an error for ever.
    async fn take_out(&self, letter: &DeadLetter) -> Result<()> {
        self.delete(letter.place).await?;
        if let Some(rest) = letter.rest
            && let Err(status) = self.delete(rest).await
        {
            let place = letter.place;
            tracing::warn!(%status, place, rest, "a dead letter is taken out, and its second part lies there still");
        }
        Ok(())
    }

    async fn delete(&self, place: u64) -> Result<()> {
        // Somebody else may have been quicker.
        if_there(self.streams.delete_message(&self.stream, place).await).map(drop)
    }
}

/// `None` for what is not there.
fn if_there<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

fn is_too_large(status: &Status) -> bool {
    matches!(status.reason().as_deref(), Some(reason::TOO_LARGE_REQUEST | reason::TOO_LARGE_MESSAGE))
}

fn absent(place: u64) -> Status {
    let message = format!("there is no dead letter in place {place}");
    Status::made_here(Code::NotFound, reason::MESSAGE_NOT_FOUND, message)
}

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letters {
    stream: Option<String>,
    consumer: Option<String>,
}

impl Letters {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// What came from this stream.
    pub fn from_stream(stream: impl Into<String>) -> Self {
        Self { stream: Some(stream.into()), consumer: None }
    }

    /// What this consumer could not do.
    pub fn of(consumer: &ConsumerSpec) -> Self {
        Self { stream: Some(consumer.stream.to_string()), consumer: Some(consumer.name.to_string()) }
    }

    fn subject(&self) -> Option<String> {
        let token = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".to_owned());
        (*self != Self::all()).then(|| format!("{PREFIX}.{}.{}", token(&self.stream), token(&self.consumer)))
    }
}

/// Dead letters, one after another. One at a time is in memory.
#[derive(Debug)]
pub struct LetterList {
    letters: DeadLetters,
    subject: String,
    /// Where to look next.
    next: u64,
    /// What is written behind this is left for the next list, or one could go on for ever.
    last: u64,
}

impl LetterList {
    /// The next one; `None` when there are no more. Cancel-safe.
    ///
    /// What lies there and is no letter is an error (`DATA_LOSS`); the next one may be well.
    pub async fn next(&mut self) -> Option<Result<DeadLetter>> {
        while self.next <= self.last {
            let get = Get::Next { from: self.next, subject: self.subject.clone() };
            // Not by a consumer: it would wait for letters that somebody else takes out meanwhile.
            let stored = match self.letters.streams.get_message(&self.letters.stream, &get, false).await {
                Ok(Some(stored)) if stored.sequence <= self.last => stored,
                Ok(_) => break,
                Err(status) if status.code() == Code::NotFound => break,
                // It would be the same the next time, and the time after.
                Err(status) => {
                    self.next = u64::MAX;
                    return Some(Err(status));
                }
            };
            let place = stored.sequence;
            let letter = match DeadLetter::from_stored(stored) {
                Some(Ok(letter)) => self.letters.whole(letter).await,
                Some(Err(status)) => Err(status),
                None => {
                    self.next = place + 1;
                    continue;
                }
            };
            self.next = place + 1;
            return Some(letter);
        }
        self.next = u64::MAX;
        None
    }
}

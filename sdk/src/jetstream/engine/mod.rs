//! [`Engine`]: streams in this process, with the semantics of JetStream.

mod advisory;
mod answer;
mod asks;
mod batch;
mod clock;
mod consumer;
mod consumers;
mod dedup;
mod deliveries;
mod intake;
mod log;
mod packed;
mod pending;
mod purge;
mod refusal;
mod replay;
mod republish;
mod rules;
mod store;
mod stream;
mod subjects;
mod ttl;
mod wants;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

pub(crate) use self::{
    answer::Stored,
    deliveries::{Deliveries, Done, Ticket},
    stream::Stream,
};
use self::{clock::Clock, refusal::Refusal};
use super::{
    Action, ConsumerInfo, ConsumerSpec, Get, PublishAck, Pull, Purge, StoredMessage, StreamInfo, StreamSpec,
    error::{self, number},
};
use crate::{
    Executed, Result, Status,
    bus::{Message, Router},
    wire::pattern,
};

/// Messages in one batch, a limit of the server.
const BATCH_MESSAGES: usize = 1_000;

/// The streams of an in-memory bus.
pub(crate) struct Engine {
    router: Arc<Router>,
    clock: Arc<Clock>,
    streams: RwLock<Streams>,
}

type Streams = BTreeMap<Arc<str>, Arc<Stream>>;

impl Engine {
    pub(crate) fn new(router: &Arc<Router>) -> Self {
        Self { router: router.clone(), clock: Arc::new(Clock::new()), streams: RwLock::default() }
    }

    fn stream(&self, name: &str) -> Result<Arc<Stream>> {
        self.router.check_open()?;
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(name).cloned().ok_or_else(|| Refusal::stream_not_found().into())
    }

    pub(crate) fn publish(&self, message: &Message) -> Result<PublishAck> {
        self.router.check(message)?;
        match self.router.deliver(Cow::Borrowed(message)).stored {
            Some(stored) => stored.into_ack(),
            None => Err(error::no_stream(message.subject.as_str())),
        }
    }

    pub(crate) fn publish_batch(&self, messages: Vec<Message>) -> Result<PublishAck> {
        let Some(first) = messages.first().filter(|_| messages.len() <= BATCH_MESSAGES) else {
            let message = format!("a batch has 1 to {BATCH_MESSAGES} messages, and not {}", messages.len());
            return Err(Status::invalid_argument(message).with_executed(Executed::No));
        };
        messages.iter().try_for_each(|message| self.router.check(message))?;
        let subject = first.subject.as_str();
        let stream = self.router.stream(subject).ok_or_else(|| error::no_stream(subject))?;
        let is_its = |message: &Message| {
            self.router.stream(message.subject.as_str()).is_some_and(|other| Arc::ptr_eq(&stream, &other))
        };
        if !messages.iter().all(is_its) {
            return Err(Refusal::new(number::BATCH_INCOMPLETE, 400, "atomic publish batch is incomplete").into());
        }
        let mut stored = stream.publish_batch(&messages);
        let copies = stored.take_copies();
        messages.into_iter().for_each(|message| self.router.pass(message));
        copies.into_iter().for_each(|copy| self.router.post(copy));
        stored.into_ack()
    }

    pub(crate) fn create_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        self.router.check_open()?;
        let spec = rules::stream(spec)?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(spec.name.as_ref()) {
            return stream.with(|state, _| match state.spec == spec {
                true => Ok(state.info()),
                false => {
                    let why = "stream name already in use with a different configuration";
                    Err(Refusal::new(number::STREAM_NAME_EXISTS, 400, why).into())
                }
            });
        }
        check_overlap(&streams, &spec)?;
        let subjects = spec.subjects.clone();
        let stream = Arc::new(Stream::new(spec, &self.clock, &self.router));
        streams.insert(stream.name.clone(), stream.clone());
        self.router.store(&stream, &subjects, &[""; 0]);
        Ok(stream.with(|state, _| state.info()))
    }

    pub(crate) fn update_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        let spec = rules::stream(spec)?;
        let stream = self.stream(&spec.name)?;
        let streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        check_overlap(&streams, &spec)?;
        let subjects = spec.subjects.clone();
        let old = stream.with(|state, _| {
            rules::stream_change(&state.spec, &spec)?;
            let old = state.spec.subjects.clone();
            state.change(spec);
            Ok::<_, Status>(old)
        })?;
        self.router.store(&stream, &subjects, &old);
        Ok(stream.with(|state, _| state.info()))
    }

    pub(crate) fn stream_info(&self, stream: &str) -> Result<StreamInfo> {
        Ok(self.stream(stream)?.with(|state, _| state.info()))
    }

    pub(crate) fn stream_names(&self) -> Vec<String> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.keys().map(|name| name.to_string()).collect()
    }

    pub(crate) fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<(String, u64)>> {
        Ok(self.stream(stream)?.with(|state, _| state.subjects(filter)))
    }

    pub(crate) fn delete_stream(&self, stream: &str) -> Result<()> {
        self.router.check_open()?;
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = streams.remove(stream) else { return Err(Refusal::stream_not_found().into()) };
        let subjects = stream.with(|state, _| state.spec.subjects.clone());
        self.router.store(&stream, &[""; 0], &subjects);
        stream.end(Refusal::stream_not_found().into());
        Ok(())
    }

    pub(crate) fn purge_stream(&self, stream: &str, purge: &Purge) -> Result<u64> {
        self.stream(stream)?.with(|state, _| state.purge(purge))
    }

    pub(crate) fn get_message(&self, stream: &str, get: &Get) -> Result<Option<StoredMessage>> {
        self.stream(stream)?.with(|state, _| state.get(get))
    }

    pub(crate) fn delete_message(&self, stream: &str, sequence: u64) -> Result<()> {
        self.stream(stream)?.with(|state, _| state.delete(sequence))
    }

    pub(crate) fn put_consumer(&self, spec: &ConsumerSpec, action: Action) -> Result<ConsumerInfo> {
        let stream = self.stream(&spec.stream)?;
        stream.with(|state, now| state.put_consumer(&stream, spec, action, now))
    }

    pub(crate) fn consumer_info(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo> {
        self.stream(stream)?.with(|state, _| state.named(consumer).map(|consumer| consumer.info()))
    }

    pub(crate) fn consumer_names(&self, stream: &str) -> Result<Vec<String>> {
        let mut names = self.stream(stream)?.with(|state, _| {
            state.consumers.iter().map(|consumer| consumer.handle.origin.consumer.to_string()).collect::<Vec<_>>()
        });
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn delete_consumer(&self, stream: &str, consumer: &str) -> Result<()> {
        self.stream(stream)?.with(|state, _| state.delete_consumer(consumer))
    }

    pub(crate) fn pull(&self, stream: &str, consumer: &str, pull: Pull) -> Result<Deliveries> {
        let (handle, reader) = self.stream(stream)?.with(|state, _| state.come(consumer))?;
        Ok(Deliveries::new(handle, reader, pull))
    }
}

/// No two streams may store one subject.
fn check_overlap(streams: &Streams, spec: &StreamSpec) -> Result<()> {
    for stream in streams.values().filter(|stream| *stream.name != *spec.name) {
        let meets = stream.with(|state, _| {
            let mut pairs = state.spec.subjects.iter().flat_map(|one| spec.subjects.iter().map(move |two| (one, two)));
            pairs.any(|(one, two)| pattern::overlap(one, two))
        });
        if meets {
            let why = "subjects overlap with an existing stream";
            return Err(Refusal::new(number::STREAM_OVERLAP, 400, why).into());
        }
    }
    Ok(())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("streams", &self.stream_names()).finish_non_exhaustive()
    }
}

//! [`IntoHandler`]: what can handle the messages of a consumer.

use std::{
    any::{Any, TypeId, type_name},
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    sync::Arc,
};

use foldhash::fast::FixedState;

use super::{
    Delivery,
    outcome::{IntoOutcome, Reason, Verdict},
};
use crate::{BoxFuture, Code, Event, Result, bus::Message, event::malformed};

/// What a handler takes beside the [`Delivery`]: an [`Event`], or the bare [`Message`].
pub trait Payload: Send + Sync + Sized + 'static {
    /// What it is called, for people.
    fn name() -> &'static str;

    /// Whether a message on this subject is one.
    fn is_on(subject: &str) -> bool;

    /// Makes one of a message.
    ///
    /// # Errors
    /// `DATA_LOSS` when it cannot be decoded.
    fn from_message(message: &Message) -> Result<Self>;
}

impl<E: Event> Payload for E {
    fn name() -> &'static str {
        E::INFO.name
    }

    fn is_on(subject: &str) -> bool {
        E::INFO.matches(subject)
    }

    fn from_message(message: &Message) -> Result<Self> {
        E::decode(message.payload.clone()).map_err(|error| malformed::<E>(&message.subject, error))
    }
}

impl Payload for Message {
    fn name() -> &'static str {
        "a message"
    }

    fn is_on(_: &str) -> bool {
        true
    }

    fn from_message(message: &Message) -> Result<Self> {
        Ok(message.clone())
    }
}

/// What can handle the messages of a consumer: an async function or closure of a [`Delivery`] and an
/// [`Event`] (or a bare [`Message`]), or a [`Dispatch`](super::Dispatch) of several.
///
/// A closure is cloned for each message, so what it captures should be cheap to clone, as clients, a
/// [`Bus`](crate::Bus) and an `Arc` are. It returns what [`IntoOutcome`] takes.
pub trait IntoHandler<Kind> {
    /// The handler.
    fn into_handler(self) -> Handler;
}

/// A handler, whatever it takes.
#[derive(Clone)]
pub struct Handler(pub(super) Arc<dyn Handle>);

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names = Vec::new();
        self.0.each(&mut |payload| names.push(payload.name));
        f.debug_tuple("Handler").field(&names).finish()
    }
}

impl<F, P, Fut> IntoHandler<fn(P)> for F
where
    F: FnOnce(Delivery, P) -> Fut + Clone + Send + Sync + 'static,
    P: Payload,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    fn into_handler(self) -> Handler {
        Handler(Arc::new(One { handle: self, payload: PhantomData }))
    }
}

/// What a handler does, whatever it takes.
pub(super) trait Handle: Send + Sync {
    /// Tells of each kind that it takes.
    fn each(&self, tell: &mut dyn FnMut(PayloadInfo));

    /// Decodes a message. `None`: it is none for this one.
    fn prepare(&self, delivery: &Delivery, keys: &Keys) -> Option<Result<Prepared, Reason>>;
}

/// What a handler takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayloadInfo {
    pub(super) name: &'static str,
    pub(super) id: TypeId,
}

/// A message that is decoded, and what will be done with it. Nothing has begun.
pub(super) struct Prepared {
    /// Of messages with the same key one is handled after another.
    pub(super) key: Option<u64>,
    pub(super) work: BoxFuture<Verdict>,
}

struct One<F, P> {
    handle: F,
    payload: PhantomData<fn(P)>,
}

impl<F, P, Fut> Handle for One<F, P>
where
    F: FnOnce(Delivery, P) -> Fut + Clone + Send + Sync + 'static,
    P: Payload,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    fn each(&self, tell: &mut dyn FnMut(PayloadInfo)) {
        tell(PayloadInfo { name: P::name(), id: TypeId::of::<P>() });
    }

    fn prepare(&self, delivery: &Delivery, keys: &Keys) -> Option<Result<Prepared, Reason>> {
        if !P::is_on(delivery.subject().as_str()) {
            return None;
        }
        let payload = match P::from_message(delivery.message()) {
            Ok(payload) => payload,
            Err(status) => return Some(Err(Reason::from(&status))),
        };
        let (key, handle, delivery) = (keys.of(&payload), self.handle.clone(), delivery.clone());
        // The closure itself runs inside, where a panic is caught.
        let work = Box::pin(async move { Verdict::from(handle(delivery, payload).await.into_outcome()) });
        Some(Ok(Prepared { key, work }))
    }
}

/// By what the messages of a worker are kept in order.
#[derive(Clone, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    payload: PayloadInfo,
    of: Arc<KeyOf>,
}

/// The key of a payload, if it is of the kind that has one.
type KeyOf = dyn Fn(&dyn Any) -> Option<u64> + Send + Sync;

impl Keys {
    /// Keeps those payloads in order that have the same key.
    pub(super) fn add<P: Payload, K: Hash>(&mut self, key: impl Fn(&P) -> K + Send + Sync + 'static) {
        let hasher = FixedState::default();
        let of = move |payload: &dyn Any| payload.downcast_ref::<P>().map(|payload| hasher.hash_one(key(payload)));
        let payload = PayloadInfo { name: type_name::<P>(), id: TypeId::of::<P>() };
        self.0.push(Key { payload, of: Arc::new(of) });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One whose payload the handler does not take.
    pub(super) fn stray(&self, handler: &dyn Handle) -> Option<&'static str> {
        let mut taken = Vec::new();
        handler.each(&mut |payload| taken.push(payload.id));
        self.0.iter().map(|key| key.payload).find(|payload| !taken.contains(&payload.id)).map(|payload| payload.name)
    }

    fn of<P: Payload>(&self, payload: &P) -> Option<u64> {
        self.0.iter().find(|key| key.payload.id == TypeId::of::<P>()).and_then(|key| (key.of)(payload))
    }
}

/// Why a message that no handler takes is set aside.
pub(super) fn no_handler(delivery: &Delivery) -> Reason {
    Reason::new(Code::Unimplemented, format!("no handler takes what comes on {}", delivery.subject()))
}

//! Protobuf-first RPC and messaging over NATS, with an embedded in-memory bus.

#[doc(hidden)]
pub mod __codegen;
pub mod app;
mod backoff;
pub mod bus;
mod call;
mod channel;
mod context;
mod dead_letters;
pub mod details;
mod event;
mod jetstream;
mod kv;
mod layer;
pub mod limits;
mod message;
mod metadata;
mod method;
mod object;
mod replay;
mod rpc;
mod server;
mod status;
mod streaming;
mod streams;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;
mod worker;

use std::{future::Future, pin::Pin};

pub use self::{
    bus::Bus,
    call::{Call, FromResponse, IntoBody, Response, ResponseFuture},
    channel::{Channel, ChannelBuilder},
    context::{Context, Peer},
    dead_letters::{DeadLetter, DeadLetters, LetterList, Letters, ReplayLetters, Replays},
    event::{
        Event, EventFields, EventInfo, Events, Filter, Piece, Pipeline, Publish, Published, Received, Request,
        Subscribe, Subscriber, WhenSlow,
    },
    jetstream::{
        AckPolicy, ConsumerInfo, ConsumerSpec, Deliver, Discard, PublishAck, ReplayPolicy, Republish, Retention, Specs,
        Storage, StoredMessage, StreamInfo, StreamSpec,
    },
    kv::{Kv, KvChange, KvEntry, KvOperation, KvSpec, KvValue, KvWatch},
    message::{Batch, Batches, Body, Room, RpcRequest, RpcResponse},
    metadata::{Metadata, Value},
    method::{Idempotency, Kind, Method, NamedService, ServiceInfo},
    object::{Object, ObjectChange, ObjectInfo, ObjectLink, ObjectMeta, ObjectSpec, ObjectStore, ObjectWatch},
    replay::{Replay, ReplayBuilder, Replayed},
    server::{Running, Server, ServerBuilder},
    status::{Code, ERROR_DOMAIN, Executed, Result, Status, reason},
    streaming::{Sender, Streaming},
    streams::{Apply, Change, Difference, Plan, Step, Streams},
    worker::{
        Delivery, Dispatch, EffectKey, Effects, Handler, IntoHandler, IntoOutcome, Lag, MemoryEffects, Outcome,
        Payload, RunningWorker, StreamEffects, Worker, WorkerBuilder, WorkerCounts, WorkerGroup, WorkerMonitor,
        WorkerState,
    },
};

/// A future on the heap: what a server answers with.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Includes what `subwire-build` generated for one package: `subwire::include_proto!("ai.llm.v1")`.
///
/// For packages that import one another use [`include_protos!`].
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// Includes what `subwire-build` generated for every package, as modules named after them.
#[macro_export]
macro_rules! include_protos {
    () => {
        include!(concat!(env!("OUT_DIR"), "/subwire.rs"));
    };
}

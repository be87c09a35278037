//! A schema that keeps every rule: the one thing code, lock and documents are made from.

mod consumer;
mod event;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use prost_reflect::DescriptorPool;

use crate::externs::Externs;
use crate::place::Places;
use crate::source::Sources;

pub use self::consumer::{Consumer, Deliver, Replay};
pub use self::event::{Event, EventItems, FieldPath, Piece, SubjectField, Token, TokenKind};
pub use self::stream::{Discard, Republish, Retention, Storage, Stream};

/// Every package of the compiled files, checked.
///
/// Everything in it is owned and in a stable order, so that what is derived from it is the same
/// to the byte each time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Schema {
    /// The packages, sorted by name; the built-in ones (`google.*`, `subwire.v1`) are left out.
    pub packages: Vec<Package>,
    /// All descriptors, also those of imports, with custom options.
    pub pool: DescriptorPool,
    pub(crate) places: Places,
    pub(crate) externs: Externs,
    pub(crate) sources: Sources,
}

impl Schema {
    /// The services of all packages, sorted by package.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.packages.iter().filter_map(|package| package.service.as_ref())
    }

    /// The events of all packages, sorted by package.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.packages.iter().flat_map(|package| &package.events)
    }

    /// The streams of all packages, sorted by package.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.packages.iter().flat_map(|package| &package.streams)
    }

    /// The durable consumers of all packages, sorted by package.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.packages.iter().flat_map(|package| &package.consumers)
    }

    /// Where the user's files are: the inputs and what they import.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = self.packages.iter().flat_map(|package| &package.files);
        files.map(|name| self.sources.path_of(name))
    }
}

/// One protobuf package.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Package {
    /// `ai.llm.v1`; empty for files that name none.
    pub name: String,
    /// The files it is written in, as imports call them, sorted.
    pub files: Vec<String>,
    /// Its service, at most one.
    pub service: Option<Service>,
    /// Its messages with the nested ones, without map entries.
    pub messages: Vec<Message>,
    /// Its enums with the nested ones.
    pub enums: Vec<Enum>,
    /// Its events, in the order of the files.
    pub events: Vec<Event>,
    /// The streams that its files declare, in their order.
    pub streams: Vec<Stream>,
    /// The durable consumers that its files declare, in their order.
    pub consumers: Vec<Consumer>,
    /// The modules with what its files declare.
    pub rust: PackageItems,
}

/// The names of what is generated for the streams and consumers of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackageItems {
    /// The module of streams: `stream`.
    pub streams: String,
    /// The module of consumers: `consumer`.
    pub consumers: String,
}

/// A service and how it is called, on the bus and in Rust.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Service {
    /// `LlmService`
    pub name: String,
    /// `ai.llm.v1.LlmService`
    pub full_name: String,
    /// What its subjects start with: `svc.ai.llm.v1`.
    pub subject: String,
    /// A SemVer version.
    pub version: String,
    /// One line.
    pub description: String,
    /// The comment, as rustdoc lines.
    pub comment: Vec<String>,
    /// Whether `option deprecated = true` is set.
    pub deprecated: bool,
    /// The methods, in the order of the file.
    pub methods: Vec<Method>,
    /// Its items in the generated code.
    pub rust: ServiceItems,
}

/// The names of what is generated for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceItems {
    /// The trait: `LlmService`.
    pub handler: String,
    /// `LlmClient`
    pub client: String,
    /// `LlmServer`
    pub server: String,
    /// The module of method statics: `method`.
    pub module: String,
}

/// One method of a service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Method {
    /// `StreamInfer`
    pub name: String,
    /// `ai.llm.v1.LlmService/StreamInfer`
    pub path: String,
    /// `svc.ai.llm.v1.stream_infer`
    pub subject: String,
    /// How many messages flow each way.
    pub kind: Kind,
    /// Whether doing it twice is like doing it once.
    pub idempotency: Idempotency,
    /// The option `(subwire.v1.method).timeout`: more than nothing, up to an hour.
    pub timeout: Option<Duration>,
    /// The message type of requests.
    pub request: TypeRef,
    /// The message type of responses.
    pub response: TypeRef,
    /// The comment, as rustdoc lines.
    pub comment: Vec<String>,
    /// Whether `option deprecated = true` is set.
    pub deprecated: bool,
    /// The function in the trait: `stream_infer`, `r#type`.
    pub function: String,
    /// The function of the client: the same, except that it gives way to `new`, `clone`, `into`
    /// and `try_into`, which every client has.
    pub client_function: String,
    /// The static in the module of methods: `STREAM_INFER`.
    pub constant: String,
}

/// A message type, as protobuf and as Rust know it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeRef {
    /// `ai.llm.v1.InferRequest`
    pub proto: String,
    /// The path from the package's module: `InferRequest`, `super::super::common::v1::Page`.
    pub rust: String,
}

/// How many messages flow each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    BidiStreaming,
}

/// The method option `idempotency_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Idempotency {
    Unknown,
    NoSideEffects,
    Idempotent,
}

/// A message and its fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Message {
    /// `ai.llm.v1.InferRequest`
    pub name: String,
    /// In the order of the file.
    pub fields: Vec<Field>,
}

/// One field of a message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Field {
    /// `prompt`
    pub name: String,
    /// Its number on the wire.
    pub number: u32,
    /// `string`, `ai.llm.v1.Part`, `map<string,int32>`.
    pub kind: String,
    /// How often it occurs.
    pub label: Label,
}

/// How often a field occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Label {
    Singular,
    Optional,
    Repeated,
    Map,
    /// At most one field of the named group is set.
    Oneof(String),
}

/// An enum and its values.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Enum {
    /// `ai.llm.v1.Role`
    pub name: String,
    /// Names and numbers, in the order of the file.
    pub values: Vec<(String, i32)>,
}

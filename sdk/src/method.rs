//! What is known about a service before any call is made: [`Method`] and [`ServiceInfo`].

use std::time::Duration;

use crate::{BoxFuture, Result, RpcRequest, RpcResponse};

/// How many messages flow each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One in, one out.
    Unary,
    /// One in, many out.
    ServerStreaming,
    /// Many in, one out.
    ClientStreaming,
    /// Many in, many out, in any order.
    BidiStreaming,
}

impl Kind {
    /// Whether the caller sends a stream.
    pub fn streams_requests(self) -> bool {
        matches!(self, Self::ClientStreaming | Self::BidiStreaming)
    }

    /// Whether the service sends a stream.
    pub fn streams_responses(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::BidiStreaming)
    }
}

/// Whether doing it twice is like doing it once: the method option `idempotency_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// The schema does not say, so it is not.
    Unknown,
    /// It only reads.
    NoSideEffects,
    /// It writes, and writing again changes nothing.
    Idempotent,
}

/// One method of a service, as its schema describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The service: `ai.llm.v1.LlmService`.
    pub service: &'static str,
    /// The method as the schema spells it: `StreamInfer`.
    pub name: &'static str,
    /// Both: `ai.llm.v1.LlmService/StreamInfer`.
    pub path: &'static str,
    /// Where requests go: `svc.ai.llm.v1.stream_infer`.
    pub subject: &'static str,
    /// How many messages flow each way.
    pub kind: Kind,
    /// Whether it may be tried again.
    pub idempotency: Idempotency,
    /// How long a call may take, from the option `(subwire.v1.method).timeout`.
    pub timeout: Option<Duration>,
    /// The message type of requests: `ai.llm.v1.StreamInferRequest`.
    pub request: &'static str,
    /// The message type of responses.
    pub response: &'static str,
}

impl Method {
    /// The timeout of a call that sets none: the schema's, else 10 s for a unary call, else none.
    pub fn default_timeout(&self) -> Option<Duration> {
        match self.kind {
            Kind::Unary => Some(self.timeout.unwrap_or(crate::limits::UNARY_TIMEOUT)),
            _ => self.timeout,
        }
    }
}

/// One service, as its schema describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// The full name: `ai.llm.v1.LlmService`.
    pub name: &'static str,
    /// What its subjects start with: `svc.ai.llm.v1`.
    pub subject: &'static str,
    /// A SemVer version.
    pub version: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Its methods, in the order of the schema.
    pub methods: &'static [&'static Method],
    /// The schema: an encoded `google.protobuf.FileDescriptorSet` with all imports.
    pub descriptor_set: &'static [u8],
}

/// A server whose service is known: what generated servers are.
pub trait NamedService: Send + Sync + 'static {
    /// The service.
    const SERVICE: &'static ServiceInfo;

    /// Answers a call of one of its methods.
    fn answer(&self, request: RpcRequest) -> BoxFuture<Result<RpcResponse>>;
}

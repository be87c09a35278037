//! What tests need beside the code under test: a real nats-server that starts, stops and dies.

mod nats_server;

pub use self::nats_server::{NatsServer, NatsServerBuilder};

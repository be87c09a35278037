//! What tests need beside the code under test: a real PostgreSQL that starts, stops and dies.

mod account;
mod postgres_server;

pub use self::postgres_server::{PostgresServer, PostgresServerBuilder};

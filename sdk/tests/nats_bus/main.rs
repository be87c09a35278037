//! The bus on a real nats-server: what NATS does, and what must survive it.

mod credentials;
mod limits;
mod messages;
mod servers;
mod support;
mod tls;

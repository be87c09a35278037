//! Every program, run for real: on the bus in memory and on a nats-server.

mod program;
mod services;
mod systems;

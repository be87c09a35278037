//! Calls over a bus: what a client and a server say to each other. PROTOCOL.md has the rules.

pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod inbox;
pub(crate) mod incoming;
pub(crate) mod message_limit;
pub(crate) mod outgoing;
pub(crate) mod window;

//! What both sides put around a call: small tower layers and the futures they are made of.

pub(crate) mod deadline;

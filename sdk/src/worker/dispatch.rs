//! [`Dispatch`]: several kinds of event in one consumer.

use std::{fmt, sync::Arc};

use super::{
    Delivery,
    handler::{Handle, Handler, IntoHandler, Keys, PayloadInfo, Prepared},
    outcome::Reason,
};

/// A handler for each of several kinds of event, told apart by their subjects.
///
/// The first one whose subject template fits takes a message, so a handler of bare
/// [`Message`](crate::bus::Message)s, which fit always, belongs at the end. What none takes is a dead letter.
///
/// ```
/// # use subwire::{Delivery, Dispatch, Outcome, bus::Message};
/// let handler = Dispatch::new().on(async |cx: Delivery, message: Message| {
///     println!("{} has {} bytes", cx.subject(), message.payload.len());
///     Outcome::Done
/// });
/// ```
#[derive(Clone, Default)]
pub struct Dispatch {
    handlers: Vec<Handler>,
}

impl Dispatch {
    /// No handler yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler.
    #[must_use]
    pub fn on<Kind>(mut self, handler: impl IntoHandler<Kind>) -> Self {
        self.handlers.push(handler.into_handler());
        self
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handlers).finish()
    }
}

impl IntoHandler<Self> for Dispatch {
    fn into_handler(self) -> Handler {
        Handler(Arc::new(self))
    }
}

impl IntoHandler<Self> for Handler {
    fn into_handler(self) -> Handler {
        self
    }
}

impl Handle for Dispatch {
    fn each(&self, tell: &mut dyn FnMut(PayloadInfo)) {
        self.handlers.iter().for_each(|handler| handler.0.each(tell));
    }

    fn prepare(&self, delivery: &Delivery, keys: &Keys) -> Option<Result<Prepared, Reason>> {
        self.handlers.iter().find_map(|handler| handler.0.prepare(delivery, keys))
    }
}

//! [`Headers`]: names and values beside a payload, and what the protocol's own names carry.

use std::borrow::Cow;

/// Metadata names that belong to the protocol.
pub(crate) const RESERVED_NAMES: [&str; 1] = ["content-type"];

/// Prefixes of metadata names that belong to the protocol or to the broker.
pub(crate) const RESERVED_PREFIXES: [&str; 3] = ["nats-", "subwire-", "trailer-"];

/// Names and values beside a payload, in order. Empty costs nothing, on the wire too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value. Names and values are checked where they are written to a broker.
    pub fn append(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Makes this the one value of `name`.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let name = name.into();
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(&name));
        self.append(name, value);
    }

    /// The first value of `name`, in whatever case it was written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they take on the wire, in bytes.
    pub fn wire_len(&self) -> usize {
        match self.is_empty() {
            true => 0,
            false => {
                "NATS/1.0\r\n\r\n".len() + self.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
            }
        }
    }
}

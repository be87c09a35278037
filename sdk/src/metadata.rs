//! [`Metadata`]: small facts that travel beside a message.

use bytes::Bytes;

use crate::{
    Code, Result, Status, limits,
    status::reason,
    wire::header::{RESERVED_NAMES, RESERVED_PREFIXES},
};

/// Names and values that travel beside a request, a response or an error.
///
/// Names are case-insensitive, kept in lower case, `[a-z0-9_.-]+`. A name that ends in `-bin` has
/// bytes for a value; any other has text (any UTF-8: it is percent-encoded on the wire). A name
/// may have several values. Names of the protocol (`nats-*`, `subwire-*`, `trailer-*`,
/// `content-type`) are refused. Limit: 16 KiB a call, names and values together; a request with more is refused,
/// and of a response, or of an error, comes what there is room for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    // A call has a handful of entries, so a scan beats a map, and an empty one allocates nothing.
    entries: Vec<(String, Value)>,
    /// What they take: names and values.
    bytes: usize,
}

/// A value: text, or bytes for a name that ends in `-bin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of an ordinary name.
    Text(String),
    /// Of a name that ends in `-bin`.
    Bytes(Bytes),
}

impl Value {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl Metadata {
    /// None.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }

    /// Adds a text value to `name`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a name that is not legal, is reserved, or ends in `-bin`, and when
    /// the whole becomes too large.
    pub fn append(&mut self, name: impl AsRef<str>, value: impl Into<String>) -> Result<()> {
        let name = checked(name.as_ref())?;
        if name.ends_with("-bin") {
            return Err(invalid(format!("metadata `{name}` ends in -bin and takes bytes: use append_bin")));
        }
        self.push(name, Value::Text(value.into()))
    }

    /// Adds a value of bytes to `name`, which must end in `-bin`.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_bin(&mut self, name: impl AsRef<str>, value: impl Into<Bytes>) -> Result<()> {
        let name = checked(name.as_ref())?;
        if !name.ends_with("-bin") {
            return Err(invalid(format!("metadata `{name}` must end in -bin to take bytes")));
        }
        self.push(name, Value::Bytes(value.into()))
    }

    /// Replaces every value of `name` by this one.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl Into<String>) -> Result<()> {
        self.remove(name.as_ref());
        self.append(name, value)
    }

    /// The first text value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find_map(|(key, value)| match value {
            Value::Text(text) if key.eq_ignore_ascii_case(name) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The first value of `name` that is bytes.
    pub fn get_bin(&self, name: &str) -> Option<&Bytes> {
        self.entries.iter().find_map(|(key, value)| match value {
            Value::Bytes(bytes) if key.eq_ignore_ascii_case(name) => Some(bytes),
            _ => None,
        })
    }

    /// Every value of `name`, in the order they were added.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.entries.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Takes `name` out, with all its values.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.bytes = self.entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds those of `other`; what would go over the limit is left out.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (name, value) in &other.entries {
            if self.push(name.clone(), value.clone()).is_err() {
                tracing::debug!(name, "metadata that did not fit was left out");
            }
        }
    }

    /// Adds a value to a name that is [`checked`].
    ///
    /// # Errors
    /// When the whole becomes too large.
    pub(crate) fn push(&mut self, name: String, value: Value) -> Result<()> {
        let bytes = self.bytes + name.len() + value.len();
        if bytes > limits::METADATA_BYTES {
            return Err(invalid(format!(
                "metadata is over {} bytes with `{name}`: send large values in the message",
                limits::METADATA_BYTES
            )));
        }
        self.entries.push((name, value));
        self.bytes = bytes;
        Ok(())
    }
}

/// A name as it is kept, if it is legal.
pub(crate) fn checked(name: &str) -> Result<String> {
    let name = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b)) {
        return Err(invalid(format!("metadata name {name:?} is not legal: use letters, digits, `-`, `_` and `.`")));
    }
    if RESERVED_NAMES.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(invalid(format!("metadata name `{name}` belongs to the protocol: choose another")));
    }
    Ok(name)
}

fn invalid(message: String) -> Status {
    Status::made_here(Code::InvalidArgument, reason::INVALID_METADATA, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_keep_their_order() -> Result<()> {
        let mut metadata = Metadata::new();
        metadata.append("Tenant", "a")?;
        metadata.append("tenant", "b")?;
        assert_eq!(metadata.get("TENANT"), Some("a"));
        assert_eq!(metadata.get_all("tenant").count(), 2);
        metadata.insert("tenant", "c")?;
        assert_eq!(metadata.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_taken_out_makes_room() -> Result<()> {
        let mut metadata = Metadata::new();
        let large = "x".repeat(limits::METADATA_BYTES - 5);
        for _ in 0..3 {
            metadata.insert("large", large.as_str())?;
            assert!(metadata.append("a", "").is_err());
            metadata.remove("large");
            metadata.append("a", "")?;
            metadata.remove("a");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_legal_is_refused() {
        for name in ["", "a b", "a\r\nb", "nats-msg-id", "Nats-Rollup", "subwire-timeout", "content-type", "é", "x:y"]
        {
            let status = Metadata::new().append(name, "v").expect_err(name);
            assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        }
        assert!(Metadata::new().append("key-bin", "v").is_err());
        assert!(Metadata::new().append_bin("key", "v").is_err());
        assert!(Metadata::new().append("key", "x".repeat(limits::METADATA_BYTES)).is_err());
    }
}

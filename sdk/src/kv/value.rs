//! [`KvValue`]: what a bucket can hold.

use std::{any::Any, error::Error};

use bytes::Bytes;
use prost::Message;

/// What a bucket can hold: `Bytes`, `Vec<u8>` and `String` as they are, and every protobuf message.
///
/// As they are, so that `nats kv put` and `nats kv get` speak of the same value. Other types that
/// prost counts as messages, such as `u64`, are those of `google/protobuf/wrappers.proto`.
pub trait KvValue: Send + Sync + Sized + 'static {
    /// What is stored.
    fn to_bytes(&self) -> Bytes;

    /// The value that is stored as these bytes.
    ///
    /// # Errors
    /// They are no such value.
    fn from_bytes(bytes: Bytes) -> Result<Self, Box<dyn Error + Send + Sync>>;
}

// prost makes messages of `Bytes` and its like (the wrapper types), so they cannot have an
// implementation of their own.
impl<M: Message + Default + 'static> KvValue for M {
    fn to_bytes(&self) -> Bytes {
        let value: &dyn Any = self;
        if let Some(bytes) = value.downcast_ref::<Bytes>() {
            bytes.clone()
        } else if let Some(bytes) = value.downcast_ref::<Vec<u8>>() {
            Bytes::copy_from_slice(bytes)
        } else if let Some(text) = value.downcast_ref::<String>() {
            Bytes::copy_from_slice(text.as_bytes())
        } else {
            self.encode_to_vec().into()
        }
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut value = Self::default();
        let slot: &mut dyn Any = &mut value;
        if let Some(slot) = slot.downcast_mut::<Bytes>() {
            *slot = bytes;
        } else if let Some(slot) = slot.downcast_mut::<Vec<u8>>() {
            *slot = bytes.into();
        } else if let Some(slot) = slot.downcast_mut::<String>() {
            *slot = String::from_utf8(bytes.into())?;
        } else {
            return Ok(Self::decode(bytes)?);
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: KvValue + PartialEq + std::fmt::Debug>(value: T, stored: &[u8]) {
        let bytes = value.to_bytes();
        assert_eq!(bytes, stored);
        assert_eq!(T::from_bytes(bytes).expect("it was stored so"), value);
    }

    #[test]
    fn bytes_and_text_are_stored_as_they_are_and_the_rest_as_protobuf() {
        check(Bytes::from_static(b"\x08\x01"), b"\x08\x01");
        check(b"\0\xff".to_vec(), b"\0\xff");
        check("hello".to_owned(), b"hello");
        check(1u64, b"\x08\x01");
        check(prost_types::Duration { seconds: 1, nanos: 0 }, b"\x08\x01");
    }

    #[test]
    fn what_is_no_such_value_is_an_error() {
        assert!(String::from_bytes(Bytes::from_static(b"\xff")).is_err());
        assert!(prost_types::Duration::from_bytes(Bytes::from_static(b"\xff")).is_err());
    }
}

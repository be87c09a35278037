//! [`CallId`]: which call a message on the wire belongs to.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// 128 random bits, so that nobody who was not told can speak for a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId(u128);

/// Its length as a token of a subject.
pub(crate) const TOKEN_BYTES: usize = 22;

impl CallId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// From a token of a subject.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        match (token.len(), URL_SAFE_NO_PAD.decode_slice(token, &mut bytes)) {
            (TOKEN_BYTES, Ok(16)) => Some(Self(u128::from_be_bytes(bytes))),
            _ => None,
        }
    }

    /// From the bytes of a protobuf field.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u128::from_be_bytes).map(Self)
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// As good as any hash.
    pub(crate) fn low_bits(self) -> u64 {
        self.0 as u64
    }

    pub(crate) fn push_to(self, text: &mut String) {
        URL_SAFE_NO_PAD.encode_string(self.0.to_be_bytes(), text);
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(TOKEN_BYTES);
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_token_and_comes_back() {
        let id = CallId::random();
        assert_eq!(id.to_string().len(), TOKEN_BYTES);
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
        assert_eq!(CallId::from_bytes(&id.to_bytes()), Some(id));
        for text in [
            "",
            "x",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAA.A",
            "éAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(CallId::parse(text), None, "{text}");
        }
    }
}

//! [`CallId`]: which call a message on the wire belongs to.

use std::fmt;

/// 128 random bits, so that nobody who was not told can speak for a call.
///
/// Kept as the token it is in a subject: that is where it comes from and where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallId([u8; TOKEN_BYTES]);

/// Its length: 22 characters of six bits.
pub(crate) const TOKEN_BYTES: usize = 22;

/// base64url.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Which bytes are of the alphabet.
const LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        legal[ALPHABET[digit] as usize] = true;
        digit += 1;
    }
    legal
};

impl CallId {
    pub(crate) fn random() -> Self {
        let mut bits: u128 = rand::random();
        Self(std::array::from_fn(|_| {
            let digit = ALPHABET[(bits % 64) as usize];
            bits >>= 6;
            digit
        }))
    }

    /// From a token of a subject, or a field of a frame.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let token: [u8; TOKEN_BYTES] = token.as_bytes().try_into().ok()?;
        // Without a branch for each: every message of a call is looked at like this.
        token.iter().fold(true, |legal, byte| legal & LEGAL[usize::from(*byte)]).then_some(Self(token))
    }

    /// Part of it, as good as any hash of one that was made here.
    pub(crate) fn shard(self) -> usize {
        usize::from(self.0[0])
    }

    pub(crate) fn as_str(&self) -> &str {
        // All of it is ASCII, by both constructors.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        assert_ne!(CallId::random(), id);
        let (short, long) = ("A".repeat(TOKEN_BYTES - 1), "A".repeat(TOKEN_BYTES + 1));
        for text in ["", "x", &short, &long, "AAAAAAAAAAAAAAAAAAAA.A", "éAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(CallId::parse(text), None, "{text}");
        }
    }
}

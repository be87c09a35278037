//! [`Digest`]: what tells whether the bytes are the same.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use ring::digest::{Context, SHA256};

/// The SHA-256 of bytes that come one after another.
#[derive(Clone)]
pub(super) struct Digest(Context);

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// As it is written: `SHA-256=<base64url>` (ADR-20).
    pub(super) fn text(&self) -> String {
        format!("SHA-256={}", URL_SAFE.encode(self.0.clone().finish()))
    }

    /// Whether `written` means the same. Some leave out the padding.
    pub(super) fn is(&self, written: &str) -> bool {
        written.trim_end_matches('=') == self.text().trim_end_matches('=')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_other_clients_write_it() {
        let mut digest = Digest::default();
        assert_eq!(digest.text(), "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
        digest.add(b"ab");
        digest.add(b"c");
        assert_eq!(digest.text(), "SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=");
        assert!(digest.is("SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"));
        assert!(!digest.is("SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="));
    }
}

//! Bearer tokens.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::config;

/// The tokens that are accepted, by their hashes.
#[derive(Debug)]
pub(crate) struct Tokens {
    required: bool,
    hashes: Vec<[u8; 32]>,
}

impl Tokens {
    /// The tokens of the configuration.
    pub(crate) fn new(auth: &config::Auth) -> Self {
        Self {
            required: auth.required,
            hashes: auth.token_hashes.clone(),
        }
    }

    /// Whether AUTH has to succeed before anything else.
    pub(crate) fn required(&self) -> bool {
        self.required
    }

    /// Who bears `token`: the name that facts carry as their actor, or `None` for a wrong one.
    pub(crate) fn actor(&self, token: &str) -> Option<Arc<str>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Every hash is looked at, whichever matches: the time tells nothing.
        let mut found = Choice::from(0);
        for known in &self.hashes {
            found |= known.as_slice().ct_eq(hash.as_slice());
        }
        bool::from(found).then(|| {
            let mut name = String::from("token:");
            for byte in &hash[..4] {
                // Writing to a String cannot fail.
                let _ = write!(name, "{byte:02x}");
            }
            name.into()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tokens(known: &[&str]) -> Tokens {
        Tokens {
            required: true,
            hashes: known
                .iter()
                .map(|token| Sha256::digest(token.as_bytes()).into())
                .collect(),
        }
    }

    #[test]
    fn only_known_tokens_are_accepted() {
        let tokens = tokens(&["one", "two"]);
        assert!(tokens.actor("one").unwrap().starts_with("token:"));
        assert_ne!(tokens.actor("one"), tokens.actor("two"));
        for wrong in ["", "One", "one ", "three"] {
            assert_eq!(tokens.actor(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_tokens_none_is_right() {
        assert_eq!(tokens(&[]).actor("one"), None);
    }
}

//! Bearer tokens. The accepted ones may be replaced while the node runs.

use std::sync::Arc;

use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;

use crate::planted::{self, Bug};
use crate::server::config;

/// The SHA-256 of a token.
type Hash = [u8; 32];

/// The tokens that are accepted, by their hashes.
#[derive(Debug)]
pub(crate) struct Tokens {
    required: bool,
    hashes: watch::Sender<Arc<[Hash]>>,
    /// Those whose bearers may import.
    importers: RwLock<Arc<[Hash]>>,
    /// Every client may import, because the server was started with `--dev`.
    anyone_imports: bool,
}

/// A client with an accepted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    hash: Hash,
    actor: Arc<str>,
}

impl Bearer {
    /// The name that facts carry as their actor.
    pub(crate) fn actor(&self) -> &Arc<str> {
        &self.actor
    }
}

impl Tokens {
    /// The tokens of the configuration.
    pub(crate) fn new(auth: &config::AuthConfig, anyone_imports: bool) -> Self {
        Self {
            required: auth.required,
            hashes: watch::Sender::new(auth.token_hashes.as_slice().into()),
            importers: RwLock::new(auth.import_token_hashes.as_slice().into()),
            anyone_imports,
        }
    }

    /// Whether AUTH has to succeed before anything else.
    pub(crate) fn required(&self) -> bool {
        self.required
    }

    /// Whether this client may create instances in states of their own: without the guards of their machines.
    pub(crate) fn may_import(&self, bearer: Option<&Bearer>) -> bool {
        // A token that was accepted tells nothing new about itself, so the time does not matter here.
        let listed = |bearer: &Bearer| self.importers.read().contains(&bearer.hash);
        self.anyone_imports || bearer.is_some_and(listed)
    }

    /// From now on only the bearers of these tokens may import; `false` if these were the tokens before, too.
    pub(crate) fn replace_importers(&self, hashes: &[Hash]) -> bool {
        let mut known = self.importers.write();
        let changed = **known != *hashes;
        *known = hashes.into();
        changed
    }

    /// From now on these tokens are accepted and no others; `false` if they were already.
    pub(crate) fn replace(&self, hashes: &[Hash]) -> bool {
        self.hashes.send_if_modified(|known| {
            let changed = **known != *hashes;
            if planted::is(Bug::ReloadForgetsARevocation) {
                *known = known.iter().chain(hashes).copied().collect();
            } else if changed {
                *known = hashes.into();
            }
            changed
        })
    }

    /// The bearer of `token`, or `None` for a wrong one.
    pub(crate) fn bearer(&self, token: &str) -> Option<Bearer> {
        let hash: Hash = Sha256::digest(token.as_bytes()).into();
        // Compares every hash, also after a match: the time tells an attacker nothing.
        let mut found = Choice::from(0);
        for known in self.hashes.borrow().iter() {
            found |= known.as_slice().ct_eq(hash.as_slice());
        }
        bool::from(found).then(|| Bearer {
            hash,
            actor: format!("token:{}", hex::encode(&hash[..4])).into(),
        })
    }

    /// Resolves once this bearer's token is no longer accepted.
    pub(crate) fn revocation(&self, bearer: &Bearer) -> impl Future<Output = ()> + Send + use<> {
        let mut hashes = self.hashes.subscribe();
        let hash = bearer.hash;
        async move {
            let revoked = hashes.wait_for(|accepted| !accepted.contains(&hash));
            if revoked.await.is_err() {
                // The tokens are gone with the server, which revoked none.
                std::future::pending().await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;

    use super::*;

    fn hash(token: &str) -> Hash {
        Sha256::digest(token.as_bytes()).into()
    }

    fn tokens(known: &[&str]) -> Tokens {
        let auth = config::AuthConfig {
            required: true,
            token_hashes: known.iter().map(|token| hash(token)).collect(),
            import_token_hashes: vec![hash("two")],
            ..config::AuthConfig::default()
        };
        Tokens::new(&auth, false)
    }

    #[test]
    fn only_bearers_of_tokens_that_are_listed_for_it_may_import() {
        let tokens = tokens(&["one", "two"]);
        let [one, two] = ["one", "two"].map(|token| tokens.bearer(token).unwrap());
        assert!(tokens.may_import(Some(&two)));
        assert!(!tokens.may_import(Some(&one)) && !tokens.may_import(None));
        assert!(tokens.replace_importers(&[hash("one")]));
        assert!(tokens.may_import(Some(&one)) && !tokens.may_import(Some(&two)));
        assert!(!tokens.replace_importers(&[hash("one")]));
        let for_trying = Tokens::new(&config::AuthConfig::default(), true);
        assert!(for_trying.may_import(None));
    }

    #[test]
    fn only_known_tokens_are_accepted() {
        let tokens = tokens(&["one", "two"]);
        let one = tokens.bearer("one").unwrap();
        assert!(one.actor().starts_with("token:"));
        assert_ne!(Some(one), tokens.bearer("two"));
        for wrong in ["", "One", "one ", "three"] {
            assert_eq!(tokens.bearer(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_tokens_none_is_right() {
        assert_eq!(tokens(&[]).bearer("one"), None);
    }

    #[test]
    fn a_token_that_is_taken_back_is_told_to_its_bearers_alone() {
        let tokens = tokens(&["one", "two"]);
        let [one, two] = ["one", "two"].map(|token| tokens.bearer(token).unwrap());
        let mut revoked_one = Box::pin(tokens.revocation(&one));
        let mut revoked_two = Box::pin(tokens.revocation(&two));
        assert!(tokens.replace(&[hash("two"), hash("three")]));
        assert_eq!(revoked_one.as_mut().now_or_never(), Some(()));
        assert_eq!(revoked_two.as_mut().now_or_never(), None);
        assert_eq!(tokens.bearer("one"), None);
        assert!(tokens.bearer("three").is_some());
        assert!(!tokens.replace(&[hash("two"), hash("three")]));
    }
}

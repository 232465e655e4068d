//! Bearer tokens and certificates of clients. The accepted ones may be replaced while the node runs.

pub(super) mod guesses;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::select;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;

use super::access::{Access, Client};
use crate::planted::{self, Bug};
use crate::server::config::{AuthConfig, NamedClient};
use crate::server::transport::certificates::ClientNames;

/// The SHA-256 of a token.
type Hash = [u8; 32];

/// Interval between looks at the clock for a token that expires: the clock may be set meanwhile.
const CLOCK_INTERVAL: Duration = Duration::from_secs(30);

/// The clients that are known, by the hashes of their tokens and the names in their certificates.
#[derive(Debug)]
pub(crate) struct Tokens {
    required: bool,
    known: watch::Sender<Arc<[KnownClient]>>,
    /// Every client without a role may import, because the server was started with `--dev`.
    anyone_imports: bool,
    /// Who has not authenticated.
    stranger: Client,
}

/// How a client authenticates, and who it then is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownClient {
    hash: Option<Hash>,
    certificate: Option<String>,
    actor: Arc<str>,
    access: Arc<Access>,
    expires: Option<SystemTime>,
}

/// A client that has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer(Arc<KnownClient>);

impl Bearer {
    /// The client, as the operations see it.
    pub(crate) fn client(&self) -> Client {
        Client {
            actor: self.0.actor.clone(),
            access: self.0.access.clone(),
        }
    }

    /// When it will be refused.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        self.0.expires
    }
}

impl KnownClient {
    fn is_expired(&self) -> bool {
        self.expires.is_some_and(|at| at <= SystemTime::now())
    }
}

/// Those with names come first: a token that is also in an old list has the roles of its name.
fn known_of(auth: &AuthConfig, anyone_imports: bool) -> Arc<[KnownClient]> {
    let named = auth.named.iter().map(|client: &NamedClient| KnownClient {
        hash: client.hash,
        certificate: client.certificate.clone(),
        actor: client.name.clone(),
        access: Arc::new(Access::new(client.roles.clone(), client.grants.clone())),
        expires: client.expires,
    });
    let [admin, importer] = [false, true].map(|imports| Arc::new(Access::unlimited(imports)));
    let unnamed = auth.token_hashes.iter().map(|hash| {
        let imports = anyone_imports || auth.import_token_hashes.contains(hash);
        KnownClient {
            hash: Some(*hash),
            certificate: None,
            actor: format!("token:{}", hex::encode(&hash[..4])).into(),
            access: if imports { &importer } else { &admin }.clone(),
            expires: None,
        }
    });
    named.chain(unnamed).collect()
}

impl Tokens {
    /// The clients of the configuration.
    pub(crate) fn new(auth: &AuthConfig, anyone_imports: bool) -> Self {
        Self {
            required: auth.required,
            known: watch::Sender::new(known_of(auth, anyone_imports)),
            anyone_imports,
            stranger: Client {
                actor: "".into(),
                access: Arc::new(Access::unlimited(anyone_imports)),
            },
        }
    }

    /// Whether a client has to authenticate before anything else.
    pub(crate) fn required(&self) -> bool {
        self.required
    }

    /// A client that has not authenticated, where it need not.
    pub(crate) fn stranger(&self) -> &Client {
        &self.stranger
    }

    /// From now on these clients are known and no others; `false` if they were already.
    pub(crate) fn replace(&self, auth: &AuthConfig) -> bool {
        let newer = known_of(auth, self.anyone_imports);
        self.known.send_if_modified(|known| {
            let changed = **known != *newer;
            if planted::is(Bug::ReloadForgetsARevocation) {
                *known = known.iter().chain(&*newer).cloned().collect();
            } else if changed {
                *known = newer;
            }
            changed
        })
    }

    /// The bearer of `token`, or `None` for a wrong one and for one that has expired.
    pub(crate) fn bearer(&self, token: &str) -> Option<Bearer> {
        let hash: Hash = Sha256::digest(token.as_bytes()).into();
        let known = self.known.borrow().clone();
        // Compares every hash, also after a match: the time tells an attacker nothing.
        let equal: Vec<Choice> = known
            .iter()
            .map(|client| {
                let (theirs, is_there) = (client.hash.unwrap_or_default(), client.hash.is_some());
                theirs.as_slice().ct_eq(hash.as_slice()) & Choice::from(u8::from(is_there))
            })
            .collect();
        let found = equal.into_iter().position(bool::from)?;
        bearer_of(&known[found])
    }

    /// The client whose certificate has these names, if it is known by it.
    pub(crate) fn bearer_of_certificate(&self, names: &ClientNames) -> Option<Bearer> {
        let known = self.known.borrow();
        let found = known.iter().find(|client| {
            let name = client.certificate.as_deref();
            name.is_some_and(|name| names.contain(name))
        });
        bearer_of(found?)
    }

    /// Resolves once this bearer is no longer known as it is now, or has expired.
    pub(crate) fn revocation(&self, bearer: &Bearer) -> impl Future<Output = ()> + Send + use<> {
        let mut known = self.known.subscribe();
        let bearer = bearer.clone();
        let expires = bearer.0.expires;
        async move {
            let revoked = async {
                let gone = known.wait_for(|known| !known.contains(&*bearer.0));
                if gone.await.is_err() {
                    // The tokens are gone with the server, which revoked none.
                    std::future::pending().await
                }
            };
            select(pin!(revoked), pin!(expiry(expires))).await;
        }
    }
}

fn bearer_of(client: &KnownClient) -> Option<Bearer> {
    (!client.is_expired()).then(|| Bearer(Arc::new(client.clone())))
}

/// Resolves at this time, by the clock of the machine.
async fn expiry(at: Option<SystemTime>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        // Timers have milliseconds: without one more, the last of them would be waited for in many turns.
        let left = left + Duration::from_millis(1);
        tokio::time::sleep(left.min(CLOCK_INTERVAL)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;

    use super::*;
    use crate::server::config::{Grant, Verb};

    fn hash(token: &str) -> Hash {
        Sha256::digest(token.as_bytes()).into()
    }

    fn auth(known: &[&str]) -> AuthConfig {
        AuthConfig {
            required: true,
            token_hashes: known.iter().map(|token| hash(token)).collect(),
            import_token_hashes: vec![hash("two")],
            ..AuthConfig::default()
        }
    }

    fn tokens(known: &[&str]) -> Tokens {
        Tokens::new(&auth(known), false)
    }

    fn named(name: &str, token: &str, verb: Verb) -> NamedClient {
        NamedClient {
            name: name.into(),
            hash: Some(hash(token)),
            certificate: None,
            roles: vec!["own".to_owned()],
            grants: vec![Grant::everywhere(&[verb])],
            expires: None,
        }
    }

    fn may_import(client: &Client) -> bool {
        client.access.check(Verb::Import).is_ok()
    }

    #[test]
    fn only_bearers_of_tokens_that_are_listed_for_it_may_import() {
        let tokens = tokens(&["one", "two"]);
        let imports = |token: &str| may_import(&tokens.bearer(token).unwrap().client());
        assert!(imports("two") && !imports("one") && !may_import(tokens.stranger()));
        let mut other = auth(&["one", "two"]);
        other.import_token_hashes = vec![hash("one")];
        assert!(tokens.replace(&other));
        assert!(imports("one") && !imports("two"));
        assert!(!tokens.replace(&other));
        let for_trying = Tokens::new(&AuthConfig::default(), true);
        assert!(may_import(for_trying.stranger()));
    }

    #[test]
    fn only_known_tokens_are_accepted() {
        let tokens = tokens(&["one", "two"]);
        let one = tokens.bearer("one").unwrap();
        assert!(one.client().actor.starts_with("token:"));
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
        assert!(tokens.replace(&auth(&["two", "three"])));
        assert_eq!(revoked_one.as_mut().now_or_never(), Some(()));
        assert_eq!(revoked_two.as_mut().now_or_never(), None);
        assert_eq!(tokens.bearer("one"), None);
        assert!(tokens.bearer("three").is_some());
        assert!(!tokens.replace(&auth(&["two", "three"])));
    }

    #[test]
    fn a_named_token_has_its_roles_even_if_an_old_list_has_it_too() {
        let mut auth = auth(&["one"]);
        auth.named = vec![named("shop", "one", Verb::Read)];
        let bearer = Tokens::new(&auth, true).bearer("one").unwrap().client();
        assert_eq!(&*bearer.actor, "shop");
        assert!(bearer.access.check(Verb::Write).is_err() && !may_import(&bearer));
    }

    #[test]
    fn a_change_of_roles_ends_the_sessions_of_its_client_alone() {
        let mut auth = auth(&[]);
        auth.named = ["a", "b"].map(|name| named(name, name, Verb::Read)).into();
        let tokens = Tokens::new(&auth, false);
        let [mut a, mut b] =
            ["a", "b"].map(|it| Box::pin(tokens.revocation(&tokens.bearer(it).unwrap())));
        auth.named[0] = named("a", "a", Verb::Write);
        assert!(tokens.replace(&auth));
        assert_eq!(a.as_mut().now_or_never(), Some(()));
        assert_eq!(b.as_mut().now_or_never(), None);
    }

    #[tokio::test]
    async fn an_expired_token_is_refused_and_ends_what_it_has_begun() {
        let mut auth = auth(&[]);
        let mut shop = named("shop", "one", Verb::Read);
        shop.expires = Some(SystemTime::now() + Duration::from_millis(300));
        auth.named = vec![shop];
        let tokens = Tokens::new(&auth, false);
        let bearer = tokens.bearer("one").unwrap();
        let mut revoked = Box::pin(tokens.revocation(&bearer));
        assert_eq!(revoked.as_mut().now_or_never(), None);
        revoked.await;
        assert_eq!(tokens.bearer("one"), None);
    }
}

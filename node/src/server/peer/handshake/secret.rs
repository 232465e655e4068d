//! The secret that the nodes of a cluster share, and how two of them show each other that they have it.
//!
//! It is shown once, at the beginning of each connection, before anything else is said:
//!
//! ```text
//! caller ──▶ MAGIC, nonce of the caller, the address it dialed                  ──▶ listener
//!        ◀── HERE, nonce of the listener, HMAC("listener", nonces, address)     ◀──
//!        ──▶ HMAC("caller", nonces, address)                                    ──▶
//!        ◀── ACCEPTED                                                           ◀──
//! ```
//!
//! Both nonces are new for each connection, so a recorded handshake proves nothing on another one, now or later. Both
//! proofs hold for the address that the caller dialed, and the listener goes on only if that is its own. A client may
//! make a node dial an address of its choice. But it cannot relay the proofs to another node, which has another
//! address.
//!
//! This encrypts nothing. An attacker that can read the network reads what the nodes say, and one that can change the
//! traffic can take over a connection. `cluster.tls` protects against both.

use std::io;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rstmdb_rcp::text::counted;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A secret shorter than this could be found by trying.
const BYTES_MIN: usize = 16;
const MAGIC: &[u8; 16] = b"rstmdb-secret-2\n";
/// The listener is at the address that was dialed, or is not.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 2;
const ACCEPTED: u8 = 1;
/// A name has at most 253 bytes.
const ADDRESS_BYTES_MAX: usize = 512;
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;

type Nonce = [u8; NONCE_BYTES];

/// The secret of a cluster.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
    text: Vec<u8>,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a node refuses to talk to the other side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretRefusal {
    #[error(
        "it does not show that it knows the cluster's secret: it is not a node, or it has no cluster.secret_file"
    )]
    Silent,
    #[error(
        "its cluster.secret_file holds another secret than this node's: all nodes need the same secret"
    )]
    Other,
    #[error(
        "it does not show that it knows the cluster's secret: it has no cluster.secret_file, or it is not a node"
    )]
    NotAsked,
    #[error("it does not accept this node's secret: all nodes need the same cluster.secret_file")]
    NotAccepted,
    #[error(
        "{0:?} is not its address in cluster.peers or in the membership: with cluster.secret_file a node is dialed \
         at that address alone, so that no attacker in between can pass for it"
    )]
    Elsewhere(String),
    #[error(
        "the caller dialed {0:?}, which is not the address of this node in cluster.peers or in the membership. While \
         this node moves to a new address that is expected, and ends once the new address is in force. Otherwise \
         correct the address in the caller's configuration; if it stands nowhere, something between the two nodes \
         passes on the caller's proof"
    )]
    NotOurs(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Secret {
    /// From what the file holds; the space around it does not count.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(text: &[u8]) -> Result<Self, String> {
        let text = text.trim_ascii();
        if text.len() < BYTES_MIN {
            return Err(format!(
                "the secret is too short: it has {}, and at least {BYTES_MIN} bytes are needed; write a new \
                 one to the file of every node, for example with `openssl rand -hex 32`",
                counted(text.len() as u64, "byte", "bytes")
            ));
        }
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, text),
            text: text.to_owned(),
        })
    }

    /// The caller's side, of a connection to `addr`.
    pub(crate) async fn show<S>(&self, stream: &mut S, addr: &str) -> Result<(), SecretRefusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = nonce()?;
        stream.write_all(&greeting(&ours, addr)?).await?;
        stream.flush().await?;
        let mut theirs = Nonce::default();
        let mut proof = [0; PROOF_BYTES];
        let read = async {
            match stream.read_u8().await? {
                HERE => {}
                ELSEWHERE => return Ok(Some(SecretRefusal::Elsewhere(addr.to_owned()))),
                // Another protocol is spoken there.
                _ => return Ok(Some(SecretRefusal::NotAsked)),
            }
            stream.read_exact(&mut theirs).await?;
            stream.read_exact(&mut proof).await?;
            Ok::<_, io::Error>(None)
        };
        let refusal = read
            .await
            .map_err(|error| gone(error, SecretRefusal::NotAsked))?;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let said = ProvenClaim {
            caller: &ours,
            listener: &theirs,
            addr,
        };
        self.check(b"listener", &said, &proof)?;
        stream
            .write_all(self.prove(b"caller", &said).as_ref())
            .await?;
        stream.flush().await?;
        match stream.read_u8().await {
            Ok(ACCEPTED) => Ok(()),
            Ok(_) => Err(SecretRefusal::NotAccepted),
            Err(error) => Err(gone(error, SecretRefusal::NotAccepted)),
        }
    }

    /// The listener's side; `is_own`: whether an address is one of its own.
    pub(crate) async fn ask<S>(
        &self,
        stream: &mut S,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<(), SecretRefusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (theirs, addr) = greeted(stream).await?;
        if !is_own(&addr) {
            stream.write_u8(ELSEWHERE).await?;
            stream.flush().await?;
            return Err(SecretRefusal::NotOurs(addr));
        }
        let ours = nonce()?;
        let said = ProvenClaim {
            caller: &theirs,
            listener: &ours,
            addr: &addr,
        };
        let proof = self.prove(b"listener", &said);
        stream
            .write_all(&[&[HERE], ours.as_slice(), proof.as_ref()].concat())
            .await?;
        stream.flush().await?;
        let mut proof = [0; PROOF_BYTES];
        let read = stream.read_exact(&mut proof).await;
        // A caller with another secret sees it first, and goes.
        read.map_err(|error| gone(error, SecretRefusal::Other))?;
        self.check(b"caller", &said, &proof)?;
        stream.write_u8(ACCEPTED).await?;
        stream.flush().await?;
        Ok(())
    }

    fn prove(&self, side: &[u8], said: &ProvenClaim<'_>) -> hmac::Tag {
        hmac::sign(&self.key, &said.by(side))
    }

    fn check(
        &self,
        side: &[u8],
        said: &ProvenClaim<'_>,
        proof: &[u8],
    ) -> Result<(), SecretRefusal> {
        hmac::verify(&self.key, &said.by(side), proof).map_err(|_| SecretRefusal::Other)
    }
}

/// What a proof holds for.
struct ProvenClaim<'a> {
    caller: &'a Nonce,
    listener: &'a Nonce,
    addr: &'a str,
}

impl ProvenClaim<'_> {
    /// All parts but the last have a fixed length for each side.
    fn by(&self, side: &[u8]) -> Vec<u8> {
        [side, self.caller, self.listener, self.addr.as_bytes()].concat()
    }
}

fn greeting(nonce: &Nonce, addr: &str) -> Result<Vec<u8>, SecretRefusal> {
    let length = u16::try_from(addr.len()).ok();
    let length = length.filter(|length| usize::from(*length) <= ADDRESS_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("the address is too long"))?;
    let length = length.to_be_bytes();
    Ok([MAGIC.as_slice(), nonce, &length, addr.as_bytes()].concat())
}

async fn greeted<S>(stream: &mut S) -> Result<(Nonce, String), SecretRefusal>
where
    S: AsyncRead + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Err(SecretRefusal::Silent);
    }
    let mut nonce = Nonce::default();
    stream.read_exact(&mut nonce).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > ADDRESS_BYTES_MAX {
        return Err(SecretRefusal::Silent);
    }
    let mut addr = vec![0; length];
    stream.read_exact(&mut addr).await?;
    let addr = String::from_utf8(addr).map_err(|_| SecretRefusal::Silent)?;
    Ok((nonce, addr))
}

/// The other side ended the connection, which at this step has a meaning.
fn gone(error: io::Error, meaning: SecretRefusal) -> SecretRefusal {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | BrokenPipe => meaning,
        _ => error.into(),
    }
}

fn nonce() -> Result<Nonce, SecretRefusal> {
    let mut nonce = Nonce::default();
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| io::Error::other("the operating system gives no random numbers"))?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes()).unwrap()
    }

    const OURS: &str = "0123456789abcdef";
    const ADDR: &str = "db1:7402";

    fn is_own(addr: &str) -> bool {
        addr == ADDR
    }

    #[tokio::test]
    async fn two_sides_with_the_same_secret_accept_each_other() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        let (ours, spaced) = (secret(OURS), secret(&format!("{OURS}\n")));
        let (shown, asked) = tokio::join!(
            ours.show(&mut caller, ADDR),
            spaced.ask(&mut listener, is_own)
        );
        shown.unwrap();
        asked.unwrap();
    }

    #[tokio::test]
    async fn another_secret_is_refused_by_both_sides() {
        let (caller, listener) = tokio::io::duplex(1024);
        let (ours, other) = (secret(OURS), secret("fedcba9876543210"));
        let show = async move { ours.show(&mut { caller }, ADDR).await };
        let ask = async move { other.ask(&mut { listener }, is_own).await };
        let (shown, asked) = tokio::join!(show, ask);
        assert!(matches!(shown, Err(SecretRefusal::Other)), "{shown:?}");
        assert!(matches!(asked, Err(SecretRefusal::Other)), "{asked:?}");
    }

    #[tokio::test]
    async fn what_was_recorded_on_one_connection_proves_nothing_on_the_next() {
        let ours = secret(OURS);
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        // A listener that writes down what a caller says.
        let record = async {
            let (theirs, addr) = greeted(&mut listener).await.unwrap();
            let nonce = nonce().unwrap();
            let said = ProvenClaim {
                caller: &theirs,
                listener: &nonce,
                addr: &addr,
            };
            let proof = ours.prove(b"listener", &said);
            listener
                .write_all(&[&[HERE], nonce.as_slice(), proof.as_ref()].concat())
                .await
                .unwrap();
            let mut proof = [0; PROOF_BYTES];
            listener.read_exact(&mut proof).await.unwrap();
            listener.write_u8(ACCEPTED).await.unwrap();
            [greeting(&theirs, &addr).unwrap().as_slice(), &proof].concat()
        };
        let (shown, recorded) = tokio::join!(ours.show(&mut caller, ADDR), record);
        shown.unwrap();
        let (mut replayer, mut listener) = tokio::io::duplex(1024);
        replayer.write_all(&recorded).await.unwrap();
        let asked = ours.ask(&mut listener, is_own).await;
        assert!(matches!(asked, Err(SecretRefusal::Other)), "{asked:?}");
    }

    #[tokio::test]
    async fn a_node_that_was_dialed_at_an_address_which_is_not_its_own_proves_nothing() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        let ours = secret(OURS);
        let (shown, asked) = tokio::join!(
            ours.show(&mut caller, "relay:7402"),
            ours.ask(&mut listener, is_own)
        );
        assert!(
            matches!(shown, Err(SecretRefusal::Elsewhere(_))),
            "{shown:?}"
        );
        assert!(
            matches!(&asked, Err(SecretRefusal::NotOurs(addr)) if addr == "relay:7402"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_listener_that_speaks_something_else_is_not_taken_for_a_node_at_another_address() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        // As HTTP/2 begins.
        listener
            .write_all(&[0, 0, 18, 4, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        let shown = secret(OURS).show(&mut caller, ADDR).await;
        assert!(matches!(shown, Err(SecretRefusal::NotAsked)), "{shown:?}");
    }

    #[tokio::test]
    async fn the_proof_for_one_address_is_none_for_another() {
        let (mut caller, mut relay) = tokio::io::duplex(1024);
        let (mut far, mut listener) = tokio::io::duplex(1024);
        let ours = secret(OURS);
        // It puts the listener's address in the place of its own, and passes on all the rest.
        let passed_on = async {
            let (nonce, _) = greeted(&mut relay).await.unwrap();
            let changed = greeting(&nonce, ADDR).unwrap();
            far.write_all(&changed).await.unwrap();
            let mut answer = [0; 1 + NONCE_BYTES + PROOF_BYTES];
            far.read_exact(&mut answer).await.unwrap();
            relay.write_all(&answer).await.unwrap();
            drop(far);
        };
        let (shown, asked, ()) = tokio::join!(
            ours.show(&mut caller, "relay:7402"),
            ours.ask(&mut listener, is_own),
            passed_on
        );
        assert!(matches!(shown, Err(SecretRefusal::Other)), "{shown:?}");
        assert!(matches!(asked, Err(SecretRefusal::Other)), "{asked:?}");
    }

    #[tokio::test]
    async fn who_speaks_something_else_is_no_node() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        caller
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let asked = secret(OURS).ask(&mut listener, is_own).await;
        assert!(matches!(asked, Err(SecretRefusal::Silent)), "{asked:?}");
    }

    #[test]
    fn a_short_secret_is_refused_with_what_would_do() {
        let refused = Secret::new(b"  short \n").err().unwrap();
        assert!(
            refused.starts_with(
                "the secret is too short: it has 5 bytes, and at least 16 bytes are needed"
            ),
            "{refused}"
        );
    }
}

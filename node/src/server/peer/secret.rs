//! The secret that the nodes of a cluster share, and how two of them show each other that they have it.
//!
//! It is shown once, at the beginning of each connection, before anything else is said:
//!
//! ```text
//! caller ──▶ MAGIC, nonce of the caller                                ──▶ listener
//!        ◀── nonce of the listener, HMAC("listener", both nonces)      ◀──
//!        ──▶ HMAC("caller", both nonces)                               ──▶
//!        ◀── ACCEPTED                                                  ◀──
//! ```
//!
//! Both nonces are new for each connection, so what was recorded proves nothing on another one, now or later.
//! Nothing is encrypted by it: who can read the network reads what the nodes say, and who can change what is on its
//! way can take over a connection. That is what `cluster.tls` is for.

use std::io;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rstmdb_rcp::text::counted;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A secret shorter than this could be found by trying.
const BYTES_MIN: usize = 16;
const MAGIC: &[u8; 16] = b"rstmdb-secret-1\n";
const ACCEPTED: u8 = 1;
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

/// Why the other side is not talked to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "it does not show that it knows the cluster's secret: it is no node, or one without cluster.secret_file"
    )]
    Silent,
    #[error(
        "its cluster.secret_file holds another secret than this node's: all nodes need the same"
    )]
    Other,
    #[error(
        "it ended the connection before it showed that it knows the cluster's secret: it has no \
         cluster.secret_file, or is no node"
    )]
    NotAsked,
    #[error("it does not accept this node's secret: all nodes need the same cluster.secret_file")]
    NotAccepted,
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

    /// The caller's side.
    pub(super) async fn show<S>(&self, stream: &mut S) -> Result<(), Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ours = nonce()?;
        stream
            .write_all(&[MAGIC.as_slice(), &ours].concat())
            .await?;
        stream.flush().await?;
        let mut theirs = Nonce::default();
        let mut proof = [0; PROOF_BYTES];
        let read = async {
            stream.read_exact(&mut theirs).await?;
            stream.read_exact(&mut proof).await
        };
        read.await.map_err(|error| gone(error, Refusal::NotAsked))?;
        self.check(b"listener", &ours, &theirs, &proof)?;
        let proof = self.prove(b"caller", &ours, &theirs);
        stream.write_all(proof.as_ref()).await?;
        stream.flush().await?;
        match stream.read_u8().await {
            Ok(ACCEPTED) => Ok(()),
            Ok(_) => Err(Refusal::NotAccepted),
            Err(error) => Err(gone(error, Refusal::NotAccepted)),
        }
    }

    /// The listener's side.
    pub(super) async fn ask<S>(&self, stream: &mut S) -> Result<(), Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut magic = [0; MAGIC.len()];
        stream.read_exact(&mut magic).await?;
        if magic != *MAGIC {
            return Err(Refusal::Silent);
        }
        let mut theirs = Nonce::default();
        stream.read_exact(&mut theirs).await?;
        let ours = nonce()?;
        let proof = self.prove(b"listener", &theirs, &ours);
        stream
            .write_all(&[ours.as_slice(), proof.as_ref()].concat())
            .await?;
        stream.flush().await?;
        let mut proof = [0; PROOF_BYTES];
        let read = stream.read_exact(&mut proof).await;
        // A caller with another secret sees it first, and goes.
        read.map_err(|error| gone(error, Refusal::Other))?;
        self.check(b"caller", &theirs, &ours, &proof)?;
        stream.write_u8(ACCEPTED).await?;
        stream.flush().await?;
        Ok(())
    }

    fn prove(&self, side: &[u8], caller: &Nonce, listener: &Nonce) -> hmac::Tag {
        hmac::sign(&self.key, &[side, caller, listener].concat())
    }

    fn check(
        &self,
        side: &[u8],
        caller: &Nonce,
        listener: &Nonce,
        proof: &[u8],
    ) -> Result<(), Refusal> {
        let said = [side, caller, listener].concat();
        hmac::verify(&self.key, &said, proof).map_err(|_| Refusal::Other)
    }
}

/// The other side ended the connection, which at this place has a meaning.
fn gone(error: io::Error, meaning: Refusal) -> Refusal {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | BrokenPipe => meaning,
        _ => error.into(),
    }
}

fn nonce() -> Result<Nonce, Refusal> {
    let mut nonce = Nonce::default();
    let filled = SystemRandom::new().fill(&mut nonce);
    filled.map_err(|_| io::Error::other("the system gives no random numbers"))?;
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

    #[tokio::test]
    async fn two_sides_with_the_same_secret_accept_each_other() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        let (ours, spaced) = (secret(OURS), secret(&format!("{OURS}\n")));
        let (shown, asked) = tokio::join!(ours.show(&mut caller), spaced.ask(&mut listener));
        shown.unwrap();
        asked.unwrap();
    }

    #[tokio::test]
    async fn another_secret_is_refused_by_both_sides() {
        let (caller, listener) = tokio::io::duplex(1024);
        let (ours, other) = (secret(OURS), secret("fedcba9876543210"));
        let show = async move { ours.show(&mut { caller }).await };
        let ask = async move { other.ask(&mut { listener }).await };
        let (shown, asked) = tokio::join!(show, ask);
        assert!(matches!(shown, Err(Refusal::Other)), "{shown:?}");
        assert!(matches!(asked, Err(Refusal::Other)), "{asked:?}");
    }

    #[tokio::test]
    async fn what_was_recorded_on_one_connection_proves_nothing_on_the_next() {
        let ours = secret(OURS);
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        // A listener that writes down what a caller says.
        let record = async {
            let mut said = vec![0; MAGIC.len() + NONCE_BYTES];
            listener.read_exact(&mut said).await.unwrap();
            let theirs: Nonce = said[MAGIC.len()..].try_into().unwrap();
            let nonce = nonce().unwrap();
            let proof = ours.prove(b"listener", &theirs, &nonce);
            listener
                .write_all(&[nonce.as_slice(), proof.as_ref()].concat())
                .await
                .unwrap();
            let mut proof = [0; PROOF_BYTES];
            listener.read_exact(&mut proof).await.unwrap();
            listener.write_u8(ACCEPTED).await.unwrap();
            [said.as_slice(), &proof].concat()
        };
        let (shown, recorded) = tokio::join!(ours.show(&mut caller), record);
        shown.unwrap();
        let (mut replayer, mut listener) = tokio::io::duplex(1024);
        replayer.write_all(&recorded).await.unwrap();
        let asked = ours.ask(&mut listener).await;
        assert!(matches!(asked, Err(Refusal::Other)), "{asked:?}");
    }

    #[tokio::test]
    async fn who_speaks_something_else_is_no_node() {
        let (mut caller, mut listener) = tokio::io::duplex(1024);
        caller
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let asked = secret(OURS).ask(&mut listener).await;
        assert!(matches!(asked, Err(Refusal::Silent)), "{asked:?}");
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

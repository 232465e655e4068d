//! What a connection between two nodes begins with: TLS, the shared secret, both or neither. An operator may replace it
//! while the node runs; open connections stay.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::RwLock;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::server::Connected;

use super::FirstBytes;
use super::incoming::Arrival;
use super::secret::{self, Secret};
use super::tls;
use super::watched::{ObservedStream, ReadObserver};
use crate::server::config::address;
use crate::server::peer::{Error, PeerTls};
use crate::server::transport::certificates::{Certificate, CertificateNames};

/// What this node shows, and what it demands from others.
#[derive(Clone, Default)]
pub struct Proofs {
    /// Certificates; without them nothing is encrypted.
    pub tls: Option<PeerTls>,
    /// The cluster's secret.
    pub secret: Option<Secret>,
    /// Names, addresses and fingerprints of certificates that need not name a member's address.
    pub allowed_names: Vec<String>,
}

/// The TLS settings and the secret in force, which a reload may replace.
pub struct Credentials {
    in_force: RwLock<Arc<InForce>>,
}

struct InForce {
    proofs: Proofs,
    tls: Option<(TlsConnector, TlsAcceptor)>,
}

/// Why a connection did not come to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeRefusal {
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("TLS: its certificate cannot be read: {0}")]
    Certificate(String),
    #[error(transparent)]
    Secret(#[from] secret::SecretRefusal),
}

impl HandshakeRefusal {
    /// The other side has closed the connection without sending anything, as a check of the port does.
    pub(crate) fn is_farewell(&self) -> bool {
        match self {
            Self::Tls(error) | Self::Secret(secret::SecretRefusal::Io(error)) => {
                error.kind() == io::ErrorKind::UnexpectedEof
            }
            Self::Certificate(_) | Self::Secret(_) => false,
        }
    }
}

impl InForce {
    fn new(proofs: Proofs) -> Result<Self, Error> {
        let tls = match &proofs.tls {
            Some(given) => Some((
                TlsConnector::from(tls::client(given)?),
                TlsAcceptor::from(tls::server(given)?),
            )),
            None => None,
        };
        Ok(Self { proofs, tls })
    }
}

impl Credentials {
    /// Credentials with these proofs.
    ///
    /// # Errors
    /// [`Error::Tls`] when the certificates cannot be used.
    pub fn new(proofs: Proofs) -> Result<Arc<Self>, Error> {
        let in_force = RwLock::new(Arc::new(InForce::new(proofs)?));
        Ok(Arc::new(Self { in_force }))
    }

    /// New connections begin with these proofs; `false` if they are not new.
    ///
    /// # Errors
    /// [`Error::Tls`] when the certificates cannot be used. The old ones stay then.
    pub fn replace(&self, proofs: Proofs) -> Result<bool, Error> {
        let now = self.in_force.read().clone();
        if now.proofs.tls == proofs.tls
            && now.proofs.secret == proofs.secret
            && now.proofs.allowed_names == proofs.allowed_names
        {
            return Ok(false);
        }
        *self.in_force.write() = Arc::new(InForce::new(proofs)?);
        Ok(true)
    }

    /// Whether this certificate is allowed for any address.
    pub(crate) fn allows(&self, names: &CertificateNames) -> bool {
        let in_force = self.in_force.read().clone();
        names.are_among(&in_force.proofs.allowed_names)
    }

    /// Whether callers have certificates.
    pub(crate) fn ask_for_certificates(&self) -> bool {
        self.in_force.read().tls.is_some()
    }

    /// Begins a connection to `addr`. The certificate there must name its host, and a node that shows the secret must
    /// be the one at this address.
    pub(crate) async fn connect<C>(
        &self,
        stream: C,
        addr: &str,
    ) -> Result<BegunConnection, HandshakeRefusal>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let in_force = self.in_force.read().clone();
        let mut stream: Box<dyn Stream> = match &in_force.tls {
            None => Box::new(stream),
            Some((connector, _)) => {
                let name = ServerName::try_from(address::host(addr).to_owned());
                let name = name.map_err(|error| HandshakeRefusal::Tls(io::Error::other(error)))?;
                let stream = connector.connect(name, stream).await;
                Box::new(stream.map_err(HandshakeRefusal::Tls)?)
            }
        };
        if let Some(secret) = &in_force.proofs.secret {
            secret.show(&mut stream, addr).await?;
        }
        Ok(BegunConnection::begun(stream, Caller::default()))
    }

    /// Begins a new connection on the side of the listener; `is_own` tells whether an address is one of its own.
    pub(crate) async fn accept<C>(
        &self,
        stream: C,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<BegunConnection, HandshakeRefusal>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let in_force = self.in_force.read().clone();
        let mut caller = Caller::default();
        let mut stream: Box<dyn Stream> = match &in_force.tls {
            None => Box::new(stream),
            Some((_, acceptor)) => {
                let stream = acceptor
                    .accept(stream)
                    .await
                    .map_err(HandshakeRefusal::Tls)?;
                let certificates = stream.get_ref().1.peer_certificates();
                if let Some(own) = certificates.and_then(<[_]>::first) {
                    let own = Certificate::parse(own).map_err(HandshakeRefusal::Certificate)?;
                    caller.names = Some(Arc::new(own.names));
                }
                Box::new(stream)
            }
        };
        if let Some(secret) = &in_force.proofs.secret {
            secret.ask(&mut stream, is_own).await?;
        }
        Ok(BegunConnection::begun(stream, caller))
    }
}

/// The other end of a connection, as far as the connection says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// Of its certificate, where it has shown one.
    pub(crate) names: Option<Arc<CertificateNames>>,
    /// What the listener knows of the connection.
    pub(crate) arrival: Option<Arrival>,
}

/// What bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that has begun as it should.
pub(crate) type BegunConnection = ObservedStream<Box<dyn Stream>, BegunProof>;

/// What is known of it.
pub(crate) struct BegunProof {
    caller: Caller,
    beginning: Option<FirstBytes>,
}

impl BegunConnection {
    fn begun(stream: Box<dyn Stream>, caller: Caller) -> Self {
        let beginning = None;
        Self::new(stream, BegunProof { caller, beginning })
    }

    /// This node has opened it.
    pub(crate) fn opened(&mut self, beginning: FirstBytes) {
        self.watch.beginning = Some(beginning);
    }

    /// It came to this node's listener.
    pub(crate) fn arrived(&mut self, arrival: Option<Arrival>) {
        self.watch.caller.arrival = arrival;
    }
}

impl Connected for BegunConnection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.watch.caller.clone()
    }
}

impl ReadObserver for BegunProof {
    fn has_read(&mut self, read: &Poll<io::Result<usize>>) {
        let Some(beginning) = &mut self.beginning else {
            return;
        };
        match read {
            Poll::Ready(Ok(1..)) => beginning.answered(),
            Poll::Ready(Err(error)) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                if let Some(alert @ rustls::Error::AlertReceived(_)) = cause {
                    beginning.refused(alert);
                }
            }
            Poll::Ready(Ok(0)) | Poll::Pending => {}
        }
    }
}

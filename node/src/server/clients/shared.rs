//! What all sessions of a server share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rstmdb_raft_store::Keyring;
use tokio_rustls::TlsAcceptor;

use super::auth::Tokens;
use super::budget::Budget;
use super::guesses::Guesses;
use super::snapshot_cursors::SnapshotCursors;
use crate::server::config::{self, Config};
use crate::server::metrics::Metrics;
use crate::server::peer::PeerServer;
use crate::server::product::Replica;
use crate::server::transport::certificates::CertificateInUse;

/// `server_name` on the wire.
pub(crate) const SERVER_NAME: &str = "rstmdb";
/// `server_version` on the wire.
pub(crate) const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What all sessions of a server share.
pub(crate) struct ServerShared {
    /// The replica behind the server.
    pub(crate) replica: Replica,
    /// Who may use it.
    pub(crate) tokens: Tokens,
    /// Recent wrong tokens.
    pub(crate) guesses: Guesses,
    /// What all connections may hold in memory.
    pub(crate) budget: Arc<Budget>,
    /// Encryption for clients that connect from now on; none where it is off.
    pub(crate) tls: RwLock<Option<TlsAcceptor>>,
    /// The certificates that are in use.
    pub(crate) certificates: RwLock<Vec<CertificateInUse>>,
    /// The port for other nodes.
    pub(crate) peers: PeerServer,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// How long a request may take.
    pub(crate) request_timeout: Duration,
    /// How long a connection may be silent; `None`: for ever.
    pub(crate) idle_timeout: Option<Duration>,
    /// A client that has vanished is noticed in about this time.
    pub(crate) keepalive: Option<Duration>,
    /// When the server started.
    pub(crate) started: Instant,
    /// What the data folder is encrypted with.
    pub(crate) keys: Keyring,
    encryption_key_file: Option<PathBuf>,
    /// Snapshots that are being read by backups.
    pub(crate) backups: SnapshotCursors,
}

impl ServerShared {
    /// For one server.
    pub(crate) fn new(
        config: &Config,
        replica: Replica,
        peers: PeerServer,
        tls: Option<TlsAcceptor>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            replica,
            tokens: Tokens::new(&config.auth),
            guesses: Guesses::new(),
            budget: Budget::new(config.network.buffers_bytes_max),
            tls: RwLock::new(tls),
            certificates: RwLock::default(),
            peers,
            metrics,
            request_timeout: config.network.request_timeout,
            idle_timeout: config.network.idle_timeout,
            keepalive: config.network.keepalive,
            started: Instant::now(),
            keys: config.storage.keys.clone(),
            encryption_key_file: config.storage.encryption_key_file.clone(),
            backups: SnapshotCursors::default(),
        }
    }

    /// The keys that the key file holds now; none where they do not come from a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not a list of keys.
    pub(crate) fn reread_keys(&self) -> Result<Option<Keyring>, config::Error> {
        let file = self.encryption_key_file.as_deref();
        file.map(config::read_keys).transpose()
    }
}

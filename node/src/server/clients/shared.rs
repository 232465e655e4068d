//! What all sessions of a server share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rstmdb_raft_store::Keyring;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::reload::ReloadResult;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::audit_log::AuditLog;
use super::auth::Tokens;
use super::auth::guesses::Guesses;
use super::budget::MemoryBudget;
use super::snapshot_cursors::SnapshotCursors;
use crate::server::config::{self, Config};
use crate::server::logging::traces::Traces;
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
    /// What is written down of what clients do.
    pub(crate) audit_log: AuditLog,
    /// Recent wrong tokens.
    pub(crate) guesses: Guesses,
    /// What all connections may hold in memory.
    pub(crate) budget: Arc<MemoryBudget>,
    /// Encryption for clients that connect from now on; none where it is off.
    pub(crate) tls: RwLock<Option<TlsAcceptor>>,
    /// The certificates that are in use.
    pub(crate) certificates: RwLock<Vec<CertificateInUse>>,
    /// The port for other nodes.
    pub(crate) peers: PeerServer,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where requests are recorded, if traces are on.
    pub(crate) traces: Option<Arc<Traces>>,
    /// How long clients may take.
    pub(crate) times: Times,
    /// Where RELOAD asks for the configuration to be read again.
    pub(crate) reloads: mpsc::Sender<ReloadAsked>,
    /// When the server started.
    pub(crate) started: Instant,
    /// What the data folder is encrypted with.
    pub(crate) keys: Keyring,
    encryption_key_file: Option<PathBuf>,
    /// Snapshots that are being read by backups.
    pub(crate) backups: SnapshotCursors,
}

/// A request to read the configuration again. The outcome goes to this sender.
pub(crate) type ReloadAsked = oneshot::Sender<Result<ReloadResult, ErrorBody>>;

/// How long clients may take. Sessions read these often, so there is no lock.
pub(crate) struct Times {
    request_ms: AtomicU64,
    /// 0: for ever.
    idle_ms: AtomicU64,
    /// 0: the operating system decides.
    keepalive_ms: AtomicU64,
}

impl Times {
    fn new(network: &config::NetworkConfig) -> Self {
        let times = Self {
            request_ms: AtomicU64::new(0),
            idle_ms: AtomicU64::new(0),
            keepalive_ms: AtomicU64::new(0),
        };
        times.set(network);
        times
    }

    /// Brings other times into force: for requests that begin, connections that fall silent, and connections that are
    /// accepted from now on.
    pub(crate) fn set(&self, network: &config::NetworkConfig) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let set = |to: &AtomicU64, time| to.store(millis(time), Ordering::Relaxed);
        set(&self.request_ms, network.request_timeout);
        set(&self.idle_ms, network.idle_timeout.unwrap_or_default());
        set(&self.keepalive_ms, network.keepalive.unwrap_or_default());
    }

    /// How long a request may take.
    pub(crate) fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms.load(Ordering::Relaxed))
    }

    /// How long a connection may be silent; `None`: for ever.
    pub(crate) fn idle(&self) -> Option<Duration> {
        unless_zero(&self.idle_ms)
    }

    /// A client that has vanished is noticed in about this time.
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        unless_zero(&self.keepalive_ms)
    }
}

fn unless_zero(millis: &AtomicU64) -> Option<Duration> {
    let millis = millis.load(Ordering::Relaxed);
    (millis > 0).then(|| Duration::from_millis(millis))
}

impl ServerShared {
    /// For one server.
    pub(crate) fn new(
        config: &Config,
        replica: Replica,
        peers: PeerServer,
        tls: Option<TlsAcceptor>,
        (metrics, audit_log): (Arc<Metrics>, AuditLog),
        reloads: mpsc::Sender<ReloadAsked>,
    ) -> Self {
        Self {
            replica,
            tokens: Tokens::new(&config.auth, config.anyone_imports),
            audit_log,
            guesses: Guesses::new(),
            budget: MemoryBudget::new(config.network.buffers_bytes_max),
            tls: RwLock::new(tls),
            certificates: RwLock::default(),
            traces: peers.traces().cloned(),
            peers,
            metrics,
            times: Times::new(&config.network),
            reloads,
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

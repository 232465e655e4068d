//! A whole node: the data folder, the replica on it, the server in front.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rstmdb_engine::Limits;
use rstmdb_raft_store::{self as raft_store, Identity, NodeInfo, RealFs, Retention, Store};
use uuid::Uuid;

use super::config::Config;
use super::product::{Replica, TokioHost};
use super::run::{self, BindError, Listeners};
use super::signals;
use crate::replica::no_peers::NoPeers;
use crate::replica::{CompactionOptions, Options, start::StartError};

/// Bytes of recent log entries that stay in memory.
const LOG_CACHE_BYTES: usize = 64 << 20;

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] raft_store::Error),
    /// The data folder is another node's.
    #[error(
        "cluster.node_id: {configured} is not valid; the data folder belongs to node {found}: \
         set that id, or another storage.data_dir"
    )]
    WrongNode {
        /// What the configuration says.
        configured: u64,
        /// What the folder says.
        found: u64,
    },
    /// The replica did not start.
    #[error(transparent)]
    Replica(#[from] StartError),
    /// The machine refused something a node needs.
    #[error("{what}: {reason}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it was refused.
        reason: std::io::Error,
    },
    /// The server ended.
    #[error(transparent)]
    Server(#[from] run::Error),
}

/// A node that was started and serves nobody yet.
pub struct Node {
    replica: Replica,
    writer: JoinHandle<()>,
}

impl Node {
    /// Opens the data folder, recovers what is in it, and starts the replica.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let dir = &config.storage.data_dir;
        let (store, writer) = Store::open(RealFs, store_options(config))?;
        let writer = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|reason| Error::System {
                what: "the thread that writes the log cannot be started",
                reason,
            })?;
        let identity = identity(config, store.identity()?)?;
        let host = Arc::new(TokioHost::new(dir.clone()));
        let options = replica_options(config, &identity);
        let network = NoPeers::default();
        let replica = Replica::start(store.clone(), options, host, network).await?;
        // Only now: a crash before this line leaves a folder that nobody was promised anything of.
        store.write_identity(&identity)?;
        tracing::info!(
            node_id = identity.node_id,
            cluster = %Uuid::from_u128(identity.cluster_id),
            data_dir = %dir.display(),
            "replica started"
        );
        Ok(Self { replica, writer })
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Serves until `shutdown` resolves or the node fails.
    ///
    /// # Errors
    /// See [`run::Error`].
    pub async fn serve(
        self,
        config: &Config,
        listeners: Listeners,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        run::run(config, self.replica, listeners, shutdown).await?;
        // The log is closed, so its writer is about to end; wait for its last mark.
        let writer = self.writer;
        let ended = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(Duration::from_secs(2), ended)
            .await
            .is_err()
        {
            tracing::warn!("the thread that writes the log has not ended in time");
        }
        Ok(())
    }
}

/// Starts a node and serves until a signal ends it.
///
/// # Errors
/// See [`Error`].
pub async fn run_until_signal(config: &Config) -> Result<(), Error> {
    let shutdown = signals::shutdown().map_err(|reason| Error::System {
        what: "the signal handlers cannot be installed",
        reason,
    })?;
    raise_open_files_limit(config);
    // Bound before the data folder is touched: a taken port is the commonest mistake.
    let listeners = Listeners::bind(config).await?;
    let node = Node::start(config).await?;
    let address = listeners.rcp.local_addr();
    tracing::info!(
        address = address.map_or_else(|_| config.network.bind_addr.clone(), |at| at.to_string()),
        tls = config.tls.enabled,
        auth = config.auth.required,
        "serving clients"
    );
    node.serve(config, listeners, shutdown).await
}

fn identity(config: &Config, found: Option<Identity>) -> Result<Identity, Error> {
    let configured = config
        .cluster
        .node_id
        .or_else(|| config.cluster.peers.first().map(|peer| peer.id));
    match (found, configured) {
        (Some(found), Some(configured)) if found.node_id != configured => Err(Error::WrongNode {
            configured,
            found: found.node_id,
        }),
        (Some(found), _) => Ok(found),
        (None, configured) => Ok(Identity {
            cluster_id: Uuid::new_v4().as_u128(),
            node_id: configured.unwrap_or(1),
        }),
    }
}

fn store_options(config: &Config) -> raft_store::Options {
    let mut options = raft_store::Options::new(&config.storage.data_dir);
    options.segment_bytes = config.storage.wal_segment_bytes;
    options.fsync_policy = config.storage.fsync_policy;
    options.cache_bytes = LOG_CACHE_BYTES;
    options
}

fn replica_options(config: &Config, identity: &Identity) -> Options {
    let listed = config.cluster.peers.first();
    let node = NodeInfo {
        peer_addr: listed
            .map_or(&config.cluster.bind_addr, |peer| &peer.peer_addr)
            .clone(),
        rcp_addr: listed
            .map_or(&config.network.bind_addr, |peer| &peer.rcp_addr)
            .clone(),
    };
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Options {
        node_id: identity.node_id,
        node,
        cluster_id: Uuid::from_u128(identity.cluster_id).to_string(),
        cluster_name: config.cluster.name.clone(),
        heartbeat: config.cluster.heartbeat,
        election_timeout: (
            config.cluster.election_timeout_min,
            config.cluster.election_timeout_max,
        ),
        leader_wait: config.network.request_timeout / 2,
        limits: Limits {
            max_machine_versions: config.storage.machine_versions_max,
            allow_instance_recreate: config.storage.allow_instance_recreate,
            allow_flush_all: config.storage.allow_flush_all,
            idempotency_retention_ms: millis(config.idempotency.retention),
            idempotency_keys_max: config.idempotency.keys_max,
        },
        compaction: CompactionOptions {
            enabled: config.compaction.enabled,
            events_threshold: config.compaction.events_threshold,
            size_threshold_bytes: config.compaction.size_threshold_bytes,
            min_interval: config.compaction.interval_min,
            retention: Retention {
                events: config.compaction.retain_events,
                hours: config.compaction.retain_hours,
                mb: config.compaction.retain_mb,
                archive_dir: config.compaction.archive_dir.clone(),
            },
        },
        free_bytes_min: config.storage.free_bytes_min,
    }
}

/// Each connection is a file descriptor, and the usual soft limit is 1024.
fn raise_open_files_limit(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Segments, snapshots, catalog, listeners, standard streams.
    const OTHER_FILES: u64 = 256;
    let limit = getrlimit(Resource::Nofile);
    let wanted = config.network.connections_max as u64 + OTHER_FILES;
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(allowed),
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() || allowed < wanted {
        tracing::warn!(
            wanted,
            allowed,
            "the limit of open files is too low for network.max_connections"
        );
    }
}

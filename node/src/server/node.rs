//! A whole node: the data folder, the replica on it, the server in front.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rstmdb_engine::Limits;
use rstmdb_raft_store::{self as raft_store, Identity, NodeInfo, RealFs, Retention, Store};
use uuid::Uuid;

use super::config::Config;
use super::product::{Replica, TokioHost};
use super::run::{self, BindError, Listeners, WRITER_TIMEOUT};
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
        // Before the folder is opened, because opening may change it: another node's is left alone.
        let mut identity = identity(config, raft_store::read_identity(&RealFs, dir)?)?;
        let options = store_options(config, &identity);
        let (store, writer) = in_background(move || Store::open(RealFs, options)).await??;
        // A first start that came no further than this has left its cluster's id in the log.
        identity.cluster_id = store.cluster_id();
        store.write_identity(&identity)?;
        let writer = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|reason| Error::System {
                what: "the thread that writes the log cannot be started",
                reason,
            })?;
        let host = Arc::new(TokioHost::new(dir.clone()));
        let options = replica_options(config, &identity);
        let network = NoPeers::default();
        let replica = Replica::start(store, options, host, network)
            .await
            .map_err(|error| explained(error, dir))?;
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
        if tokio::time::timeout(WRITER_TIMEOUT, ended).await.is_err() {
            tracing::warn!("the thread that writes the log has not ended in time");
        }
        Ok(())
    }
}

/// Starts a node and serves until `shutdown` resolves, which it may do at any time.
///
/// # Errors
/// See [`Error`].
pub async fn run_until(config: &Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    raise_open_files_limit(config);
    let mut shutdown = pin!(shutdown);
    let to_start = config.clone();
    let start = async move {
        // Bound before the data folder is touched: a taken port is the commonest mistake.
        let listeners = Listeners::bind(&to_start).await?;
        Ok::<_, Error>((Node::start(&to_start).await?, listeners))
    };
    let Some(started) = start_unless(shutdown.as_mut(), start).await else {
        tracing::info!("asked to stop before the node was up");
        return Ok(());
    };
    let (node, listeners) = started??;
    let address = listeners.rcp.local_addr();
    tracing::info!(
        address = address.map_or_else(|_| config.network.bind_addr.clone(), |at| at.to_string()),
        tls = config.tls.enabled,
        auth = config.auth.required,
        "serving clients"
    );
    node.serve(config, listeners, shutdown).await
}

/// Names the damage behind a start that failed, if there is any: what comes through openraft tells
/// more of openraft than of the file.
fn explained(error: StartError, dir: &Path) -> Error {
    let report = raft_store::verify(&RealFs, dir, false);
    let Some(damage) = report.damages.into_iter().next() else {
        return error.into();
    };
    Error::Store(raft_store::Error::Damaged {
        file: damage.file,
        offset: damage.offset,
        what: damage.what,
        covers: damage.lost,
        advice: "restore the file, or the whole folder, from a backup; `rstmdb verify` names every \
                 damaged place; with other nodes that hold the data, empty this one with \
                 `rstmdb rejoin`",
    })
}

/// The outcome of `start`, or nothing once `shutdown` resolves. It runs as a task of its own: a
/// start replays the log, and keeps its thread for as long as that takes.
async fn start_unless<T: Send + 'static>(
    shutdown: impl Future<Output = ()>,
    start: impl Future<Output = T> + Send + 'static,
) -> Option<Result<T, Error>> {
    let mut start = tokio::spawn(start);
    tokio::select! {
        biased;
        () = shutdown => {
            start.abort();
            None
        }
        started = &mut start => Some(started.map_err(fallen)),
    }
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(fallen)
}

fn fallen(error: tokio::task::JoinError) -> Error {
    Error::System {
        what: "the start was broken off",
        reason: std::io::Error::other(error),
    }
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

fn store_options(config: &Config, identity: &Identity) -> raft_store::Options {
    let mut options = raft_store::Options::new(&config.storage.data_dir);
    options.segment_bytes = config.storage.wal_segment_bytes;
    options.fsync_policy = config.storage.fsync_policy;
    options.cache_bytes = LOG_CACHE_BYTES;
    options.cluster_id = identity.cluster_id;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_that_keeps_its_thread_busy_does_not_hold_up_a_shutdown() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let start = async move { held.recv() };
        let shutdown = tokio::time::sleep(Duration::from_millis(10));
        assert!(start_unless(shutdown, start).await.is_none());
        drop(release);
        let started = start_unless(std::future::pending(), async { 7 }).await;
        assert!(matches!(started, Some(Ok(7))));
    }
}

//! A whole node: the data folder, the replica on it, the server in front.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rstmdb_raft_store::{self as raft_store, Identity, RealFs, Store, Writer};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::archive;
use super::descriptors::{self, Descriptors};
use super::error::Error;
use super::folder;
use super::forming;
use super::listeners::Listeners;
use super::options::{replica_options, store_options};
use super::ourselves;
use super::peering::{is_alone, local, peer_options};
use super::run::{self, WRITER_TIMEOUT};
use crate::replica::{Formation, Options};
use crate::server::config::{self, Config};
use crate::server::logging::traces::Traces;
use crate::server::peer::{self, Connections, Local, PeerServer};
use crate::server::product::{Replica, TokioHost};
use crate::server::transport::sockets::Sockets;

/// At the end other nodes have this long to close their connections.
const PEERS_TIMEOUT: Duration = Duration::from_millis(500);

/// A node that was started and serves no client yet.
pub struct StartedNode {
    replica: Replica,
    writer: JoinHandle<()>,
    peers: PeerServer,
    serving: Option<tokio::task::JoinHandle<()>>,
    /// Ends the service for other nodes when it is dropped.
    stop_serving: DropGuard,
}

impl StartedNode {
    /// Opens the data folder, recovers what is in it, finds the cluster it belongs to, and starts
    /// the replica. Other nodes are served from the beginning: a cluster forms by asking around.
    ///
    /// # Errors
    /// When the folder cannot be opened or belongs to another node or cluster, when a certificate or secret cannot be
    /// read, or when the other nodes refuse this one.
    pub async fn start(config: &Config, peers: Option<TcpListener>) -> Result<Self, Error> {
        let dir = &config.storage.data_dir;
        // Done before the folder is opened, because opening may change it: the folder of another node is left as it is.
        let found = identity_of(config).await?;
        let local = local(config, found.as_ref())?;
        let roster = Arc::new(OnceLock::new());
        let options = peer_options(config, &local, &roster)?;
        let connections = Connections::new(&options);
        let server = peer_server(config, &options)?;
        server.set_opening(found.is_some());
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let serving = peers.map(|listener| {
            let sockets = Sockets {
                connections_max: Descriptors::shared_out(config.network.connections_max).peers,
                keepalive: config.network.keepalive,
            };
            let served = serve_peers(server.clone(), listener, sockets, stop);
            tokio::spawn(served)
        });

        let (cluster_id, formed) = match &found {
            Some(found) => (found.cluster_id, false),
            None => find_cluster(config, &local, &connections).await?,
        };
        let (store, writer) = open_store(config, cluster_id, &local).await?;
        let cluster_id = store.cluster_id();
        // Set once, here, by the only owner.
        let _ = roster.set(store.roster()?);
        let _ = local.cluster_id.set(cluster_id);
        let formed = formed
            || found.is_some()
                && forming::check_cluster(&config.cluster, &local, cluster_id, &connections)
                    .await?;
        let mut options = replica_options(config, &local, cluster_id);
        options.archive = archive::open(config, &options.cluster_id)?;
        if formed {
            // If this node's Raft is empty, it must not make a membership of its own, which could contradict theirs.
            options.formation = Formation::Join;
        }
        let (replica, writer) =
            start_replica(config, store, writer, options, connections.clone()).await?;
        server.set_replica(replica.clone());
        let ended = guard.disarm();
        watch_membership(&config.cluster, connections, &replica, &ended);
        let guard = ended.drop_guard();
        tracing::info!(
            node_id = local.node_id,
            cluster = %Uuid::from_u128(cluster_id),
            data_dir = %dir.display(),
            "replica started"
        );
        Ok(Self {
            replica,
            writer,
            peers: server,
            serving,
            stop_serving: guard,
        })
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Serves until `shutdown` resolves or the node fails.
    ///
    /// # Errors
    /// See [`super::ServeError`].
    pub async fn serve(
        self,
        config: &Config,
        listeners: Listeners,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let peers = self.peers.clone();
        run::run(config, self.replica, peers, listeners, shutdown).await?;
        if let Some(traces) = self.peers.traces() {
            traces.end().await;
        }
        // The log is closed, so its writer is about to end; wait for its last mark.
        let writer = self.writer;
        let ended = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(WRITER_TIMEOUT, ended).await.is_err() {
            tracing::warn!("the thread that writes the log has not ended in time");
        }
        self.peers.release_replica();
        drop(self.stop_serving);
        if let Some(serving) = self.serving
            && tokio::time::timeout(PEERS_TIMEOUT, serving).await.is_err()
        {
            tracing::debug!("connections to other nodes have not ended in time");
        }
        Ok(())
    }
}

/// Starts a node and serves until `shutdown` resolves, which it may do at any time.
///
/// # Errors
/// When the node cannot start, when its storage or Raft fails while it runs, or when its log cannot be closed.
pub async fn run_until(config: &Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    descriptors::raise_limit(config.network.connections_max);
    let mut shutdown = pin!(shutdown);
    let to_start = config.clone();
    let start = async move {
        // Bound before the data folder is touched: a taken port is the commonest mistake.
        let mut listeners = Listeners::bind(&to_start).await?;
        let node = StartedNode::start(&to_start, listeners.peers.take()).await?;
        Ok::<_, Error>((node, listeners))
    };
    let Some(started) = start_unless(shutdown.as_mut(), start).await else {
        tracing::info!("asked to stop before the node had started");
        return Ok(());
    };
    let (node, listeners) = started??;
    let address = listeners.rcp.local_addr();
    let http = listeners.http.as_ref().map(TcpListener::local_addr);
    tracing::info!(
        address = address.map_or_else(|_| config.network.bind_addr.clone(), |at| at.to_string()),
        http = http.map_or_else(
            || "off".to_owned(),
            |at| at.map_or_else(|error| error.to_string(), |at| at.to_string())
        ),
        tls = config.tls.enabled,
        auth = config.auth.required,
        "serving clients"
    );
    node.serve(config, listeners, shutdown).await
}

/// The node that the folder belongs to. A folder that was in use and names no node is refused.
async fn identity_of(config: &Config) -> Result<Option<Identity>, Error> {
    let found = raft_store::read_identity(&RealFs, &config.storage.data_dir)?;
    if found.is_none() {
        let config = config.clone();
        in_background(move || folder::refuse_nameless(&config)).await??;
    }
    Ok(found)
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
        what: "starting the node was interrupted",
        reason: std::io::Error::other(error),
    }
}

/// The cluster that a fresh node belongs to, and whether it is formed already.
async fn find_cluster(
    config: &Config,
    local: &Local,
    connections: &Connections,
) -> Result<(u128, bool), Error> {
    let known = if is_alone(&config.cluster) {
        None
    } else {
        forming::find_cluster(&config.cluster, local, connections).await?
    };
    Ok(known.unwrap_or_else(|| (Uuid::new_v4().as_u128(), false)))
}

/// Until `ended`, learns who belongs to the cluster, and compares the membership with the configuration.
fn watch_membership(
    cluster: &config::ClusterConfig,
    connections: Connections,
    replica: &Replica,
    ended: &CancellationToken,
) {
    let asking = connections.keep_asking(cluster.join.clone());
    tokio::spawn(ended.clone().run_until_cancelled_owned(asking));
    let comparing = ourselves::compare(cluster.clone(), replica.clone());
    tokio::spawn(ended.clone().run_until_cancelled_owned(comparing));
}

/// The service for other nodes. It also has what records requests.
fn peer_server(config: &Config, options: &peer::Options) -> Result<PeerServer, Error> {
    let server = PeerServer::new(options);
    if let Some(traces) = Traces::start(&config.tracing, options.local.node_id)? {
        server.set_traces(traces);
    }
    Ok(server)
}

async fn serve_peers(
    server: PeerServer,
    listener: TcpListener,
    sockets: Sockets,
    stop: CancellationToken,
) {
    if let Err(error) = server.serve(listener, sockets, stop).await {
        tracing::error!(%error, "the listener for other nodes has failed: this node no longer answers them");
    }
}

/// Opens the folder and makes it this node's.
async fn open_store(
    config: &Config,
    cluster_id: u128,
    local: &Local,
) -> Result<(Store<RealFs>, Writer<RealFs>), Error> {
    let options = store_options(config, cluster_id);
    let (store, writer) = in_background(move || Store::open(RealFs, options)).await??;
    store.write_identity(&Identity {
        // An earlier first start that ended here has left its cluster's id in the log.
        cluster_id: store.cluster_id(),
        node_id: local.node_id,
        incarnation: local.incarnation,
        cluster_name: local.cluster_name.clone(),
    })?;
    Ok((store, writer))
}

async fn start_replica(
    config: &Config,
    store: Store<RealFs>,
    writer: Writer<RealFs>,
    options: Options,
    connections: Connections,
) -> Result<(Replica, JoinHandle<()>), Error> {
    let writer = std::thread::Builder::new()
        .name("wal-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|reason| Error::System {
            what: "the thread that writes the log cannot be started",
            reason,
        })?;
    let storage = &config.storage;
    let host = TokioHost::new(storage.data_dir.clone());
    let host = Arc::new(match config.clock_is_manual {
        true => host.with_manual_clock(),
        false => host,
    });
    let peers = Arc::new(connections.clone());
    let replica = Replica::start(store, options, host, connections, peers)
        .await
        .map_err(|error| folder::explained(error, storage))?;
    Ok((replica, writer))
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

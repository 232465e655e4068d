//! Replicas behind the protocol, on temporary folders.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use rstmdb_engine::Limits;
use rstmdb_raft_store::{NodeInfo, RealFs, Retention, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::support::{CLUSTER, Served, options};
use crate::replica::NoPeers;
use crate::replica::{self, CompactionOptions, Formation};
use crate::server::peer::Connections;
use crate::server::product::{Product, Replica, TokioHost};

/// A node: its replica, and the protocol in front of it.
pub struct Node {
    pub replica: Replica,
    pub connections: Connections,
    pub served: Served,
    pub info: NodeInfo,
    dir: TempDir,
}

impl Node {
    /// One that forms a cluster of its own.
    pub async fn alone(id: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Arc::new(TokioHost::new(dir.path().to_owned()));
        let store = store(dir.path());
        let options = replica_options(id, Formation::Alone);
        let peers = Arc::new(NoPeers::<Product>::default());
        let replica = Replica::start(store, options, host, NoPeers::default(), peers).await;
        Self::serve(id, dir, |_| async { replica.unwrap() }).await
    }

    /// A node that belongs to no cluster yet, and learns of its cluster from other nodes.
    pub async fn fresh(id: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Arc::new(TokioHost::new(dir.path().to_owned()));
        let store = store(dir.path());
        let start = |connections: Connections| async move {
            let options = replica_options(id, Formation::Join);
            let peers = Arc::new(connections.clone());
            let started = Replica::start(store, options, host, connections, peers).await;
            started.unwrap()
        };
        Self::serve(id, dir, start).await
    }

    async fn serve<F>(id: u64, dir: TempDir, start: impl FnOnce(Connections) -> F) -> Self
    where
        F: Future<Output = Replica>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = options(id, listener.local_addr().unwrap());
        let info = NodeInfo {
            peer_addr: options.local.peer_addr.clone(),
            rcp_addr: options.local.rcp_addr.clone(),
        };
        let connections = Connections::new(&options);
        let replica = start(connections.clone()).await;
        let served = Served::on(listener, |_| options);
        served.server.set_replica(replica.clone());
        Self {
            replica,
            connections,
            served,
            info,
            dir,
        }
    }

    pub fn metrics(&self) -> RaftMetrics<Product> {
        self.replica.raft().metrics().borrow_watched().clone()
    }

    /// Its data folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// From the state itself: the metrics lag behind it.
    pub fn applied(&self) -> u64 {
        self.replica.status().last_applied
    }
}

/// A store in this folder, with its writer on a thread.
pub fn store(dir: &Path) -> Store<RealFs> {
    let mut options = rstmdb_raft_store::Options::new(dir);
    options.cluster_id = CLUSTER;
    let (store, writer) = Store::open(RealFs, options).unwrap();
    std::thread::spawn(move || writer.run());
    store
}

pub fn replica_options(node_id: u64, formation: Formation) -> replica::Options {
    replica::Options {
        node_id,
        node: NodeInfo::default(),
        formation,
        cluster_id: "test".to_owned(),
        cluster_name: "test".to_owned(),
        heartbeat: Duration::from_millis(50),
        election_timeout: (Duration::from_millis(300), Duration::from_millis(600)),
        leader_wait: Duration::from_secs(2),
        stall_timeout: Duration::from_secs(3),
        limits: Limits::default(),
        compaction: CompactionOptions {
            enabled: false,
            events_threshold: u64::MAX,
            size_threshold_bytes: u64::MAX,
            min_interval: Duration::ZERO,
            kept_behind_snapshot: 0,
            retention: Retention::default(),
        },
        clock_skew_max: Duration::from_secs(10),
        free_bytes_min: 0,
        costly_bytes: replica::Options::COSTLY_BYTES,
        levels: Arc::default(),
        raises_level: false,
        timers_in_flight: replica::Options::TIMERS_IN_FLIGHT,
        archive: None,
    }
}

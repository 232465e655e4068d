//! One node: the product's replica on real files, and the product's peer protocol in front of it.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rstmdb::replica::{self, CompactionOptions, Formation, LeaderChange};
use rstmdb::server::peer::{self, Connections, Credentials, Local, Members, PeerServer, Proofs};
use rstmdb::server::product::{Replica, TokioHost};
use rstmdb_engine::Limits;
use rstmdb_raft_store::{NodeInfo, RealFs, Retention, Store};
use tokio_util::sync::CancellationToken;
use turmoil::net::TcpListener;

use super::load::{self, Load};
use super::transport;

pub const NODES: u64 = 3;
const PORT: u16 = 7402;
const CLUSTER: u128 = 0xc105_7e12;
/// So low that a node that was away for a second needs a snapshot.
const SNAPSHOT_EVERY: u64 = 200;
const KEPT_BEHIND_SNAPSHOT: u64 = 50;
/// How often a node checks whether it must take over as leader.
const ORDERS_POLL: Duration = Duration::from_millis(20);

/// State that the nodes of one run share, and that outlives their crashes.
#[derive(Clone)]
pub struct Shared {
    pub folder: PathBuf,
    /// The replicas that run; a crash takes its own out.
    pub running: Arc<Mutex<BTreeMap<u64, Replica>>>,
    /// The node that is to become leader, if any.
    pub orders: Arc<Mutex<Option<u64>>>,
    pub load: Arc<Load>,
    /// By node: whom it has met, as its roster would say after a restart.
    met: Arc<Mutex<BTreeMap<u64, HashMap<u64, u128>>>>,
}

impl Shared {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            running: Arc::default(),
            orders: Arc::default(),
            load: Arc::default(),
            met: Arc::default(),
        }
    }
}

pub fn name(id: u64) -> String {
    format!("node{id}")
}

fn info(id: u64) -> NodeInfo {
    NodeInfo {
        peer_addr: format!("{}:{PORT}", name(id)),
        rcp_addr: format!("{}:7401", name(id)),
    }
}

/// Starts the node on what its folder holds, and serves until it crashes.
pub async fn run(id: u64, shared: Shared) -> turmoil::Result {
    let dir = shared.folder.join(name(id));
    let mut options = rstmdb_raft_store::Options::new(&dir);
    options.cluster_id = CLUSTER;
    options.catalog = false;
    options.segment_bytes = 256 * 1024;
    let (store, writer) = Store::open(RealFs, options)?;
    tokio::spawn(writer.drive_with(tokio::time::sleep));

    let options = peer_options(id, &shared);
    let connections = Connections::with_transport(&options, transport::open());
    let server = PeerServer::new(&options);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let served = server
        .clone()
        .serve_incoming(transport::incoming(listener), CancellationToken::new());
    let served = tokio::spawn(served);

    let host = Arc::new(TokioHost::new(dir));
    let peers = Arc::new(connections.clone());
    let replica = Replica::start(store, replica_options(id), host, connections, peers).await?;
    server.set_replica(replica.clone());
    shared.running.lock().insert(id, replica.clone());
    load::start(id, &replica, &shared.load);
    tokio::spawn(obey(id, replica, shared.orders.clone()));
    served.await??;
    Ok(())
}

async fn obey(id: u64, replica: Replica, orders: Arc<Mutex<Option<u64>>>) {
    loop {
        tokio::time::sleep(ORDERS_POLL).await;
        if orders.lock().take_if(|to| *to == id).is_some() {
            // The request may be refused or lost: the load goes on either way.
            let _ = replica
                .change(&LeaderChange::TransferLeader { to: Some(id) })
                .await;
        }
    }
}

fn peer_options(id: u64, shared: &Shared) -> peer::Options {
    let (to_meet, to_look_up) = (shared.met.clone(), shared.met.clone());
    let NodeInfo {
        peer_addr,
        rcp_addr,
    } = info(id);
    peer::Options {
        local: Local {
            node_id: id,
            incarnation: u128::from(id),
            cluster_name: "sockets".to_owned(),
            peer_addr,
            rcp_addr,
            listed: String::new(),
            cluster_id: Arc::new(OnceLock::from(CLUSTER)),
            levels: Arc::default(),
        },
        meet: Arc::new(move |other, incarnation| {
            let mut met = to_meet.lock();
            let known = met
                .entry(id)
                .or_default()
                .entry(other)
                .or_insert(incarnation);
            match *known == incarnation {
                true => Ok(()),
                false => Err(format!("node {other} was met as {known:x} before")),
            }
        }),
        recorded: Arc::new(move |other| {
            let met = to_look_up.lock();
            let known = met.get(&id).and_then(|met| met.get(&other));
            known.copied().unwrap_or(0)
        }),
        members: Members::new((1..=NODES).map(|id| (id, info(id).peer_addr))),
        credentials: Credentials::new(Proofs::default()).expect("without certificates"),
        rpc_timeout: Duration::from_millis(500),
        silence_timeout: Duration::from_secs(2),
    }
}

fn replica_options(id: u64) -> replica::Options {
    let members = (1..=NODES).map(|id| (id, info(id))).collect();
    replica::Options {
        node_id: id,
        node: info(id),
        formation: Formation::Together(members),
        cluster_id: "sockets".to_owned(),
        cluster_name: "sockets".to_owned(),
        heartbeat: Duration::from_millis(100),
        election_timeout: (Duration::from_millis(500), Duration::from_millis(1000)),
        leader_wait: Duration::from_secs(2),
        stall_timeout: Duration::from_secs(3),
        limits: Limits::default(),
        compaction: CompactionOptions {
            enabled: true,
            events_threshold: SNAPSHOT_EVERY,
            size_threshold_bytes: u64::MAX,
            min_interval: Duration::ZERO,
            kept_behind_snapshot: KEPT_BEHIND_SNAPSHOT,
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

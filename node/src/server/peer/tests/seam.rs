//! Everything above the seam, without a connection: a channel hands each request to the other node's services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use rstmdb_raft_store::NodeInfo;
use tempfile::TempDir;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request;
use tonic::service::Routes;

use super::replica_calls::{create, put};
use super::replicas::{replica_options, store};
use super::support::{eventually, options};
use crate::replica::Formation;
use crate::server::peer::{
    BadAddress, Channel, Connections, Dial, Others, PeerServer, SmallSegments,
};
use crate::server::product::{Replica, TokioHost};

/// Larger than any message of appends: it goes in pieces.
const LARGE: usize = 300_000;

/// What a node serves, by its address, and the calls that were made.
#[derive(Clone, Default)]
struct Memory {
    nodes: Arc<Mutex<BTreeMap<String, Routes>>>,
    calls: Arc<Mutex<BTreeSet<String>>>,
}

impl Dial for Memory {
    fn dial(
        &self,
        addr: &str,
        _others: Others,
        _small: SmallSegments,
    ) -> Result<Channel, BadAddress> {
        let (memory, addr) = (self.clone(), addr.to_owned());
        let call = move |request: Request<Body>| {
            memory.calls.lock().insert(request.uri().path().to_owned());
            let node = memory.nodes.lock().get(&addr).cloned();
            async move {
                let mut node = node.ok_or_else(|| Status::unavailable("connection refused"))?;
                // It cannot fail.
                Ok(node.call(request).await.unwrap())
            }
        };
        Ok(Channel::new(tower::service_fn(call)))
    }
}

struct Node {
    replica: Replica,
    server: PeerServer,
    info: NodeInfo,
    /// Its data; removed when the node is dropped.
    _dir: TempDir,
}

impl Node {
    async fn start(id: u16, memory: &Memory) -> Self {
        let options = options(u64::from(id), SocketAddr::from(([10, 0, 0, 0], id)));
        let info = NodeInfo {
            peer_addr: options.local.peer_addr.clone(),
            rcp_addr: options.local.rcp_addr.clone(),
        };
        let connections = Connections::over(&options, memory.clone());
        let server = PeerServer::new(&options);
        let served = (info.peer_addr.clone(), server.service());
        memory.nodes.lock().extend([served]);
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let host = Arc::new(TokioHost::new(dir.path().to_owned()));
        let peers = Arc::new(connections.clone());
        let options = replica_options(u64::from(id), Formation::Join);
        let started = Replica::start(store, options, host, connections, peers).await;
        let replica = started.unwrap();
        server.set_replica(replica.clone());
        Self {
            replica,
            server,
            info,
            _dir: dir,
        }
    }

    fn leader(&self) -> Option<u64> {
        let metrics = self.replica.raft().metrics();
        metrics.borrow_watched().current_leader
    }

    fn applied(&self) -> u64 {
        self.replica.status().last_applied
    }
}

async fn three(memory: &Memory) -> Vec<Node> {
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(Node::start(id, memory).await);
    }
    let members: BTreeMap<u64, NodeInfo> = (1..)
        .zip(nodes.iter().map(|node| node.info.clone()))
        .collect();
    nodes[0].replica.raft().initialize(members).await.unwrap();
    eventually("all follow one leader", || {
        let first = nodes[0].leader();
        first.is_some() && nodes.iter().all(|node| node.leader() == first)
    })
    .await;
    let leads = nodes.iter().position(|node| node.replica.is_leader());
    nodes.swap(0, leads.unwrap());
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_elect_append_forward_and_send_a_snapshot_without_a_connection() {
    let memory = Memory::default();
    let nodes = three(&memory).await;
    let [leader, follower, _] = nodes.as_slice() else {
        panic!("three nodes");
    };
    leader.replica.submit(put(), "test".into()).await.unwrap();
    let large = Some(format!("{{\"n\":\"{}\"}}", "x".repeat(LARGE)));
    let command = create("large", large);
    leader.replica.submit(command, "test".into()).await.unwrap();
    // The follower forwards it to the leader.
    let command = create("small", None);
    let done = follower.replica.submit(command, "test".into()).await;
    let offset = done.unwrap().offset.unwrap();
    eventually("all have applied it", || {
        nodes.iter().all(|node| node.applied() >= offset)
    })
    .await;

    leader.replica.compact(true).await.unwrap();
    let raft = leader.replica.raft();
    raft.trigger().purge_log(offset).await.unwrap();
    let is_purged = || raft.metrics().borrow_watched().purged.is_some();
    eventually("the log is purged", is_purged).await;
    let learner = Node::start(4, &memory).await;
    raft.add_learner(4, learner.info.clone(), false)
        .await
        .unwrap();
    eventually("it has what the snapshot holds", || {
        learner.applied() >= offset
    })
    .await;
    assert!(!learner.replica.snapshots().list().is_empty());

    let calls = memory.calls.lock().clone();
    for call in [
        "Raft/Vote",
        "Raft/Append",
        "Raft/StreamAppend",
        "Raft/Snapshot",
        "Node/Forward",
    ] {
        let path = format!("/rstmdb.peer.v1.{call}");
        assert!(calls.contains(&path), "{call} of {calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_a_server_that_closes_end_and_another_one_at_its_place_goes_on() {
    let memory = Memory::default();
    let nodes = three(&memory).await;
    let [leader, follower, _] = nodes.as_slice() else {
        panic!("three nodes");
    };
    leader.replica.submit(put(), "test".into()).await.unwrap();
    let addr = follower.info.peer_addr.clone();
    memory.nodes.lock().remove(&addr);
    follower.server.close();
    let large = Some(format!("{{\"n\":\"{}\"}}", "x".repeat(LARGE)));
    let command = create("large", large);
    leader.replica.submit(command, "test".into()).await.unwrap();
    let end = leader.applied();
    assert!(follower.applied() < end, "it hears nothing");

    let id = follower.replica.node().0;
    let server = PeerServer::new(&options(id, addr.parse().unwrap()));
    server.set_replica(follower.replica.clone());
    memory.nodes.lock().insert(addr, server.service());
    eventually("it has caught up", || follower.applied() >= end).await;
}

//! Nodes that have only the protocol, or the Raft below it too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::replica::Peer;
use crate::server::peer::{
    Connections, Credentials, KnownMembership, Local, Meet, Members, Options, PeerServer, Proofs,
};
use crate::server::transport::sockets::Sockets;
use rstmdb_raft_store::NodeInfo;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const CLUSTER: u128 = 0xc105_7e12;

/// Incarnations by node id, in memory.
#[derive(Clone, Default)]
pub struct Met(Arc<Mutex<HashMap<u64, u128>>>);

impl Met {
    pub fn with(pairs: &[(u64, u128)]) -> Self {
        Self(Arc::new(Mutex::new(pairs.iter().copied().collect())))
    }

    /// The ids of the nodes that were met, ascending.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.0.lock().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    fn meet(&self) -> Meet {
        let met = self.0.clone();
        Arc::new(move |node_id, incarnation| {
            match *met.lock().entry(node_id).or_insert(incarnation) {
                known if known == incarnation => Ok(()),
                known => Err(format!("node {node_id} was met as {known:x} before")),
            }
        })
    }
}

/// A node of [`CLUSTER`] at an address, with an incarnation made of its id.
pub fn options(node_id: u64, addr: SocketAddr) -> Options {
    options_with(node_id, addr, &Met::default())
}

pub fn options_with(node_id: u64, addr: SocketAddr, met: &Met) -> Options {
    let recorded = met.0.clone();
    Options {
        local: Local {
            listed: String::new(),
            node_id,
            incarnation: incarnation(node_id),
            cluster_name: "test".to_owned(),
            peer_addr: addr.to_string(),
            rcp_addr: format!("rcp-{node_id}:7401"),
            cluster_id: Arc::new(OnceLock::from(CLUSTER)),
            levels: Arc::default(),
        },
        meet: met.meet(),
        recorded: Arc::new(move |id| recorded.lock().get(&id).copied().unwrap_or(0)),
        members: everybody(),
        credentials: Credentials::new(Proofs::default()).unwrap(),
        rpc_timeout: Duration::from_secs(2),
        silence_timeout: Duration::from_secs(1),
    }
}

/// Every node of these tests, at the address where all of them are; newer than any membership there is.
fn everybody() -> Arc<Members> {
    let members = Members::new([]);
    members.hear(&KnownMembership {
        index: u64::MAX,
        nodes: (1..10).map(|id| (id, nowhere().to_string())).collect(),
    });
    members
}

pub fn incarnation(node_id: u64) -> u128 {
    u128::from(node_id) << 64 | 7
}

const SOCKETS: Sockets = Sockets {
    connections_max: 64,
    keepalive: None,
};

/// A server on a free port.
pub struct Served {
    pub addr: SocketAddr,
    pub server: PeerServer,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), super::super::Error>>,
}

impl Served {
    pub async fn start(options: impl FnOnce(SocketAddr) -> Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, options)
    }

    pub fn on(listener: TcpListener, options: impl FnOnce(SocketAddr) -> Options) -> Self {
        let addr = listener.local_addr().unwrap();
        let server = PeerServer::new(&options(addr));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.clone().serve(listener, SOCKETS, stop.clone()));
        Self {
            addr,
            server,
            stop,
            serving,
        }
    }

    pub fn peer(&self, id: u64) -> Peer {
        peer(id, self.addr)
    }

    /// Ends the node as a shutdown does. The port is free then.
    pub async fn stop(self) {
        self.stop.cancel();
        let served = tokio::time::timeout(PATIENCE, self.serving).await;
        served.expect("the server ends").unwrap().unwrap();
    }
}

pub fn peer(id: u64, addr: SocketAddr) -> Peer {
    Peer {
        id,
        node: NodeInfo {
            peer_addr: addr.to_string(),
            rcp_addr: format!("rcp-{id}:7401"),
        },
    }
}

/// Connections of a node that serves no other node.
pub fn client(node_id: u64) -> Connections {
    Connections::new(&options(node_id, nowhere()))
}

/// A connection of a caller that need not be a node.
pub fn channel(addr: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"));
    endpoint.unwrap().connect_lazy()
}

pub fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

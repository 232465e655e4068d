//! How a node with an empty data folder comes into a cluster, before its Raft starts.
//!
//! A fresh node knows nothing of its past, so it asks. It must hear from *every* other node that its configuration
//! lists. One of them may have met this node under another data folder. Perhaps only that node knows that this one has
//! forgotten votes and entries which it had promised to keep. A majority is enough for everything after that. The same
//! exchange agrees on the cluster's id: once all have answered, the fresh node with the lowest id makes it up, and the
//! others take it from the nodes that have it.
//!
//! ```text
//!            asks all of cluster.peers                      asks any of cluster.join
//! listed ─────────────────────────────▶ id known     joining ──────────────────────▶ id known
//!    │ a node does not answer yet: ask again             │ no node answers yet: ask again
//!    └ a node knows an older folder: refuse              └ a node knows an older folder: refuse
//! ```

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use uuid::Uuid;

use crate::replica::PeerError;
use crate::server::config::{ClusterConfig, ListedNode};
use crate::server::peer::{Connections, HelloAnswer, Local};

/// Interval between questions to the other nodes.
const ASK_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between log lines that name the nodes that have not answered yet.
const SAY_INTERVAL: Duration = Duration::from_secs(5);

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node has taken part before, with a data folder that is gone.
    #[error(
        "cluster.node_id: node {node_id} has taken part in cluster {cluster:?} before ({witness} knows \
         it), but its data folder is empty: it has forgotten its votes and its log, so it must not \
         come back under this id. Remove the old node (`rstmdb-cli cluster remove {node_id}`) and \
         start this one with cluster.join under an id that was never used"
    )]
    Forgotten {
        /// This node.
        node_id: u64,
        /// The cluster that knows it.
        cluster: String,
        /// The node that knows it.
        witness: String,
    },
    /// Another node answers at the address where this one was expected, or the other way round.
    #[error(
        "{key}: {addr} is the address of node {found}, not of node {expected}: every node needs its \
         own addresses, and all nodes the same list"
    )]
    WrongNode {
        /// The key that names the address.
        key: &'static str,
        /// The address.
        addr: String,
        /// The node that was expected there.
        expected: u64,
        /// The node that is there.
        found: u64,
    },
    /// The other node belongs to a cluster of another name.
    #[error(
        "cluster.name: this node has {ours:?}, but the node at {addr} has {theirs:?}: it belongs to \
         another cluster, or one of the two names is wrong"
    )]
    WrongName {
        /// This node's cluster.
        ours: String,
        /// The other's.
        theirs: String,
        /// Where it is.
        addr: String,
    },
    /// The other nodes belong to another cluster than this node's folder, or than each other.
    #[error(
        "the node at {addr} belongs to cluster {theirs}, but {whose} belongs to {ours}: they cannot \
         be one cluster"
    )]
    OtherCluster {
        /// Where it is.
        addr: String,
        /// Its cluster.
        theirs: Uuid,
        /// What the other cluster is compared with.
        whose: &'static str,
        /// The cluster of what is compared.
        ours: Uuid,
    },
    /// The listed nodes have formed a cluster without this one.
    #[error(
        "cluster.peers: node {witness} at {addr} belongs to a cluster of the nodes {members:?}, which \
         this node is not a member of: start it with cluster.join instead and add it with \
         `rstmdb-cli cluster add`"
    )]
    NotAMember {
        /// The node that says so.
        witness: u64,
        /// Where it is.
        addr: String,
        /// The members of its cluster.
        members: Vec<u64>,
    },
    /// Nodes that are to form one cluster list different ones.
    #[error(
        "cluster.peers: this node lists {ours}, but node {node_id} at {addr} lists {theirs}: all \
         nodes that form a cluster need the same list, or they would count different majorities"
    )]
    OtherList {
        /// The other node.
        node_id: u64,
        /// Where it is.
        addr: String,
        /// This node's list.
        ours: String,
        /// Its list.
        theirs: String,
    },
    /// The joining node would be added under the id of a node that is there already.
    #[error(
        "cluster.node_id: the node at {addr} has the id {node_id} already; a node that joins needs \
         an id that was never used"
    )]
    IdTaken {
        /// Where the other one is.
        addr: String,
        /// The id.
        node_id: u64,
    },
}

/// Asks until the other nodes have said which cluster this fresh node belongs to, and whether the cluster is formed
/// already. If it is, this node must not make a membership of its own. `None`: this node makes the id up.
///
/// # Errors
///
/// When a node that answers has another cluster name, another list, or a cluster without this node; or when two answers
/// name different clusters.
pub(crate) async fn find_cluster(
    config: &ClusterConfig,
    local: &Local,
    connections: &Connections,
) -> Result<Option<(u128, bool)>, Error> {
    let mut said = Instant::now();
    loop {
        let found = if config.join.is_empty() {
            ask_listed(config, local, connections).await?
        } else {
            ask_joined(config, local, connections).await?
        };
        match found {
            FoundCluster::Cluster { id, formed } => return Ok(Some((id, formed))),
            FoundCluster::Ours => return Ok(None),
            FoundCluster::Waiting(silent) => {
                if said.elapsed() >= SAY_INTERVAL {
                    said = Instant::now();
                    tracing::info!(waiting_for = silent.join(", "), "not in a cluster yet");
                }
            }
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// What one round of questions has shown.
enum FoundCluster {
    /// The others' cluster; `formed`: it is there already, and this node's Raft waits for its log.
    Cluster { id: u128, formed: bool },
    /// No node has one, and this node is to make it.
    Ours,
    /// These have not answered, or are not ready.
    Waiting(Vec<String>),
}

/// A node of a cluster names its members: this node has to be one of them.
fn must_be_member(local: &Local, addr: &str, answer: &HelloAnswer) -> Result<(), Error> {
    if answer.members.contains(&local.node_id) {
        return Ok(());
    }
    Err(Error::NotAMember {
        witness: answer.node_id,
        addr: addr.to_owned(),
        members: answer.members.clone(),
    })
}

async fn ask_listed(
    config: &ClusterConfig,
    local: &Local,
    connections: &Connections,
) -> Result<FoundCluster, Error> {
    let others: Vec<&ListedNode> = config
        .peers
        .iter()
        .filter(|peer| peer.id != local.node_id)
        .collect();
    let questions = others.iter().map(|peer| connections.hello(&peer.peer_addr));
    let mut silent = Vec::new();
    let mut known = None;
    let mut formed = false;
    let mut understood = local.levels.understands();
    for (peer, answer) in others.iter().zip(join_all(questions).await) {
        let Some(answer) = answered(&peer.peer_addr, answer, &mut silent) else {
            continue;
        };
        if answer.node_id != peer.id {
            return Err(Error::WrongNode {
                key: "cluster.peers",
                addr: peer.peer_addr.clone(),
                expected: peer.id,
                found: answer.node_id,
            });
        }
        check_answer(local, &peer.peer_addr, &answer)?;
        connections.members().hear(&answer.membership);
        if answer.opening || (answer.formed && answer.members.is_empty()) {
            // That node is reading its log, or is forming the cluster at this very moment.
            silent.push(peer.peer_addr.clone());
        } else if answer.formed {
            must_be_member(local, &peer.peer_addr, &answer)?;
            formed = true;
        } else if answer.listed != local.listed {
            return Err(Error::OtherList {
                node_id: answer.node_id,
                addr: peer.peer_addr.clone(),
                ours: local.listed.clone(),
                theirs: answer.listed,
            });
        }
        known = one_cluster(known, &peer.peer_addr, &answer)?;
        understood = understood.min(answer.understands);
    }
    if silent.is_empty() {
        local.levels.begin_at(understood);
    }
    let lowest = others.iter().all(|peer| local.node_id < peer.id);
    Ok(match known {
        _ if !silent.is_empty() => FoundCluster::Waiting(silent),
        Some(id) => FoundCluster::Cluster { id, formed },
        None if lowest => FoundCluster::Ours,
        None => FoundCluster::Waiting(vec!["the node with the lowest id".to_owned()]),
    })
}

async fn ask_joined(
    config: &ClusterConfig,
    local: &Local,
    connections: &Connections,
) -> Result<FoundCluster, Error> {
    let questions = config.join.iter().map(|addr| connections.hello(addr));
    let mut silent = Vec::new();
    let mut known = None;
    for (addr, answer) in config.join.iter().zip(join_all(questions).await) {
        let Some(answer) = answered(addr, answer, &mut silent) else {
            continue;
        };
        if answer.node_id == local.node_id {
            return Err(Error::IdTaken {
                addr: addr.clone(),
                node_id: local.node_id,
            });
        }
        check_answer(local, addr, &answer)?;
        connections.members().hear(&answer.membership);
        known = one_cluster(known, addr, &answer)?;
    }
    Ok(match known {
        Some(id) => FoundCluster::Cluster { id, formed: true },
        None => FoundCluster::Waiting(silent),
    })
}

fn answered(
    addr: &str,
    answer: Result<HelloAnswer, PeerError>,
    silent: &mut Vec<String>,
) -> Option<HelloAnswer> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            silent.push(format!("{addr} ({error})"));
            None
        }
    }
}

fn check_answer(local: &Local, addr: &str, answer: &HelloAnswer) -> Result<(), Error> {
    if answer.cluster_name != local.cluster_name {
        return Err(Error::WrongName {
            ours: local.cluster_name.clone(),
            theirs: answer.cluster_name.clone(),
            addr: addr.to_owned(),
        });
    }
    let recorded = answer.recorded_incarnation;
    if recorded.is_some_and(|recorded| recorded != local.incarnation) {
        return Err(Error::Forgotten {
            node_id: local.node_id,
            cluster: local.cluster_name.clone(),
            witness: format!("node {} at {addr}", answer.node_id),
        });
    }
    Ok(())
}

/// All nodes that know their cluster must name the same one.
fn one_cluster(
    known: Option<u128>,
    addr: &str,
    answer: &HelloAnswer,
) -> Result<Option<u128>, Error> {
    match (known, answer.cluster_id) {
        (known, None) => Ok(known),
        (Some(id), Some(theirs)) if id != theirs => Err(Error::OtherCluster {
            addr: addr.to_owned(),
            theirs: Uuid::from_u128(theirs),
            whose: "another listed node",
            ours: Uuid::from_u128(id),
        }),
        (_, theirs) => Ok(theirs),
    }
}

/// Asks every listed node once whether it belongs to the cluster of this node's folder. A node that does not answer may
/// be down: later calls check it again. Returns whether the Raft of any node is initialized.
///
/// # Errors
///
/// When a node that answers belongs to another cluster, or is not the node that the list says.
pub(crate) async fn check_cluster(
    config: &ClusterConfig,
    local: &Local,
    cluster_id: u128,
    connections: &Connections,
) -> Result<bool, Error> {
    let others = config.peers.iter().filter(|peer| peer.id != local.node_id);
    let others: Vec<&ListedNode> = others.collect();
    let questions = others.iter().map(|peer| connections.hello(&peer.peer_addr));
    let mut formed = false;
    for (peer, answer) in others.iter().zip(join_all(questions).await) {
        let Ok(answer) = answer else {
            continue;
        };
        check_answer(local, &peer.peer_addr, &answer)?;
        formed |= answer.formed;
        if let Some(theirs) = answer.cluster_id.filter(|theirs| *theirs != cluster_id) {
            return Err(Error::OtherCluster {
                addr: peer.peer_addr.clone(),
                theirs: Uuid::from_u128(theirs),
                whose: "this node's data folder",
                ours: Uuid::from_u128(cluster_id),
            });
        }
    }
    Ok(formed)
}

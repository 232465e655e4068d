//! Who this node is for the other nodes: from its data folder and its configuration to the options of the peer
//! protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rstmdb_raft_store::{Acquaintance, Identity, NodeInfo, RealFs, Roster};
use uuid::Uuid;

use super::error::Error;
use crate::replica::Levels;
use crate::server::config::file::read_bytes;
use crate::server::config::{ClusterConfig, Config, ListedNode};
use crate::server::peer::{self, Credentials, Local, Members, Secret};

fn named_id(cluster: &ClusterConfig) -> Option<u64> {
    let first = cluster.peers.first().map(|peer| peer.id);
    cluster.node_id.or(first)
}

/// The id that the configuration gives a node whose folder has none.
pub(crate) fn configured_id(cluster: &ClusterConfig) -> u64 {
    named_id(cluster).unwrap_or(1)
}

/// Whether the configuration names no other node.
pub(crate) fn is_alone(cluster: &ClusterConfig) -> bool {
    cluster.peers.len() < 2 && cluster.join.is_empty()
}

/// Who this node is, by its folder and its configuration, which must not contradict each other.
pub(crate) fn local(config: &Config, found: Option<&Identity>) -> Result<Local, Error> {
    let cluster = &config.cluster;
    let node_id = match (found, named_id(cluster)) {
        (Some(found), Some(configured)) if found.node_id != configured => {
            return Err(Error::WrongNode {
                configured,
                found: found.node_id,
            });
        }
        (Some(found), _) => found.node_id,
        (None, _) => configured_id(cluster),
    };
    let recorded = found.map_or("", |found| &found.cluster_name);
    if !recorded.is_empty() && recorded != cluster.name {
        return Err(Error::WrongCluster {
            configured: cluster.name.clone(),
            found: recorded.to_owned(),
        });
    }
    let NodeInfo {
        peer_addr,
        rcp_addr,
    } = config.addresses(node_id);
    let incarnation = found.map_or(0, |found| found.incarnation);
    Ok(Local {
        node_id,
        // A folder that is new, or was made before incarnations were recorded.
        incarnation: if incarnation == 0 {
            Uuid::new_v4().as_u128()
        } else {
            incarnation
        },
        cluster_name: cluster.name.clone(),
        listed: listed(&cluster.peers),
        peer_addr,
        rcp_addr,
        cluster_id: Arc::new(OnceLock::new()),
        levels: Arc::new(match cluster.understands {
            Some(level) => Levels::understanding(level),
            None => Levels::default(),
        }),
    })
}

/// The list as text, in one fixed order, for comparison with the lists of other nodes.
fn listed(peers: &[ListedNode]) -> String {
    if peers.len() < 2 {
        return String::new();
    }
    let by_id: BTreeMap<u64, &ListedNode> = peers.iter().map(|peer| (peer.id, peer)).collect();
    let texts = by_id
        .values()
        .map(|peer| format!("{}={}/{}", peer.id, peer.peer_addr, peer.rcp_addr));
    texts.collect::<Vec<_>>().join(",")
}

/// What this node shows to other nodes, and demands from them, by the present contents of the files.
pub(crate) fn proofs(cluster: &ClusterConfig) -> Result<peer::Proofs, Error> {
    let content = |key: &'static str, path: &PathBuf| {
        read_bytes(path).map_err(|reason| Error::Unreadable {
            key,
            path: path.clone(),
            reason,
        })
    };
    let read = |key: &'static str, path: &Option<PathBuf>| match path {
        Some(path) => content(key, path),
        // The configuration was checked: with TLS all three are set.
        None => Ok(Vec::new()),
    };
    let tls = if cluster.tls_enabled {
        Some(peer::PeerTls {
            cert_pem: read("cluster.tls.cert_path", &cluster.tls_cert_path)?,
            key_pem: read("cluster.tls.key_path", &cluster.tls_key_path)?,
            ca_pem: read("cluster.tls.ca_path", &cluster.tls_ca_path)?,
        })
    } else {
        None
    };
    let secret = cluster.secret_file.as_ref().map(|path| {
        let text = content("cluster.secret_file", path)?;
        let unusable = |reason| format!("{} cannot be used: {reason}", path.display());
        Secret::new(&text).map_err(|reason| Error::Secret(unusable(reason)))
    });
    Ok(peer::Proofs {
        tls,
        secret: secret.transpose()?,
        allowed_names: cluster.tls_allowed_names.clone(),
    })
}

pub(crate) fn peer_options(
    config: &Config,
    local: &Local,
    roster: &Arc<OnceLock<Roster<RealFs>>>,
) -> Result<peer::Options, Error> {
    let (to_meet, to_look_up) = (roster.clone(), roster.clone());
    let cluster = &config.cluster;
    let peers = cluster.peers.iter();
    Ok(peer::Options {
        local: local.clone(),
        members: Members::new(peers.map(|peer| (peer.id, peer.peer_addr.clone()))),
        credentials: Credentials::new(proofs(cluster)?)?,
        meet: Arc::new(move |node_id, incarnation| meet(to_meet.get(), node_id, incarnation)),
        recorded: Arc::new(move |node_id| {
            let roster = to_look_up.get();
            let recorded = roster.and_then(|roster| roster.incarnation_of(node_id));
            recorded.unwrap_or(0)
        }),
        rpc_timeout: cluster.election_timeout_min,
        silence_timeout: cluster.election_timeout_max * 2,
    })
}

/// Records a node that introduces itself, or says why it must not take part.
fn meet(roster: Option<&Roster<RealFs>>, node_id: u64, incarnation: u128) -> Result<(), String> {
    let Some(roster) = roster else {
        return Err("this node is starting".to_owned());
    };
    match roster.meet(node_id, incarnation) {
        Ok(Acquaintance::Known | Acquaintance::New) => Ok(()),
        Ok(Acquaintance::Other { .. }) => Err(format!(
            "node {node_id} has taken part in this cluster with another data folder: it has \
             forgotten its votes and its log and must come back under a new id"
        )),
        Err(error) => Err(format!("node {node_id} cannot be recorded: {error}")),
    }
}

//! The identity of a simulated node in the peer protocol, by the product's rules.

use std::sync::{Arc, OnceLock};

use rstmdb::replica::Levels;
use rstmdb::server::peer::{self, Credentials, Local, Members, Proofs};
use rstmdb_raft_store::{Acquaintance, MemFs, NodeInfo, Roster};

use crate::settings::Settings;

/// The cluster.
const CLUSTER: u128 = 0x51d;

/// The options of a node's side of the peer protocol. `listed`: the nodes of its configuration.
pub(super) fn options(
    settings: &Settings,
    (id, node): (u64, NodeInfo),
    incarnation: u128,
    listed: Vec<(u64, String)>,
    (roster, levels): (Roster<MemFs>, Arc<Levels>),
) -> Result<peer::Options, peer::Error> {
    let met = roster.clone();
    Ok(peer::Options {
        local: Local {
            node_id: id,
            incarnation,
            cluster_name: "sim".to_owned(),
            peer_addr: node.peer_addr,
            rcp_addr: node.rcp_addr,
            listed: String::new(),
            cluster_id: Arc::new(OnceLock::from(CLUSTER)),
            levels,
        },
        members: Members::new(listed),
        credentials: Credentials::new(Proofs::default())?,
        meet: Arc::new(
            move |node, incarnation| match roster.meet(node, incarnation) {
                Ok(Acquaintance::Known | Acquaintance::New) => Ok(()),
                Ok(Acquaintance::Other { .. }) => Err(format!("node {node} has lost its folder")),
                Err(error) => Err(format!("node {node} cannot be recorded: {error}")),
            },
        ),
        recorded: Arc::new(move |node| met.incarnation_of(node).unwrap_or(0)),
        rpc_timeout: settings.election,
        silence_timeout: settings.election * 4,
    })
}

//! Who belongs to the cluster.

use std::collections::{BTreeMap, BTreeSet};

use rstmdb_raft_store::{Membership, NodeInfo};

use super::{DecodeError, invalid, required};
use crate::server::peer::wire;

impl From<&NodeInfo> for wire::NodeInfo {
    fn from(node: &NodeInfo) -> Self {
        Self {
            peer_addr: node.peer_addr.clone(),
            rcp_addr: node.rcp_addr.clone(),
        }
    }
}

impl From<wire::NodeInfo> for NodeInfo {
    fn from(node: wire::NodeInfo) -> Self {
        Self {
            peer_addr: node.peer_addr,
            rcp_addr: node.rcp_addr,
        }
    }
}

impl From<(u64, NodeInfo)> for wire::Member {
    fn from((node_id, node): (u64, NodeInfo)) -> Self {
        Self {
            node_id,
            node: Some((&node).into()),
        }
    }
}

impl From<&Membership> for wire::MembershipConfig {
    fn from(membership: &Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        let nodes = membership.nodes();
        Self {
            configs: configs
                .map(|voters| wire::Voters {
                    node_ids: voters.iter().copied().collect(),
                })
                .collect(),
            nodes: nodes
                .map(|(id, node)| wire::Member {
                    node_id: *id,
                    node: Some(node.into()),
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::MembershipConfig> for Membership {
    type Error = DecodeError;

    fn try_from(message: wire::MembershipConfig) -> Result<Self, DecodeError> {
        // The membership of a node that has none yet, which `Membership::new` refuses.
        if message.configs.is_empty() && message.nodes.is_empty() {
            return Ok(Self::default());
        }
        let configs = message.configs.into_iter();
        let configs: Vec<BTreeSet<u64>> = configs
            .map(|voters| voters.node_ids.into_iter().collect())
            .collect();
        let mut nodes = BTreeMap::new();
        for member in message.nodes {
            let node = required("Member.node", member.node)?;
            nodes.insert(member.node_id, NodeInfo::from(node));
        }
        Self::new(configs, nodes).map_err(|error| invalid("MembershipConfig", error.to_string()))
    }
}

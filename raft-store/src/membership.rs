//! A membership as bytes: Protobuf, so that later versions can add fields.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use crate::types::{LogId, Membership, NodeInfo, StoredMembership, log_id};

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    peer_addr: String,
    #[prost(string, tag = "3")]
    rcp_addr: String,
}

#[derive(Clone, PartialEq, Message)]
struct Config {
    #[prost(uint64, repeated, tag = "1")]
    voters: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MembershipMessage {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<Config>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct LogIdMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
}

impl From<LogId> for LogIdMessage {
    fn from(id: LogId) -> Self {
        LogIdMessage {
            term: id.leader_id.term,
            index: id.index,
        }
    }
}

impl From<LogIdMessage> for LogId {
    fn from(message: LogIdMessage) -> Self {
        log_id(message.term, message.index)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredMembershipMessage {
    #[prost(message, optional, tag = "1")]
    log_id: Option<LogIdMessage>,
    #[prost(message, optional, tag = "2")]
    membership: Option<MembershipMessage>,
}

impl From<&Membership> for MembershipMessage {
    fn from(membership: &Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        let nodes = membership.nodes();
        MembershipMessage {
            configs: configs
                .map(|voters| Config {
                    voters: voters.iter().copied().collect(),
                })
                .collect(),
            nodes: nodes
                .map(|(id, node)| Node {
                    id: *id,
                    peer_addr: node.peer_addr.clone(),
                    rcp_addr: node.rcp_addr.clone(),
                })
                .collect(),
        }
    }
}

impl MembershipMessage {
    fn to_membership(&self) -> Result<Membership, String> {
        let configs = self.configs.iter();
        let configs: Vec<BTreeSet<u64>> = configs
            .map(|config| config.voters.iter().copied().collect())
            .collect();
        let nodes = self.nodes.iter();
        let nodes: BTreeMap<u64, NodeInfo> = nodes
            .map(|node| {
                let info = NodeInfo {
                    peer_addr: node.peer_addr.clone(),
                    rcp_addr: node.rcp_addr.clone(),
                };
                (node.id, info)
            })
            .collect();
        Membership::new(configs, nodes).map_err(|error| format!("an invalid membership: {error}"))
    }
}

impl From<&StoredMembership> for StoredMembershipMessage {
    fn from(stored: &StoredMembership) -> Self {
        StoredMembershipMessage {
            log_id: stored.log_id().map(Into::into),
            membership: Some(stored.membership().into()),
        }
    }
}

impl StoredMembershipMessage {
    pub(crate) fn to_stored(&self) -> Result<StoredMembership, String> {
        let membership = self
            .membership
            .as_ref()
            .map(MembershipMessage::to_membership);
        let membership = membership.transpose()?.unwrap_or_default();
        Ok(StoredMembership::new(
            self.log_id.map(Into::into),
            membership,
        ))
    }
}

/// Appends the encoded membership to `buf`.
pub(crate) fn encode(membership: &Membership, buf: &mut Vec<u8>) {
    buf.extend_from_slice(&MembershipMessage::from(membership).encode_to_vec());
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Membership, String> {
    MembershipMessage::decode(bytes)
        .map_err(|error| format!("a membership that does not parse: {error}"))?
        .to_membership()
}

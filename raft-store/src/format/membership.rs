//! Memberships and the metadata of snapshots as bytes: Protobuf, so that later versions
//! can add fields. The log, the snapshot files and the messages between nodes use the same form.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use crate::types::{LogId, Membership, NodeInfo, SnapshotMeta, StoredMembership, log_id};

#[derive(Clone, PartialEq, Message)]
struct MemberRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    peer_addr: String,
    #[prost(string, tag = "3")]
    rcp_addr: String,
}

#[derive(Clone, PartialEq, Message)]
struct VotersRecord {
    #[prost(uint64, repeated, tag = "1")]
    voters: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MembershipMessage {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<VotersRecord>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<MemberRecord>,
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

#[derive(Clone, PartialEq, Message)]
struct SnapshotMetaMessage {
    #[prost(message, optional, tag = "1")]
    last_log_id: Option<LogIdMessage>,
    #[prost(message, optional, tag = "2")]
    membership: Option<StoredMembershipMessage>,
}

impl From<&Membership> for MembershipMessage {
    fn from(membership: &Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        let nodes = membership.nodes();
        MembershipMessage {
            configs: configs
                .map(|voters| VotersRecord {
                    voters: voters.iter().copied().collect(),
                })
                .collect(),
            nodes: nodes
                .map(|(id, node)| MemberRecord {
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
    buf.extend_from_slice(&encode_membership(membership));
}

fn parse<M: Message + Default>(bytes: &[u8], name: &str) -> Result<M, String> {
    M::decode(bytes).map_err(|error| format!("a {name} that does not parse: {error}"))
}

/// A membership as bytes.
pub fn encode_membership(membership: &Membership) -> Vec<u8> {
    MembershipMessage::from(membership).encode_to_vec()
}

/// The membership that [`encode_membership`] made the bytes of.
///
/// # Errors
/// Says what is wrong with the bytes. They may come from any source.
pub fn decode_membership(bytes: &[u8]) -> Result<Membership, String> {
    parse::<MembershipMessage>(bytes, "membership")?.to_membership()
}

/// A membership and the entry that set it, as bytes.
pub fn encode_stored_membership(stored: &StoredMembership) -> Vec<u8> {
    StoredMembershipMessage::from(stored).encode_to_vec()
}

/// The value that [`encode_stored_membership`] made the bytes of.
///
/// # Errors
/// Says what is wrong with the bytes. They may come from any source.
pub fn decode_stored_membership(bytes: &[u8]) -> Result<StoredMembership, String> {
    parse::<StoredMembershipMessage>(bytes, "stored membership")?.to_stored()
}

/// What a snapshot is of, as bytes.
pub fn encode_snapshot_meta(meta: &SnapshotMeta) -> Vec<u8> {
    SnapshotMetaMessage {
        last_log_id: meta.last_log_id.map(Into::into),
        membership: Some((&meta.last_membership).into()),
    }
    .encode_to_vec()
}

/// The value that [`encode_snapshot_meta`] made the bytes of.
///
/// # Errors
/// Says what is wrong with the bytes. They may come from any source.
pub fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMeta, String> {
    let message = parse::<SnapshotMetaMessage>(bytes, "snapshot meta")?;
    Ok(SnapshotMeta {
        last_log_id: message.last_log_id.map(Into::into),
        last_membership: message.membership.unwrap_or_default().to_stored()?,
    })
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;

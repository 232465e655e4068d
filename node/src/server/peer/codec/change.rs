//! Changes of the membership.

use rstmdb_raft_store::NodeInfo;

use super::{DecodeError, required};
use crate::replica::{ChangeError, LeaderChange};
use crate::server::peer::wire;
use crate::server::peer::wire::change_error::Kind;
use crate::server::peer::wire::change_request::Change as Wire;

impl From<&LeaderChange> for wire::ChangeRequest {
    fn from(change: &LeaderChange) -> Self {
        let change = match change {
            LeaderChange::AddLearner { node_id, node } => Wire::AddLearner(wire::AddLearner {
                node_id: *node_id,
                node: Some(node.into()),
            }),
            LeaderChange::Promote { node_id } => Wire::Promote(*node_id),
            LeaderChange::Remove { node_id } => Wire::Remove(*node_id),
            LeaderChange::SetAddress {
                node_id,
                node,
                by_itself,
            } => Wire::SetAddress(wire::SetAddress {
                node_id: *node_id,
                node: Some(node.into()),
                by_itself: *by_itself,
            }),
            LeaderChange::RaiseLevel => Wire::RaiseLevel(wire::Blank {}),
            LeaderChange::TransferLeader { to } => {
                Wire::TransferLeader(wire::TransferLeader { to: *to })
            }
        };
        Self {
            change: Some(change),
        }
    }
}

impl TryFrom<wire::ChangeRequest> for LeaderChange {
    type Error = DecodeError;

    fn try_from(message: wire::ChangeRequest) -> Result<Self, DecodeError> {
        Ok(match required("ChangeRequest.change", message.change)? {
            Wire::AddLearner(add) => Self::AddLearner {
                node_id: add.node_id,
                node: NodeInfo::from(required("AddLearner.node", add.node)?),
            },
            Wire::Promote(node_id) => Self::Promote { node_id },
            Wire::Remove(node_id) => Self::Remove { node_id },
            Wire::SetAddress(set) => Self::SetAddress {
                node_id: set.node_id,
                node: NodeInfo::from(required("SetAddress.node", set.node)?),
                by_itself: set.by_itself,
            },
            Wire::RaiseLevel(_) => Self::RaiseLevel,
            Wire::TransferLeader(transfer) => Self::TransferLeader { to: transfer.to },
        })
    }
}

impl From<ChangeError> for wire::ChangeError {
    fn from(error: ChangeError) -> Self {
        let text = error.to_string();
        let kind = match error {
            // The node that asked looks for the leader itself.
            ChangeError::NotLeader | ChangeError::NoLeader | ChangeError::Removed(_) => {
                Kind::NotLeader(wire::Blank {})
            }
            ChangeError::UnknownNode { node_id } => Kind::UnknownNode(node_id),
            ChangeError::Refused { reason } => Kind::Refused(reason),
            ChangeError::Lagging { node_id, lag } => Kind::Lagging(wire::Lagging { node_id, lag }),
            ChangeError::HeldBack {
                needed,
                current,
                held_back_by,
            } => Kind::HeldBack(wire::HeldBack {
                needed,
                current,
                node_ids: held_back_by,
            }),
            ChangeError::Unconfirmed { reason } => Kind::Unconfirmed(reason),
        };
        Self {
            text,
            kind: Some(kind),
        }
    }
}

impl From<wire::ChangeError> for ChangeError {
    fn from(message: wire::ChangeError) -> Self {
        match message.kind {
            Some(Kind::NotLeader(_)) => Self::NotLeader,
            Some(Kind::UnknownNode(node_id)) => Self::UnknownNode { node_id },
            Some(Kind::Refused(reason)) => Self::Refused { reason },
            Some(Kind::Lagging(lagging)) => Self::Lagging {
                node_id: lagging.node_id,
                lag: lagging.lag,
            },
            Some(Kind::HeldBack(held)) => Self::HeldBack {
                needed: held.needed,
                current: held.current,
                held_back_by: held.node_ids,
            },
            Some(Kind::Unconfirmed(reason)) => Self::Unconfirmed { reason },
            // The reason is of a newer version: the change may or may not have been made, and asking again is safe.
            None => Self::Unconfirmed {
                reason: message.text,
            },
        }
    }
}

//! The outcome of a change, as the leader answers it.

use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::type_config::TypeConfigExt;

use super::CHANGE_TIMEOUT;
use crate::replica::peers::change::ChangeError;
use crate::replica::types::Types;

/// Waits for a majority to confirm a change, and returns the result.
pub(super) async fn confirmed<T: Types, R>(
    change: impl Future<Output = Result<R, RaftError<T, ClientWriteError<T>>>> + Send,
) -> Result<(), ChangeError> {
    match T::timeout(CHANGE_TIMEOUT / 2, change).await {
        Ok(changed) => changed.map(drop).map_err(not_changed),
        Err(_) => Err(ChangeError::Unconfirmed {
            reason: "a majority has not confirmed it yet".to_owned(),
        }),
    }
}

pub(super) fn another_history(node_id: u64, why: &str) -> ChangeError {
    refused(format!(
        "node {node_id} has a log of another history under this cluster's id: {why}. Its folder may be a copy that went on \
         by itself. Empty it (`rstmdb rejoin`), and start the node under an id that was never used"
    ))
}

pub(super) fn no_room(node_id: u64, reason: &str) -> ChangeError {
    refused(format!("node {node_id} has no room: {reason}"))
}

pub(in crate::replica::cluster) fn under_way() -> ChangeError {
    refused("another change of the membership is under way: try again in a moment".to_owned())
}

pub(super) fn refused(reason: String) -> ChangeError {
    ChangeError::Refused { reason }
}

fn not_changed<T: Types>(error: RaftError<T, ClientWriteError<T>>) -> ChangeError {
    match error {
        // The entry may be in the log of this node, and the next leader may commit it.
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ChangeError::Unconfirmed {
            reason: "this node lost the leadership while it made the change".to_owned(),
        },
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_),
        )) => under_way(),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            refused(error.to_string())
        }
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => {
            refused(error.to_string())
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) | RaftError::Fatal(_) => {
            ChangeError::Unconfirmed {
                reason: error.to_string(),
            }
        }
    }
}

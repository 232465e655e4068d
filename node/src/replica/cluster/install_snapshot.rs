//! Takes a snapshot from the leader in.

use openraft::Raft;
use openraft::errors::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::SnapshotHandle;

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::types::Types;

/// Installs a snapshot that the leader of `vote` has sent, unless the log has all of it.
///
/// A snapshot is sent for what the log lacked. By the time it is here, an append that the leader
/// had given up can have brought that, and more. openraft 0.10.0-alpha.37 would then take the log to
/// end with the snapshot, and not apply what is behind it before the next entry comes. Whether the
/// log has the snapshot's last entry is asked as a leader asks it: by an append of nothing behind
/// that, which is answered when the log is durable. An append that comes between the answer and the
/// installation is not held back.
pub(crate) async fn install_snapshot<T: Types>(
    raft: &Raft<T, StateMachine<T>>,
    vote: VoteOf<T>,
    snapshot: SnapshotOf<T, SnapshotHandle<T::Fs>>,
) -> Result<SnapshotResponse<T>, RaftError<T>> {
    let nothing = AppendEntriesRequest {
        vote,
        prev_log_id: snapshot.meta.last_log_id,
        entries: Vec::new(),
        leader_commit: None,
    };
    let vote = match raft.append_entries(nothing).await? {
        AppendEntriesResponse::Success => vote,
        AppendEntriesResponse::HigherVote(higher) => higher,
        AppendEntriesResponse::Conflict | AppendEntriesResponse::PartialSuccess(_) => {
            let installed = raft.install_full_snapshot(vote, snapshot).await;
            return installed.map_err(RaftError::Fatal);
        }
    };
    Ok(SnapshotResponse { vote })
}

//! Installs a snapshot from the leader.

use openraft::Raft;
use openraft::errors::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use rstmdb_raft_store::SnapshotHandle;

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::types::Types;

/// Installs a snapshot that the leader of `vote` has sent, unless the log has all of it.
///
/// The leader sends a snapshot because the log of this node lacked entries. Before the snapshot is complete, an append
/// that the leader had given up may still bring those entries, and later ones. openraft 0.10.0-alpha.37 would then take
/// the log to end with the snapshot, and would apply the later entries only when the next entry comes. So this function
/// first asks, as a leader does, whether the log has the last entry of the snapshot: it appends nothing behind that
/// entry. The answer comes when the log is durable. An append that comes between the answer and the installation is not
/// held back.
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

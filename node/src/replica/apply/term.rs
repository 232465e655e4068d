//! The term, as openraft has published it.

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;

use super::state_machine::StateMachine;
use crate::replica::types::Types;

/// The term this node is in, as last published.
pub(crate) fn term_of<T: Types>(raft: &Raft<T, StateMachine<T>>) -> u64 {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.vote.leader_id.term
}

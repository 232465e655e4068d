//! A leader that is the only voter serves linearizable reads from its applied state at once.
//!
//! A ReadIndex round proves two things. After the first successful round of this leader's term, both hold without
//! another round:
//!
//! 1. *Every write that was acknowledged is applied here.* The first round of the term has waited until this node had
//!    applied every write that any earlier leader acknowledged. In this term only this node acknowledges writes, and it
//!    does so after it has applied them and published their offset (`StateMachine::apply_chunk`).
//! 2. *No other node leads.* While this node is the only voter of its newest membership, committed or not, any other
//!    leader needs this node's vote. A membership in which it does not need this vote comes only after the joint
//!    membership, which this node, as the leader, must write to its log and commit. The joint membership needs this
//!    node's vote too. openraft publishes its metrics between two steps of such a change. So the metrics may name this
//!    node as the only voter until the joint membership is in the log, but no longer. It is therefore enough to check
//!    that this node has not voted for another node. The log store answers this, because it knows a vote before the
//!    candidate gets it. The metrics show a vote later.
//!
//! This also holds if the node has lost the end of its log, and with it a larger membership. When the node is elected,
//! it writes an entry of its own term. After that it gives no vote to a candidate whose log ends before this entry.

use std::sync::atomic::{AtomicU64, Ordering};

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use rstmdb_raft_store::Store;

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::types::Types;

/// Whether this leader may serve a linearizable read without a round.
pub(crate) struct Alone<T: Types> {
    raft: Raft<T, StateMachine<T>>,
    store: Store<T::Fs>,
    /// The last term in which a round succeeded while this node led, and this node had applied all that the round found
    /// committed. 0 if there is none.
    confirmed: AtomicU64,
}

impl<T: Types> Alone<T> {
    pub(crate) fn new(raft: Raft<T, StateMachine<T>>, store: Store<T::Fs>) -> Self {
        Self {
            raft,
            store,
            confirmed: AtomicU64::new(0),
        }
    }

    /// Notes that this node led in `term` during a round, and has applied what the round found committed.
    pub(crate) fn confirm(&self, term: u64) {
        // Terms only rise, so a later round never confirms an earlier term.
        self.confirmed.fetch_max(term, Ordering::Relaxed);
    }

    /// Whether a read that begins now may be served from the applied state, without a round.
    pub(crate) fn may_read(&self) -> bool {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        confirmed > 0 && self.leads_alone_in(confirmed)
    }

    fn leads_alone_in(&self, term: u64) -> bool {
        let id = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            if !is_only_voter(&metrics) {
                return false;
            }
            metrics.id
        };
        // Asked after the metrics: a vote that was given before the read began is seen here.
        self.store.vote().is_some_and(|vote| {
            vote.committed && vote.leader_id.term == term && vote.leader_id.voted_for == id
        })
    }
}

/// Whether this node leads, is the only voter of its newest membership, and its Raft core runs.
fn is_only_voter<T: Types>(metrics: &RaftMetrics<T>) -> bool {
    let membership = metrics.membership_config.membership();
    let [voters] = membership.get_joint_config().as_slice() else {
        return false;
    };
    metrics.state.is_leader()
        && metrics.running_state.is_ok()
        && voters.len() == 1
        && voters.contains(&metrics.id)
}

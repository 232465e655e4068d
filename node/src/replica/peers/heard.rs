//! Which nodes have answered this leader lately, by heartbeats or by taking in bytes of entries.
//!
//! A heartbeat may be lost between the pieces of a large entry, again and again on a link that the entry fills. Pieces
//! that arrive count as much as an answer to a heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;

use super::calls::Peers;
use crate::replica::types::Types;

/// The time of the last answer of each other node.
pub(crate) struct Heard<T: Types> {
    peers: Arc<dyn Peers>,
    taken: Mutex<BTreeMap<u64, Taken<T>>>,
}

/// How many bytes of entries a node had taken in at the last look, and when that number was seen to grow.
struct Taken<T: Types> {
    bytes: u64,
    grew: Option<InstantOf<T>>,
}

impl<T: Types> Heard<T> {
    pub(crate) fn new(peers: Arc<dyn Peers>) -> Self {
        Self {
            peers,
            taken: Mutex::default(),
        }
    }

    /// Looks which of these nodes have taken bytes in since the last look.
    pub(crate) fn look(&self, nodes: impl IntoIterator<Item = u64>) {
        for id in nodes {
            let bytes = self.peers.sent(id).bytes_taken;
            let mut all = self.taken.lock();
            let taken = all.entry(id).or_insert(Taken { bytes, grew: None });
            if taken.bytes != bytes {
                taken.bytes = bytes;
                taken.grew = Some(T::now());
            }
        }
    }

    /// Whether this node has answered within the last `silence`.
    pub(crate) fn has_answered(
        &self,
        metrics: &RaftMetrics<T>,
        id: u64,
        silence: Duration,
    ) -> bool {
        let answered = self.answered_at(metrics, id);
        answered.is_some_and(|at| T::now() < at + silence)
    }

    /// The other voter that has answered this leader last.
    pub(crate) fn last(&self, metrics: &RaftMetrics<T>) -> Option<u64> {
        let voters = metrics.membership_config.membership().voter_ids();
        voters
            .filter(|id| *id != metrics.id)
            .max_by_key(|id| self.answered_at(metrics, *id))
    }

    fn answered_at(&self, metrics: &RaftMetrics<T>, id: u64) -> Option<InstantOf<T>> {
        let beats = metrics.heartbeat.as_ref();
        let beat = beats.and_then(|all| all.get(&id).copied().flatten());
        beat.map(|at| *at).max(self.took_at(id))
    }

    /// When a check last found that this node had received bytes.
    pub(crate) fn took_at(&self, id: u64) -> Option<InstantOf<T>> {
        self.taken.lock().get(&id).and_then(|taken| taken.grew)
    }

    /// Whether a majority, this node included, has answered within the last `silence`. While the membership changes it
    /// takes a majority of both.
    pub(crate) fn has_majority(&self, metrics: &RaftMetrics<T>, silence: Duration) -> bool {
        let acked = metrics.last_quorum_acked;
        if acked.is_some_and(|at| T::now() < *at + silence) {
            return true;
        }
        let answers = |id: &&u64| **id == metrics.id || self.has_answered(metrics, **id, silence);
        let is_majority =
            |voters: &BTreeSet<u64>| voters.iter().filter(answers).count() * 2 > voters.len();
        let membership = metrics.membership_config.membership();
        membership.get_joint_config().iter().all(is_majority)
    }
}

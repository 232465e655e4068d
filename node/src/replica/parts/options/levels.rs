//! Feature levels as this node knows them: what its program understands, what its cluster has reached, what the other
//! members understand.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rstmdb_engine::fact::level::{CURRENT, FIRST};

/// The feature levels of this node's program, of its cluster and of the other members. The replica and the service for other nodes share it.
#[derive(Debug)]
pub struct Levels {
    understands: u32,
    /// The level at which a cluster begins that this node has formed, or has seen being formed.
    start: OnceLock<u32>,
    reached: AtomicU32,
    /// The highest level that this node, as the leader, has tried to raise the cluster to.
    proposed: AtomicU32,
    /// What other nodes have said of themselves.
    known: Mutex<BTreeMap<u64, u32>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self::understanding(CURRENT)
    }
}

impl Levels {
    /// Of a program that understands feature levels up to this one.
    #[must_use]
    pub fn understanding(level: u32) -> Self {
        Self {
            understands: level,
            start: OnceLock::new(),
            reached: AtomicU32::new(FIRST),
            proposed: AtomicU32::new(FIRST),
            known: Mutex::default(),
        }
    }

    /// The highest level that this node's program understands.
    #[must_use]
    pub fn understands(&self) -> u32 {
        self.understands
    }

    /// The level of the state that this node has applied.
    #[must_use]
    pub fn reached(&self) -> u32 {
        self.reached.load(Ordering::Acquire)
    }

    /// Notes the level of the applied state.
    pub(crate) fn reach(&self, level: u32) {
        let before = self.reached.swap(level, Ordering::AcqRel);
        if before != level {
            tracing::info!(from = before, to = level, "the cluster's feature level");
        }
    }

    /// A new cluster begins at this level: each node that forms it has said that it understands it.
    pub fn begin_at(&self, level: u32) {
        // Set once, when the node finds its cluster.
        let _ = self.start.set(level.min(self.understands));
    }

    /// The level at which the cluster begins, if this node was there.
    pub(crate) fn start(&self) -> Option<u32> {
        self.start.get().copied()
    }

    /// Notes that this node is about to raise the cluster to this level. The entry may take effect at any later time.
    pub(crate) fn propose(&self, level: u32) {
        self.proposed.fetch_max(level, Ordering::AcqRel);
    }

    /// What a node has to understand to be added: the level that is reached, or may be soon. `is_untouched`: nothing
    /// was ever written in the cluster.
    pub(crate) fn needed(&self, is_untouched: bool) -> u32 {
        let start = self.start().filter(|_| is_untouched).unwrap_or(FIRST);
        let proposed = self.proposed.load(Ordering::Acquire);
        self.reached().max(proposed).max(start)
    }

    /// Notes what another node says that it understands.
    pub(crate) fn learn(&self, node_id: u64, level: u32) {
        self.known.lock().insert(node_id, level);
    }

    /// Those of these members that do not understand the level, as far as this node knows. A member that has not
    /// answered is among them.
    pub(crate) fn holders(&self, members: impl Iterator<Item = u64>, level: u32) -> Vec<u64> {
        let known = self.known.lock();
        let holds = |id: &u64| known.get(id).is_none_or(|understood| *understood < level);
        members.filter(holds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_has_said_nothing_holds_the_level_back() {
        let levels = Levels::default();
        levels.learn(1, 2);
        levels.learn(2, 1);
        assert_eq!(levels.holders([1, 2, 3].into_iter(), 2), [2, 3]);
        assert_eq!(levels.holders([1, 2, 3].into_iter(), 1), [3]);
    }

    #[test]
    fn a_cluster_begins_at_no_more_than_this_node_understands() {
        let levels = Levels::understanding(1);
        assert_eq!((levels.needed(true), levels.start()), (1, None));
        levels.begin_at(2);
        assert_eq!((levels.needed(true), levels.start()), (1, Some(1)));
        let levels = Levels::default();
        levels.begin_at(2);
        assert_eq!((levels.needed(true), levels.needed(false)), (2, 1));
        levels.propose(2);
        assert_eq!((levels.needed(false), levels.reached()), (2, 1));
    }
}

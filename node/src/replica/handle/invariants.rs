//! What must hold for a replica at any moment; tests and the simulation check it.

use super::Replica;
use crate::replica::parts::invariants::{BrokenInvariant, ensure};
use crate::replica::types::Types;

impl<T: Types> Replica<T> {
    /// Checks this node's bookkeeping of what it has applied and of its watches, all of it. What it decides is
    /// checked after each step, in debug builds.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check_invariants(&self) -> Result<(), BrokenInvariant> {
        let applied = &self.parts.log.applied;
        // Asked in this order: an offset is published before its entry is shown to watches.
        let head = self.parts.watches.hub.check_invariants()?;
        let offset = applied.offset();
        ensure(head <= offset, || {
            format!("watches are shown offset {head}, {offset} was published")
        })?;
        applied.check_invariants()
    }

    /// How many entries were applied as they had been decided here, without being decoded.
    #[cfg(test)]
    pub(crate) fn entries_not_decoded(&self) -> u64 {
        let decided = &self.parts.log.applied.decided;
        decided.found.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Checks that what was purged is in a snapshot, and that what is in a snapshot or applied was committed. A node
    /// that has ended is not checked.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub async fn check_progress(&self) -> Result<(), BrokenInvariant> {
        let log = &self.parts.log;
        // Raft is asked last, and never goes back.
        let purged = log.store.purged().map_or(0, |id| id.index);
        let applied = log.applied.offset();
        let raft = &self.parts.neighbours.raft;
        let known = raft.with_raft_state(|state| {
            let committed = state.local_committed().map_or(0, |id| id.index);
            let snapshot = state.snapshot_meta.last_log_id.map_or(0, |id| id.index);
            (committed, snapshot)
        });
        let Ok((committed, snapshot)) = known.await else {
            return Ok(());
        };
        let is_right = purged <= snapshot && snapshot <= committed && applied <= committed;
        ensure(is_right, || {
            format!(
                "{purged} was purged, {snapshot} is in a snapshot, {applied} was applied, {committed} committed"
            )
        })
    }
}

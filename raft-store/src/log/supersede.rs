//! Replaces the log by a snapshot that the log does not lead to.
//!
//! A node that was cut off can hold entries of an old term that were never committed. The snapshot that a
//! leader then sends covers their offsets. openraft installs the snapshot first and removes such entries
//! later. Until then readers would take them for the history of the snapshot. After a crash in between,
//! openraft would find a log that contradicts the snapshot, and refuse to start. So the installation itself
//! removes the log; if a crash interrupts it, the next start does.

use crate::error::Error;
use crate::fs::FileSystem;
use crate::log::shared::{SharedLog, WriterRequest};
use crate::log::tail::Limit;
use crate::types::{LogId, next_index};

impl<F: FileSystem> SharedLog<F> {
    /// Makes the log begin after `end`, the last entry of a snapshot, unless the log holds that entry or has
    /// held it. When this returns, earlier entries read as compacted. Blocks.
    ///
    /// # Errors
    /// When the entry at that index cannot be read, or the log has failed.
    pub(crate) fn supersede(&self, end: LogId) -> Result<(), Error> {
        if self.leads_to(end)? {
            return Ok(());
        }
        let mut tail = self.tail.write();
        // Raft itself purges a log only up to what was committed, so that much belongs to the snapshot.
        let keep = tail.state.purged;
        tracing::info!(last = ?tail.state.last, snapshot = ?end, "a snapshot replaces the log");
        tail.truncate(keep);
        self.push(WriterRequest::Truncate {
            keep,
            epoch: tail.epoch,
        })?;
        self.purge(&mut tail, end)?;
        drop(tail);
        self.check_invariants();
        Ok(())
    }

    /// Two logs with the same entry at one index are the same up to there (the Raft paper, section 5.3).
    fn leads_to(&self, end: LogId) -> Result<bool, Error> {
        let (purged, next) = {
            let state = self.tail.read().state;
            (state.purged, next_index(state.last))
        };
        if end.index < next_index(purged) || end.index < self.earliest().min(next) {
            return Ok(true);
        }
        let entries = self.read(end.index, end.index + 1, Limit::new(1, usize::MAX))?;
        Ok(entries.first().is_some_and(|entry| entry.log_id == end))
    }
}

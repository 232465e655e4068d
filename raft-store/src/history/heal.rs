//! History files that are damaged: noticed, and replaced by the same entries from another node.
//!
//! A damaged file stays where it is until its replacement is durable and takes its name, so that
//! the history below it remains joined to the log.

use std::sync::Arc;

use super::receive::{HistoryReceiver, refused};
use crate::error::Error;
use crate::fs::FileSystem;
use crate::log::shared::SharedLog;
use crate::segment::history_file::{IndexRange, verify_file};
use crate::segment::{Index, OpenedFile};

impl<F: FileSystem> SharedLog<F> {
    /// The damaged history files: those on which a read or a check has failed.
    pub(crate) fn known_damaged_history(&self) -> Vec<IndexRange> {
        let damaged = self.damaged_history.lock().clone();
        let held = self.history_ranges();
        held.into_iter()
            .filter(|range| damaged.contains(range))
            .collect()
    }

    /// Reads one of the history files whole, and notes whether it is damaged. Blocks.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_history(&self, range: IndexRange) -> Result<(), Error> {
        let (fs, layout, options) = (&self.fs, &self.layout, &self.options);
        let checked = verify_file(fs, layout, &options.keys, range, options.cluster_id);
        match checked {
            Err(error) if self.history_ranges().contains(&range) => {
                self.note_damage(range, &error);
                Err(error)
            }
            // Retention has dropped the file meanwhile.
            Err(_) => Ok(()),
            Ok(_) => {
                self.damaged_history.lock().remove(&range);
                Ok(())
            }
        }
    }

    /// Begins to receive the entries of a history file again. When all have arrived, they replace the file.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] when there is no such file.
    pub(crate) fn replace_history(
        self: &Arc<Self>,
        range: IndexRange,
    ) -> Result<HistoryReceiver<F>, Error> {
        self.check()?;
        let purged = self.tail.read().state.purged;
        match purged.filter(|_| self.history_ranges().contains(&range)) {
            Some(purged) => HistoryReceiver::begin(self.clone(), range, purged, true),
            None => Err(not_held(range)),
        }
    }

    /// The first and last index of each file with history from other nodes, oldest first.
    pub(crate) fn history_ranges(&self) -> Vec<IndexRange> {
        let table = self.table.read();
        let live = table.history.iter().filter(|held| held.live.is_some());
        live.filter_map(|held| held.index.summary.range).collect()
    }

    /// Makes a published file take the place of the one that had its name. The caller holds the
    /// lock of the names.
    pub(super) fn replace(&self, index: Index, opened: OpenedFile<F::File>) -> Result<(), Error> {
        let range = index.summary.range.unwrap_or_default();
        if !self.table.write().replace_history(index, Arc::new(opened)) {
            return Err(not_held(range));
        }
        self.damaged_history.lock().remove(&range);
        Ok(())
    }

    pub(super) fn check_held(&self, range: IndexRange) -> Result<(), Error> {
        match self.history_ranges().contains(&range) {
            true => Ok(()),
            false => Err(not_held(range)),
        }
    }
}

fn not_held((first, last): IndexRange) -> Error {
    refused(first, last, "no history file holds exactly these entries")
}

//! History files that are damaged: noticed, and replaced by the same entries from another node.
//!
//! A damaged file stays where it is until its replacement is durable and takes its name, so that
//! the history below it remains joined to the log.

use std::sync::Arc;

use super::files::{Range, verify_file};
use super::receive::{HistoryReceiver, refused};
use crate::error::Error;
use crate::fs::FileSystem;
use crate::segment::{Index, Opened, Summary};
use crate::shared::Shared;
use crate::store::Store;

impl<F: FileSystem> Store<F> {
    /// The first and last index of each file with history from other nodes, oldest first.
    pub fn history_files(&self) -> Vec<(u64, u64)> {
        self.shared.history_ranges()
    }

    /// Those of them that are known to be damaged: a read or a check has failed on them.
    pub fn damaged_history(&self) -> Vec<(u64, u64)> {
        let damaged = self.shared.damaged_history.lock().clone();
        let held = self.shared.history_ranges();
        held.into_iter()
            .filter(|range| damaged.contains(range))
            .collect()
    }

    /// Reads one of the history files whole. Blocks.
    ///
    /// # Errors
    /// What is wrong with it; it is one of [`Store::damaged_history`] then.
    pub fn check_history(&self, range: (u64, u64)) -> Result<(), Error> {
        let shared = &self.shared;
        let (fs, layout, options) = (&shared.fs, &shared.layout, &shared.options);
        let checked = verify_file(fs, layout, &options.keys, range, options.cluster_id);
        match checked {
            Err(error) if shared.history_ranges().contains(&range) => {
                shared.note_damage(range, &error);
                Err(error)
            }
            // Retention was faster.
            Err(_) => Ok(()),
            Ok(_) => {
                shared.damaged_history.lock().remove(&range);
                Ok(())
            }
        }
    }

    /// Begins to take in the entries of a history file once more; when all have come, they take its
    /// place. Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] when there is no such file.
    pub fn replace_history(&self, range: (u64, u64)) -> Result<HistoryReceiver<F>, Error> {
        let shared = &self.shared;
        shared.check()?;
        let purged = shared.tail.read().state.purged;
        match purged.filter(|_| shared.history_ranges().contains(&range)) {
            Some(purged) => HistoryReceiver::begin(shared.clone(), range, purged, true),
            None => Err(not_held(range)),
        }
    }
}

impl<F: FileSystem> Shared<F> {
    fn history_ranges(&self) -> Vec<Range> {
        let table = self.table.read();
        let live = table.history.iter().filter(|held| held.live.is_some());
        live.filter_map(|held| held.index.summary.range).collect()
    }

    /// Says what is lost where the file is one with history, and remembers that it is damaged.
    pub(crate) fn in_file_of(&self, summary: &Summary, error: Error) -> Error {
        let error = error.in_file_of(summary);
        let damage = matches!(error, Error::Damaged { .. } | Error::Io { .. });
        if let Some(range) = summary.range.filter(|_| damage && summary.is_history()) {
            self.note_damage(range, &error);
        }
        error
    }

    fn note_damage(&self, range: Range, error: &Error) {
        if self.damaged_history.lock().insert(range) {
            tracing::error!(%error, "a file with history is damaged");
        }
    }

    /// Makes a published file take the place of the one that had its name. The caller holds the
    /// lock of the names.
    pub(super) fn replace(&self, index: Index, opened: Opened<F::File>) -> Result<(), Error> {
        let range = index.summary.range.unwrap_or_default();
        let mut table = self.table.write();
        let same = |held: &&mut crate::segment::Held<F>| held.index.summary.range == Some(range);
        let Some(held) = table.history.iter_mut().find(same) else {
            return Err(not_held(range));
        };
        held.index = index;
        held.indexed = true;
        held.file = Some(Arc::new(opened));
        drop(table);
        self.damaged_history.lock().remove(&range);
        Ok(())
    }

    pub(super) fn check_held(&self, range: Range) -> Result<(), Error> {
        match self.history_ranges().contains(&range) {
            true => Ok(()),
            false => Err(not_held(range)),
        }
    }
}

fn not_held((first, last): Range) -> Error {
    refused(first, last, "there is no such file to be replaced")
}

//! The store's methods for history from other nodes.

use crate::error::Error;
use crate::fs::FileSystem;
use crate::history::HistoryReceiver;
use crate::store::Store;

impl<F: FileSystem> Store<F> {
    /// Begins to receive the entries `first..=last` from another node. Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] unless `last` is just below [`Store::earliest_index`] and was
    /// purged by Raft: only that is history.
    pub fn receive_history(&self, first: u64, last: u64) -> Result<HistoryReceiver<F>, Error> {
        self.shared.receive_history(first, last)
    }

    /// The first and last index of the run of entries to send next to a peer whose history begins at `before`
    /// (exclusive). The run takes about `bytes_max` bytes of files, and has at least one entry.
    /// `None` when this node has no file with the entries below `before`, or does not know yet that they are
    /// committed.
    pub fn history_run(&self, before: u64, bytes_max: u64) -> Option<(u64, u64)> {
        self.shared.history_run(before, bytes_max)
    }

    /// The first and last index of each file with history from other nodes, oldest first.
    pub fn history_files(&self) -> Vec<(u64, u64)> {
        self.shared.history_ranges()
    }

    /// The damaged ones: those on which a read or a check has failed.
    pub fn damaged_history(&self) -> Vec<(u64, u64)> {
        self.shared.known_damaged_history()
    }

    /// Reads one of the history files whole. Blocks.
    ///
    /// # Errors
    /// The damage. The file is then listed by [`Store::damaged_history`].
    pub fn check_history(&self, range: (u64, u64)) -> Result<(), Error> {
        self.shared.check_history(range)
    }

    /// Begins to receive the entries of a history file again. When all have arrived, they replace the file.
    /// Blocks.
    ///
    /// # Errors
    /// [`Error::HistoryRefused`] when there is no such file.
    pub fn replace_history(&self, range: (u64, u64)) -> Result<HistoryReceiver<F>, Error> {
        self.shared.replace_history(range)
    }
}

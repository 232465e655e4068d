//! The store's methods for history that leaves the node for an archive.

use crate::error::Error;
use crate::fs::FileSystem;
use crate::history::{ArchivedFile, ArchivedName, ArchivedObject};
use crate::store::{Expired, Store};

impl<F: FileSystem> Store<F> {
    /// The archive's form of a file that retention no longer keeps, without its entries below `from`; `None` when none
    /// of its entries remains. Every record of the file is checked. `stale` are the entries that changed nothing.
    /// Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged: an archive must not keep damage instead of entries.
    pub fn archived_form(
        &self,
        file: &Expired,
        node_id: u64,
        from: u64,
        stale: impl Fn(u64) -> bool,
    ) -> Result<Option<ArchivedObject>, Error> {
        let range = file.range().map(|(first, last)| (first.max(from), last));
        let Some(range) = range.filter(|(first, last)| first <= last) else {
            return Ok(None);
        };
        let form = self
            .shared
            .archived_form(&file.summary, range, node_id, &stale)?;
        Ok(Some(form))
    }

    /// Makes an object of the archive readable: checks all of it, and keeps a copy in the data folder. Blocks.
    ///
    /// # Errors
    /// When it is not the object of this name, belongs to another cluster, needs a key that is not known, or when the
    /// copy cannot be written.
    pub fn open_archived(
        &self,
        name: &ArchivedName,
        object: &[u8],
    ) -> Result<ArchivedFile<F>, Error> {
        self.shared.open_archived(name, object)
    }

    /// Removes the copies of archived files that an earlier process has left. Call it before the first
    /// [`Store::open_archived`]. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn remove_archived_copies(&self) -> Result<(), Error> {
        self.shared.remove_archived_copies()
    }
}

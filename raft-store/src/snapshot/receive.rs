//! Receives a snapshot from another node.

use std::path::PathBuf;
use std::sync::Arc;

use super::read::SnapshotReader;
use super::{SnapshotHandle, SnapshotStore, info_of, read};
use crate::error::{Error, IoContext};
use crate::fs::{File, FileSystem};

/// A snapshot that is being received. Dropping it discards the blocks that have arrived.
pub struct SnapshotReceiver<F: FileSystem> {
    store: SnapshotStore<F>,
    temporary: PathBuf,
    file: Option<F::File>,
    bytes: u64,
}

impl<F: FileSystem> SnapshotReceiver<F> {
    pub(super) fn new(store: SnapshotStore<F>) -> Result<Self, Error> {
        let temporary = store.folder.temporary();
        let file = store
            .folder
            .fs
            .create(&temporary)
            .during("create", &temporary)?;
        Ok(SnapshotReceiver {
            store,
            temporary,
            file: Some(file),
            bytes: 0,
        })
    }

    /// Bytes received so far: the position of the next block.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the next block. Blocks on the disk.
    pub fn write_block(&mut self, block: &[u8]) -> Result<(), Error> {
        let file = self.file.as_ref().ok_or(Error::Closed)?;
        file.write_all_at(block, self.bytes)
            .during("write", &self.temporary)?;
        self.bytes += block.len() as u64;
        Ok(())
    }

    /// Verifies every block, then publishes the snapshot. If a block is damaged, this is an error and nothing
    /// has changed.
    pub fn finish(mut self) -> Result<SnapshotHandle<F>, Error> {
        let file = Arc::new(self.file.take().ok_or(Error::Closed)?);
        let (totals, bytes) = read::read_footer(&*file, &self.temporary)?;
        let (head, mut records) = SnapshotReader::new(
            file.clone(),
            self.temporary.clone(),
            &self.store.folder.keys,
        )?;
        super::check_cluster(&head, self.store.folder.cluster_id, &self.temporary)?;
        records.try_for_each(|record| record.map(drop))?;
        drop(records);
        let info = info_of(&head, &totals, bytes);
        let file = Arc::into_inner(file).ok_or(Error::Closed)?;
        let handle = self
            .store
            .folder
            .publish(&self.temporary, file, head, info)?;
        // Published under its name: there is no temporary file to discard.
        self.temporary = PathBuf::new();
        Ok(handle)
    }
}

impl<F: FileSystem> Drop for SnapshotReceiver<F> {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            self.store.folder.discard(&self.temporary);
        }
    }
}

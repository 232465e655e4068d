//! A run of the disk, to be cut off anywhere: each power cut that could have ended it.

use std::sync::Arc;

use super::MemFs;
use super::cut::Cut;
use super::disk::{DataChange, DiskOperation, MemDisk};

/// The operations that changed a [`MemFs`] since [`MemFs::record`], in order.
#[derive(Clone, Debug)]
pub struct Recording {
    base: Arc<MemDisk>,
    operations: Vec<DiskOperation>,
}

impl Recording {
    pub(super) fn new(base: Arc<MemDisk>, operations: &[DiskOperation]) -> Self {
        Recording {
            base,
            operations: operations.to_vec(),
        }
    }

    /// How many operations there were. A power cut can come before each of them and after the last.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// The disk after the first `operations` of them.
    #[must_use]
    pub fn moment(&self, operations: usize) -> Moment {
        let mut disk = (*self.base).clone();
        let done = &self.operations[..operations.min(self.operations.len())];
        done.iter()
            .for_each(|operation| disk.perform(operation.clone()));
        let last = done.last().map(describe).unwrap_or_default();
        Moment {
            disk,
            operations: done.len(),
            last,
        }
    }
}

/// A moment at which the power may be cut.
#[derive(Clone, Debug)]
pub struct Moment {
    disk: MemDisk,
    operations: usize,
    last: String,
}

impl Moment {
    /// How many operations came before it.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// What a power cut now can leave, as far as syncs allow. Of each unsynced write it leaves nothing, all, any of its
    /// sectors, or the part before or from any byte. Of each folder's unsynced names it leaves the first ones, up to any
    /// of them. These are all outcomes if those of the files are at most `exhaustive_max`, otherwise a choice by `seed`
    /// that has every change alone lost and kept. The order is always the same.
    #[must_use]
    pub fn cuts(&self, exhaustive_max: usize, seed: u64) -> Vec<Cut> {
        Cut::all(&self.disk, exhaustive_max, seed)
    }

    /// The machine when the power is back.
    #[must_use]
    pub fn after(&self, cut: &Cut) -> MemFs {
        MemFs::with(cut.apply(&self.disk))
    }

    /// The machine when only the process is killed: what is not synced stays so.
    #[must_use]
    pub fn killed(&self) -> MemFs {
        MemFs::with(self.disk.clone())
    }

    /// What this cut does, in words.
    #[must_use]
    pub fn describe(&self, cut: &Cut) -> String {
        format!("after: {}\n{}", self.last, cut.describe(&self.disk))
    }
}

fn describe(operation: &DiskOperation) -> String {
    match operation {
        DiskOperation::Data(file, change) => match change {
            DataChange::Write { at, data } => {
                format!("{} bytes written at {at} of file {file}", data.len())
            }
            DataChange::SetLen(len) => {
                format!("file {file} made {len} bytes long")
            }
        },
        DiskOperation::Sync(file) => format!("file {file} synced"),
        DiskOperation::Name(change) => format!("{change:?}"),
        DiskOperation::SyncDir(dir) => format!("{} synced", dir.display()),
    }
}

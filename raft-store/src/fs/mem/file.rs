//! A file of the file system in memory.

use std::io;

use super::disk::{DataChange, DiskOperation};
use super::{FaultOp, File, MemFs, MemState};

/// A file of a [`MemFs`].
#[derive(Debug)]
pub struct MemFile {
    pub(super) fs: MemFs,
    pub(super) inode: u64,
    pub(super) generation: u64,
}

impl MemFile {
    fn operate<T>(
        &self,
        op: FaultOp,
        run: impl FnOnce(&mut MemState) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fs.operate(op, Some(self.generation), run)
    }

    fn resize(state: &mut MemState, inode: u64, len: u64) -> io::Result<()> {
        let old = state.disk.inode(inode)?.content.len() as u64;
        state.reserve(len.saturating_sub(old))?;
        let change = DataChange::SetLen(len as usize);
        state.disk.perform(DiskOperation::Data(inode, change));
        Ok(())
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.operate(FaultOp::Read, |state| {
            let content = &state.disk.inode(self.inode)?.content;
            let start = (offset as usize).min(content.len());
            let len = buf.len().min(content.len() - start);
            buf[..len].copy_from_slice(&content[start..start + len]);
            Ok(len)
        })
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.operate(FaultOp::Write, |state| {
            let end = offset + data.len() as u64;
            let old = state.disk.inode(self.inode)?.content.len() as u64;
            state.reserve(end.saturating_sub(old))?;
            let change = DataChange::Write {
                at: offset as usize,
                data: data.into(),
            };
            state.disk.perform(DiskOperation::Data(self.inode, change));
            Ok(())
        })
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.operate(FaultOp::Write, |state| {
            if state.disk.inode(self.inode)?.content.len() as u64 >= len {
                return Ok(());
            }
            Self::resize(state, self.inode, len)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate(FaultOp::Write, |state| Self::resize(state, self.inode, len))
    }

    fn len(&self) -> io::Result<u64> {
        self.operate(FaultOp::Read, |state| {
            Ok(state.disk.inode(self.inode)?.content.len() as u64)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.operate(FaultOp::Sync, |state| {
            state.disk.perform(DiskOperation::Sync(self.inode));
            Ok(())
        })
    }
}

//! A file system in memory that fails on command, the same way for the same seed.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::mem_cut::{Cut, Random};
use super::mem_disk::{DataChange, Disk, Operation};
use super::mem_record::Recording;
use super::{File, FileSystem};

/// An operation a [`Fault`] can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOp {
    /// Creating or opening a file.
    Open,
    /// Reading.
    Read,
    /// Writing, preallocating or changing a length.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Renaming or removing.
    Name,
}

/// A scripted failure: the `nth` next operation of a kind (1 = the next one) fails with `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of operation.
    pub op: FaultOp,
    /// Which one of them, counted from when the fault was set.
    pub nth: u64,
    /// How it fails.
    pub error: io::ErrorKind,
    /// Whether all later ones fail too.
    pub sticky: bool,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    /// The disk when the recording began.
    recorded_from: Arc<Disk>,
    random: Random,
    faults: Vec<Fault>,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: u64,
    /// Handles of an earlier generation belong to a machine that has lost power.
    generation: u64,
    operations: u64,
}

/// The file system in memory. Clones share the same disk.
#[derive(Clone, Debug)]
pub struct MemFs(Arc<Mutex<State>>);

/// A file of a [`MemFs`].
#[derive(Debug)]
pub struct MemFile {
    fs: MemFs,
    inode: u64,
    generation: u64,
}

/// A lock of a [`MemFs`].
#[derive(Debug)]
pub struct MemLock {
    fs: MemFs,
    path: PathBuf,
    generation: u64,
}

impl MemFs {
    /// An empty disk whose crashes are decided by `seed`.
    pub fn new(seed: u64) -> Self {
        Self::on(Disk::default(), seed)
    }

    /// A machine with this disk.
    pub(super) fn with(disk: Disk) -> Self {
        Self::on(disk, 0)
    }

    fn on(disk: Disk, seed: u64) -> Self {
        MemFs(Arc::new(Mutex::new(State {
            disk,
            recorded_from: Arc::default(),
            random: Random(seed),
            faults: Vec::new(),
            locks: BTreeSet::new(),
            capacity_bytes: u64::MAX,
            generation: 0,
            operations: 0,
        })))
    }

    /// Cuts the power: what was not synced is lost, kept or torn as the seed decides, every
    /// open handle is dead, every lock is free, scripted faults are gone.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let cut = Cut::draw(&state.disk, &mut state.random);
        state.disk = cut.apply(&state.disk);
        state.faults.clear();
        state.locks.clear();
        state.generation += 1;
    }

    /// Kills the process only: handles die and locks are freed, but what was written stays.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.faults.clear();
        state.locks.clear();
        state.generation += 1;
    }

    /// Keeps every operation that changes the disk from here on, until a crash.
    pub fn record(&self) {
        let mut state = self.0.lock();
        state.recorded_from = Arc::new(state.disk.clone());
        state.disk.record();
    }

    /// How many operations were recorded so far.
    pub fn recorded(&self) -> usize {
        self.0.lock().disk.recorded().len()
    }

    /// What was recorded so far.
    pub fn recording(&self) -> Recording {
        let state = self.0.lock();
        Recording::new(state.recorded_from.clone(), state.disk.recorded())
    }

    /// Tells disks apart by their names and contents, as programs see them.
    pub fn digest(&self) -> u64 {
        let state = self.0.lock();
        let mut hasher = DefaultHasher::new();
        state.disk.files().for_each(|file| file.hash(&mut hasher));
        hasher.finish()
    }

    /// Schedules a failure.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().faults.push(fault);
    }

    /// Makes the disk this large; beyond it writes fail with `StorageFull`.
    pub fn set_capacity_bytes(&self, bytes: u64) {
        self.0.lock().capacity_bytes = bytes;
    }

    /// How many operations were made so far: a simulation can crash after each of them.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// The content of a file as programs see it.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.0.lock();
        let inode = state.disk.find(path)?;
        Ok(state.disk.inode(inode)?.content.clone())
    }

    /// Replaces a file's content, durably: how tests damage and cut files.
    pub fn set_content(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        let inode = state.disk.find(path)?;
        state.disk.replace(inode, content);
        Ok(())
    }

    fn operate<T>(
        &self,
        op: FaultOp,
        generation: Option<u64>,
        run: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        if generation.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other(
                "the machine of this handle has lost power",
            ));
        }
        state.operations += 1;
        state.fail_if_due(op)?;
        run(&mut state)
    }

    fn handle(&self, inode: u64, generation: u64) -> MemFile {
        MemFile {
            fs: self.clone(),
            inode,
            generation,
        }
    }
}

impl State {
    fn fail_if_due(&mut self, op: FaultOp) -> io::Result<()> {
        let mut failure = None;
        self.faults.retain_mut(|fault| {
            if fault.op != op {
                return true;
            }
            fault.nth = fault.nth.saturating_sub(1);
            if fault.nth == 0 {
                failure = Some(fault.error);
            }
            fault.nth > 0 || fault.sticky
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn reserve(&self, more_bytes: u64) -> io::Result<()> {
        if self.disk.used_bytes().saturating_add(more_bytes) > self.capacity_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl FileSystem for MemFs {
    type File = MemFile;
    type Lock = MemLock;

    fn create(&self, path: &Path) -> io::Result<MemFile> {
        self.operate(FaultOp::Open, None, |state| {
            Ok(self.handle(state.disk.create(path), state.generation))
        })
    }

    fn open(&self, path: &Path) -> io::Result<MemFile> {
        self.operate(FaultOp::Open, None, |state| {
            Ok(self.handle(state.disk.find(path)?, state.generation))
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.lock().disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate(FaultOp::Name, None, |state| {
            state.disk.create_dir_all(dir);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(FaultOp::Name, None, |state| state.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(FaultOp::Name, None, |state| state.disk.remove(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate(FaultOp::Name, None, |state| {
            state.disk.remove_dir_all(dir);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(FaultOp::SyncDir, None, |state| {
            state.disk.perform(Operation::SyncDir(dir.to_owned()));
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<MemLock> {
        let mut state = self.0.lock();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let generation = state.generation;
        Ok(MemLock {
            fs: self.clone(),
            path: path.to_owned(),
            generation,
        })
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        Ok(state.capacity_bytes.saturating_sub(state.disk.used_bytes()))
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut state = self.fs.0.lock();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

impl MemFile {
    fn operate<T>(
        &self,
        op: FaultOp,
        run: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fs.operate(op, Some(self.generation), run)
    }

    fn resize(state: &mut State, inode: u64, len: u64) -> io::Result<()> {
        let old = state.disk.inode(inode)?.content.len() as u64;
        state.reserve(len.saturating_sub(old))?;
        let change = DataChange::SetLen(len as usize);
        state.disk.perform(Operation::Data(inode, change));
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
            state.disk.perform(Operation::Data(self.inode, change));
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
            state.disk.perform(Operation::Sync(self.inode));
            Ok(())
        })
    }
}

//! A file system in memory that fails on command, the same way for the same seed.

mod cut;
mod disk;
mod file;
mod record;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::{File, FileSystem};
use cut::Random;
use disk::{DiskOperation, MemDisk};

pub use cut::Cut;
pub use file::MemFile;
pub use record::{Moment, Recording};

/// An operation a [`DiskFault`] can hit.
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
pub struct DiskFault {
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
struct MemState {
    disk: MemDisk,
    /// The disk when the recording began.
    recorded_from: Arc<MemDisk>,
    random: Random,
    faults: Vec<DiskFault>,
    locks: BTreeSet<PathBuf>,
    capacity_bytes: u64,
    /// Handles of an earlier generation belong to a machine that has lost power.
    generation: u64,
    operations: u64,
    /// How many changes are left until the power is cut; `None`: it is not cut.
    power_left: Option<u64>,
}

/// The file system in memory. Clones share the same disk.
#[derive(Clone, Debug)]
pub struct MemFs(Arc<Mutex<MemState>>);

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
        Self::on(MemDisk::default(), seed)
    }

    /// A machine with this disk.
    fn with(disk: MemDisk) -> Self {
        Self::on(disk, 0)
    }

    fn on(disk: MemDisk, seed: u64) -> Self {
        MemFs(Arc::new(Mutex::new(MemState {
            disk,
            recorded_from: Arc::default(),
            random: Random(seed),
            faults: Vec::new(),
            locks: BTreeSet::new(),
            capacity_bytes: u64::MAX,
            generation: 0,
            operations: 0,
            power_left: None,
        })))
    }

    /// Cuts the power: what was not synced is lost, kept or torn as the seed decides, every
    /// open handle is dead, every lock is free, scripted faults are gone.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let cut = Cut::draw(&state.disk, &mut state.random);
        state.disk = cut.apply(&state.disk);
        state.restart();
    }

    /// Cuts the power after this many more changes. All later changes fail and change nothing, until
    /// [`MemFs::crash`] decides what is left on the disk. So a power cut can interrupt a sequence of changes
    /// anywhere. If this is called several times, the earliest cut counts.
    pub fn cut_power_after(&self, changes: u64) {
        let left = &mut self.0.lock().power_left;
        *left = Some(left.map_or(changes, |left| left.min(changes)));
    }

    /// Whether the power is off.
    pub fn has_lost_power(&self) -> bool {
        self.0.lock().power_left == Some(0)
    }

    /// Kills the process only: handles die and locks are freed, but what was written stays.
    pub fn kill(&self) {
        self.0.lock().restart();
    }

    /// Records every operation that changes the disk from now on, until a crash.
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
    pub fn inject(&self, fault: DiskFault) {
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
        run: impl FnOnce(&mut MemState) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        if generation.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other(
                "the machine of this handle has lost power",
            ));
        }
        state.operations += 1;
        if !matches!(op, FaultOp::Open | FaultOp::Read) {
            state.draw_power()?;
        }
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

impl MemState {
    /// A new process uses the disk: all handles and locks of the earlier process are gone.
    fn restart(&mut self) {
        self.faults.clear();
        self.locks.clear();
        self.generation += 1;
        self.power_left = None;
    }

    fn draw_power(&mut self) -> io::Result<()> {
        match &mut self.power_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

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
            state.draw_power()?;
            Ok(self.handle(state.disk.create(path), state.generation))
        })
    }

    fn open(&self, path: &Path) -> io::Result<MemFile> {
        self.operate(FaultOp::Open, None, |state| {
            Ok(self.handle(state.disk.find(path)?, state.generation))
        })
    }

    fn open_to_write(&self, path: &Path) -> io::Result<MemFile> {
        self.open(path)
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
            state.disk.perform(DiskOperation::SyncDir(dir.to_owned()));
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

    fn lock_existing(&self, path: &Path) -> io::Result<Option<MemLock>> {
        self.lock(path).map(Some)
    }

    fn is_locked_file(&self, lock: &MemLock, _path: &Path) -> io::Result<bool> {
        Ok(lock.generation == self.0.lock().generation)
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

//! A disk that reads a few bytes at a time, and one that writes half of the data before it reports that it is full.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::log::{Log, options};
use crate::support::{OnTokio, entry};
use bytes::Bytes;
use futures_util::FutureExt;
use openraft::RaftTypeConfig;
use openraft::async_runtime::{AsyncRuntime, Oneshot};
use openraft::storage::{IOFlushed, RaftLogStorage};
use rstmdb_raft_store::fs::File;
use rstmdb_raft_store::{
    Entry, FileSystem, Keyring, MemFs, Options, SnapshotMeta, Store, log_id, verify,
};

/// Reads give this much at most.
const READ_BYTES_MAX: usize = 3;

/// A disk in memory that does everything in parts.
#[derive(Clone)]
struct Grudging {
    disk: MemFs,
    /// Writes until one is cut short; 0: never.
    writes_left: Arc<AtomicU64>,
}

struct GrudgingFile<F> {
    file: F,
    writes_left: Arc<AtomicU64>,
}

impl Grudging {
    fn file<F>(&self, file: F) -> GrudgingFile<F> {
        GrudgingFile {
            file,
            writes_left: self.writes_left.clone(),
        }
    }
}

impl FileSystem for Grudging {
    type File = GrudgingFile<<MemFs as FileSystem>::File>;
    type Lock = <MemFs as FileSystem>::Lock;

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        Ok(self.file(self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Self::File> {
        Ok(self.file(self.disk.open(path)?))
    }
    fn open_to_write(&self, path: &Path) -> io::Result<Self::File> {
        Ok(self.file(self.disk.open_to_write(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        self.disk.lock(path)
    }
    fn lock_existing(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        self.disk.lock_existing(path)
    }
    fn is_locked_file(&self, lock: &Self::Lock, path: &Path) -> io::Result<bool> {
        self.disk.is_locked_file(lock, path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl<F: File> File for GrudgingFile<F> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let some = buf.len().min(READ_BYTES_MAX);
        self.file.read_at(&mut buf[..some], offset)
    }
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let left = self.writes_left.load(Ordering::Relaxed);
        if left == 0 {
            return self.file.write_all_at(data, offset);
        }
        self.writes_left.store(left - 1, Ordering::Relaxed);
        if left > 1 {
            return self.file.write_all_at(data, offset);
        }
        self.file.write_all_at(&data[..data.len() / 2], offset)?;
        Err(io::ErrorKind::StorageFull.into())
    }
    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.file.preallocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn small() -> Options {
    let mut options = options();
    options.segment_bytes = 1024;
    options
}

fn numbered(index: u64) -> Entry {
    entry(1, index, format!("payload {index}"))
}

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(log_id(1, index)),
        ..SnapshotMeta::default()
    }
}

/// Writes until something fails; says how many entries were acknowledged, and whether the snapshot
/// was.
fn run(fs: &Grudging) -> (u64, bool) {
    type OneshotOf = <<OnTokio as RaftTypeConfig>::AsyncRuntime as AsyncRuntime>::Oneshot;
    let Ok((store, mut writer)) = Store::open(fs.clone(), small()) else {
        return (0, false);
    };
    let mut raft = store.log_store::<OnTokio>();
    let (mut acknowledged, mut snapshot) = (0, false);
    for index in 0..40 {
        let (done, completion) = OneshotOf::channel::<Result<(), io::Error>>();
        let flushed = IOFlushed::signal(done);
        if raft
            .append([numbered(index)], flushed)
            .now_or_never()
            .unwrap()
            .is_err()
        {
            break;
        }
        writer.step();
        match completion.now_or_never().unwrap().unwrap() {
            Ok(()) => acknowledged = index + 1,
            Err(_) => break,
        }
        if index == 20 {
            let records = (0..3).map(|n| Bytes::from(format!("record {n}")));
            snapshot = store.snapshots().write(&meta(20), 9, records).is_ok();
            assert!(store.failed().is_none());
        }
    }
    (acknowledged, snapshot)
}

fn grudging(disk: &MemFs, writes: u64) -> Grudging {
    Grudging {
        disk: disk.clone(),
        writes_left: Arc::new(AtomicU64::new(writes)),
    }
}

#[test]
fn a_disk_that_reads_in_parts_gives_the_same_log() {
    let disk = MemFs::new(0);
    assert_eq!(run(&grudging(&disk, 0)), (40, true));
    disk.kill();
    let fs = grudging(&disk, 0);
    let report = verify(&fs, Path::new("/data"), &Keyring::default(), false);
    assert!(report.is_intact() && report.entries == 40, "{report:?}");
    disk.kill();
    let (store, _writer) = Store::open(fs, small()).unwrap();
    let expected: Vec<Entry> = (0..40).map(numbered).collect();
    assert_eq!(store.read(0, usize::MAX, usize::MAX).unwrap(), expected);
    let snapshots = store.snapshots();
    let current = snapshots.current().unwrap().unwrap();
    assert_eq!(snapshots.open_records(&current).unwrap().count(), 3);
}

#[test]
fn a_write_that_is_taken_in_half_loses_nothing_acknowledged() {
    let mut partly = 0;
    for nth in 1.. {
        let disk = MemFs::new(nth);
        let fs = grudging(&disk, nth);
        let (acknowledged, snapshot) = run(&fs);
        let failed = fs.writes_left.load(Ordering::Relaxed) == 0;
        // Anything that the store writes after the failure is whole.
        if !failed {
            break;
        }
        partly += u64::from((1..40).contains(&acknowledged));
        disk.kill();
        let mut log = Log::open(&disk, &small()).unwrap();
        let entries = log.entries();
        assert!(entries.len() as u64 >= acknowledged, "write {nth}");
        let expected: Vec<Entry> = (0..entries.len() as u64).map(numbered).collect();
        assert_eq!(entries, expected, "write {nth}");
        let current = log.store.snapshots().current().unwrap();
        assert!(!snapshot || current.is_some(), "write {nth}");
        log.write(entries.len() as u64);
    }
    assert!(partly > 20, "{partly}");
}

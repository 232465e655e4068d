//! Snapshots on disk. The store writes a snapshot whole or not at all, verifies it at every read, and keeps
//! the older one until the newer is durable.

mod files;
mod format;
mod read;
mod receive;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::crypto::Keyring;
use crate::error::{Error, IoContext};
use crate::folder::{Clock, Layout, Options};
use crate::fs::{self, File, FileSystem, TEMPORARY_SUFFIX};
use crate::types::SnapshotMeta;
use files::{check_cluster, check_name, file_name, info_of};
use format::SnapshotHead;

pub(crate) use files::{list_files, verify_file};
pub use files::{read_snapshot_file, snapshot_files};
pub use read::SnapshotReader;
pub use receive::SnapshotReceiver;

const INDEX_NAME: &str = "index.json";

/// What is known of a snapshot without reading its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// File name in the snapshots folder; also the snapshot's id.
    pub file: String,
    /// Index of the last log entry in it; `None` for a snapshot of nothing.
    pub index: Option<u64>,
    /// Term of that entry.
    pub term: u64,
    /// Records in it.
    pub records: u64,
    /// Size of the file.
    pub bytes: u64,
    /// When it was taken, Unix time in milliseconds.
    pub created_ms: u64,
    /// The state's digest as its owner gave it, in hexadecimal.
    pub digest: String,
    /// Checksum over the checksums of its blocks, in hexadecimal.
    pub checksum: String,
}

/// A complete, durable snapshot. It can be read for as long as the handle lives, even when a
/// newer one has replaced it.
pub struct SnapshotHandle<F: FileSystem> {
    info: SnapshotInfo,
    meta: SnapshotMeta,
    digest: u128,
    path: PathBuf,
    file: Arc<F::File>,
    /// Shared by all of a folder.
    suspicion: Arc<AtomicBool>,
}

impl<F: FileSystem> Clone for SnapshotHandle<F> {
    fn clone(&self) -> Self {
        SnapshotHandle {
            info: self.info.clone(),
            meta: self.meta.clone(),
            digest: self.digest,
            path: self.path.clone(),
            file: self.file.clone(),
            suspicion: self.suspicion.clone(),
        }
    }
}

impl<F: FileSystem> std::fmt::Debug for SnapshotHandle<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SnapshotHandle").field(&self.info).finish()
    }
}

impl<F: FileSystem> SnapshotHandle<F> {
    /// Notes that another node could not install this snapshot. The store should then check it, and write it again
    /// if it is damaged.
    pub fn suspect(&self) {
        self.suspicion.store(true, Ordering::Relaxed);
    }

    /// What openraft wants to know of it.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The state's digest as given when it was written.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Size, counts, name.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// Up to `bytes_max` raw bytes of the file at `offset`, for sending it as it is; empty at
    /// the end.
    pub fn read_block(&self, offset: u64, bytes_max: usize) -> Result<Bytes, Error> {
        let left = self.info.bytes.saturating_sub(offset);
        let mut block = vec![0; bytes_max.min(usize::try_from(left).unwrap_or(bytes_max))];
        self.file
            .read_exact_at(&mut block, offset)
            .during("read", &self.path)?;
        Ok(block.into())
    }
}

/// The snapshots folder. Clones are the same folder.
pub struct SnapshotStore<F: FileSystem> {
    folder: Arc<SnapshotFolder<F>>,
}

impl<F: FileSystem> Clone for SnapshotStore<F> {
    fn clone(&self) -> Self {
        SnapshotStore {
            folder: self.folder.clone(),
        }
    }
}

struct SnapshotFolder<F: FileSystem> {
    fs: F,
    dir: PathBuf,
    cluster_id: u128,
    clock: Clock,
    keys: Keyring,
    /// By index, oldest first.
    listed: Mutex<Vec<SnapshotInfo>>,
    /// One snapshot is published at a time.
    publishing: Mutex<u64>,
    suspicion: Arc<AtomicBool>,
}

#[derive(Serialize, Deserialize, Default, PartialEq)]
struct IndexFile {
    format_version: u32,
    snapshots: Vec<SnapshotInfo>,
}

impl<F: FileSystem> SnapshotStore<F> {
    pub(crate) fn open(fs: F, layout: &Layout, options: &Options) -> Result<Self, Error> {
        let folder = SnapshotFolder {
            fs,
            dir: layout.snapshots.clone(),
            cluster_id: options.cluster_id,
            clock: options.clock.clone(),
            keys: options.keys.clone(),
            listed: Mutex::default(),
            publishing: Mutex::default(),
            suspicion: Arc::default(),
        };
        folder.remove_temporaries()?;
        // A name that is visible now may not be durable yet, and the store purges the log because of this snapshot.
        folder
            .fs
            .sync_dir(&folder.dir)
            .during("sync", &folder.dir)?;
        let found = folder.scan_files()?;
        // The index is for people and tools; the files are the truth.
        if folder.read_index().as_ref() != Some(&found) {
            folder.write_index(&found)?;
        }
        *folder.listed.lock() = found;
        Ok(SnapshotStore {
            folder: Arc::new(folder),
        })
    }

    /// Writes a snapshot and makes it the current one. Blocks; returns once it is durable.
    pub fn write(
        &self,
        meta: &SnapshotMeta,
        digest: u128,
        records: impl Iterator<Item = Bytes>,
    ) -> Result<SnapshotHandle<F>, Error> {
        let SnapshotFolder {
            fs,
            cluster_id,
            clock,
            keys,
            ..
        } = &*self.folder;
        let (key, cipher) = keys.for_new_file()?.unzip();
        let head = SnapshotHead {
            meta: meta.clone(),
            digest,
            cluster_id: *cluster_id,
            created_ms: clock(),
            key,
        };
        let temporary = self.folder.temporary();
        let file = fs.create(&temporary).during("create", &temporary)?;
        let written = write::write_all(&file, &temporary, &head, cipher, records);
        let (totals, bytes) = written.inspect_err(|_| self.folder.discard(&temporary))?;
        let info = info_of(&head, &totals, bytes);
        self.folder.publish(&temporary, file, head, info)
    }

    /// The newest snapshot.
    pub fn current(&self) -> Result<Option<SnapshotHandle<F>>, Error> {
        let newest = self.folder.listed.lock().last().cloned();
        newest.map(|info| self.folder.handle(info)).transpose()
    }

    /// Whether one of the snapshots was suspected ([`SnapshotHandle::suspect`]) since this was last asked.
    pub fn take_suspicion(&self) -> bool {
        self.folder.suspicion.swap(false, Ordering::Relaxed)
    }

    /// All snapshots, oldest first.
    pub fn list(&self) -> Vec<SnapshotInfo> {
        self.folder.listed.lock().clone()
    }

    /// The records of a snapshot, each verified as it is read.
    pub fn open_records(
        &self,
        handle: &SnapshotHandle<F>,
    ) -> Result<SnapshotReader<F::File>, Error> {
        Ok(SnapshotReader::new(handle.file.clone(), handle.path.clone(), &self.folder.keys)?.1)
    }

    /// Receives a snapshot's raw blocks, as [`SnapshotHandle::read_block`] of another node sent them.
    pub fn receive(&self) -> Result<SnapshotReceiver<F>, Error> {
        SnapshotReceiver::new(self.clone())
    }

    /// The first contradiction in the list of snapshots; `None` when there is none.
    #[cfg(feature = "testing")]
    pub(crate) fn fault(&self) -> Option<&'static str> {
        fault(&self.folder.listed.lock())
    }

    /// Removes all other snapshots. openraft installs this one, and readers must not see an older one
    /// afterwards.
    pub(crate) fn keep_only(&self, handle: &SnapshotHandle<F>) {
        self.folder.keep(|info| info.file == handle.info.file);
    }
}

impl<F: FileSystem> SnapshotFolder<F> {
    fn temporary(&self) -> PathBuf {
        let mut count = self.publishing.lock();
        *count += 1;
        self.dir.join(format!(
            "incoming-{count}{TEMPORARY_SUFFIX}",
            count = *count
        ))
    }

    /// Best effort: a file that is left is removed at the next start or with the next snapshot.
    fn discard(&self, path: &Path) {
        if let Err(error) = self.fs.remove(path) {
            tracing::debug!(%error, file = %path.display(), "cannot remove a snapshot file");
        }
    }

    /// Gives a written file its name, then removes older snapshots: in this order, so that
    /// there is a complete one at any moment.
    fn publish(
        &self,
        temporary: &Path,
        file: F::File,
        head: SnapshotHead,
        info: SnapshotInfo,
    ) -> Result<SnapshotHandle<F>, Error> {
        // On a full disk the sync fails. A file left here would take up more of the disk.
        fs::publish_written(&self.fs, &file, temporary, &self.dir, &info.file)
            .inspect_err(|_| self.discard(temporary))?;
        {
            let mut listed = self.listed.lock();
            listed.retain(|other| other.file != info.file);
            listed.push(info.clone());
            listed.sort_by_key(|info| (info.index, info.term));
        }
        self.keep(|other| (other.index, other.term) >= (info.index, info.term));
        let path = self.dir.join(&info.file);
        Ok(self.handle_of(info, head, path, file))
    }

    /// Removes the other snapshots. If this fails, the next start does it: it lists the files and uses the newest.
    fn keep(&self, keep: impl Fn(&SnapshotInfo) -> bool) {
        let mut listed = self.listed.lock();
        let (kept, dropped): (Vec<_>, Vec<_>) = listed.drain(..).partition(|info| keep(info));
        *listed = kept;
        debug_assert_eq!(fault(&listed), None, "the snapshots contradict each other");
        for info in &dropped {
            self.discard(&self.dir.join(&info.file));
        }
        let synced = match dropped.is_empty() {
            true => Ok(()),
            false => self.fs.sync_dir(&self.dir).during("sync", &self.dir),
        };
        if let Err(error) = synced.and_then(|()| self.write_index(&listed)) {
            tracing::warn!(%error, "cannot remove old snapshots; the next start will retry");
        }
    }

    fn handle(&self, info: SnapshotInfo) -> Result<SnapshotHandle<F>, Error> {
        let path = self.dir.join(&info.file);
        let file = self.fs.open(&path).during("open", &path)?;
        let (head, ..) = read::read_head(&file, &path)?;
        Ok(self.handle_of(info, head, path, file))
    }

    fn handle_of(
        &self,
        info: SnapshotInfo,
        head: SnapshotHead,
        path: PathBuf,
        file: F::File,
    ) -> SnapshotHandle<F> {
        let SnapshotHead { meta, digest, .. } = head;
        SnapshotHandle {
            info,
            meta,
            digest,
            path,
            file: Arc::new(file),
            suspicion: self.suspicion.clone(),
        }
    }

    fn remove_temporaries(&self) -> Result<(), Error> {
        for name in self.fs.list(&self.dir).during("list", &self.dir)? {
            if name.ends_with(TEMPORARY_SUFFIX) {
                let path = self.dir.join(name);
                self.fs.remove(&path).during("remove", &path)?;
            }
        }
        Ok(())
    }

    fn scan_files(&self) -> Result<Vec<SnapshotInfo>, Error> {
        let mut found = Vec::new();
        for path in list_files(&self.fs, &self.dir)? {
            let file = self.fs.open(&path).during("open", &path)?;
            let (head, ..) = read::read_head(&file, &path)?;
            self.keys.for_file(head.key.as_ref(), &path)?;
            let (totals, bytes) = read::read_footer(&file, &path)?;
            let info = info_of(&head, &totals, bytes);
            check_name(&info, &path)?;
            check_cluster(&head, self.cluster_id, &path)?;
            found.push(info);
        }
        found.sort_by_key(|info| (info.index, info.term));
        Ok(found)
    }

    fn read_index(&self) -> Option<Vec<SnapshotInfo>> {
        let mut content = Vec::new();
        fs::read_into(&self.fs, &self.dir.join(INDEX_NAME), &mut content).ok()?;
        let index: IndexFile = serde_json::from_slice(&content).ok()?;
        Some(index.snapshots)
    }

    fn write_index(&self, snapshots: &[SnapshotInfo]) -> Result<(), Error> {
        let index = IndexFile {
            format_version: 1,
            snapshots: snapshots.to_vec(),
        };
        let content = serde_json::to_vec_pretty(&index)
            .map_err(|error| Error::io("encode", &self.dir.join(INDEX_NAME), error.into()))?;
        fs::publish(&self.fs, &self.dir, INDEX_NAME, &content)
    }
}

/// The first contradiction in a list of snapshots; `None` when there is none.
fn fault(listed: &[SnapshotInfo]) -> Option<&'static str> {
    let order = |info: &SnapshotInfo| (info.index, info.term);
    if !listed.is_sorted_by(|one, next| order(one) < order(next)) {
        return Some("they are not listed from the oldest to the newest, each once");
    }
    let is_named = |info: &SnapshotInfo| info.file == file_name(info.index, info.term);
    (!listed.iter().all(is_named)).then_some("one has a name that does not fit its index and term")
}

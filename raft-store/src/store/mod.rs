//! Everything under one data folder.
//!
//! | module | holds |
//! |---|---|
//! | `log_store` | openraft's traits |
//! | `history` | entries from before the log began: sending and receiving them |
//! | `retention` | dropping and archiving history |
//! | `restore` | a folder that is being built from a backup |

mod archive;
mod history;
mod log_store;
mod restore;
mod retention;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::error::{Error, IoContext};
use crate::folder::identity::{self, Identity};
use crate::folder::lock::take_lock;
use crate::folder::roster::Roster;
use crate::folder::unfinished::refuse_unfinished;
use crate::folder::{Layout, Options};
use crate::fs::{self, FileSystem};
use crate::history::attach;
use crate::log::catalog::Catalog;
use crate::log::shared::{SharedLog, WriterRequest};
use crate::log::tail::{Limit, Tail};
use crate::log::writer::Writer;
use crate::segment::recovery;
use crate::snapshot::{SnapshotHandle, SnapshotStore};
use crate::types::{Entry, LogId, Vote};

pub use log_store::LogStore;
pub use restore::begin_restore;
pub use retention::Expired;

/// A data folder that this process owns: log, snapshots, catalog. Clones are the same store;
/// when the last one is gone the log is closed and the writer ends.
pub struct Store<F: FileSystem> {
    pub(crate) shared: Arc<SharedLog<F>>,
    snapshots: SnapshotStore<F>,
    _closer: Arc<Closer<F>>,
}

impl<F: FileSystem> Clone for Store<F> {
    fn clone(&self) -> Self {
        Store {
            shared: self.shared.clone(),
            snapshots: self.snapshots.clone(),
            _closer: self._closer.clone(),
        }
    }
}

/// Closes the log with the last handle.
struct Closer<F: FileSystem>(Arc<SharedLog<F>>);

impl<F: FileSystem> Drop for Closer<F> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Numbers about the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that can be read, history included.
    pub entry_count: u64,
    /// Segments and history files.
    pub segment_count: u64,
    /// What they hold, without reserved space.
    pub total_size_bytes: u64,
    /// The index of the last entry.
    pub latest_index: u64,
    /// Bytes written since the start.
    pub bytes_written: u64,
    /// Bytes read from files since the start.
    pub bytes_read: u64,
    /// Writes since the start.
    pub writes: u64,
    /// Reads from files since the start.
    pub reads: u64,
    /// Syncs since the start.
    pub fsyncs: u64,
    /// What all of them took together, in microseconds.
    pub fsync_us_sum: u64,
    /// What the last one took, in microseconds.
    pub fsync_us_last: u64,
}

impl<F: FileSystem> Store<F> {
    /// Opens the data folder, creating it when absent: takes the lock, recovers the log. Blocks.
    ///
    /// Nothing is written until the [`Writer`] is run.
    ///
    /// # Errors
    /// On damage, and when the folder was left by an interrupted restore.
    pub fn open(fs: F, options: Options) -> Result<(Store<F>, Writer<F>), Error> {
        let layout = Layout::of(&options.dir);
        fs::create_dir(&fs, &layout.dir)?;
        refuse_unfinished(&fs, &layout)?;
        Self::open_any(fs, options)
    }

    /// As [`Store::open`], also a folder that is being restored.
    pub(crate) fn open_any(fs: F, mut options: Options) -> Result<(Store<F>, Writer<F>), Error> {
        let layout = Layout::of(&options.dir);
        for dir in [&layout.wal, &layout.snapshots, &layout.history] {
            fs.create_dir_all(dir).during("create", dir)?;
        }
        fs.sync_dir(&layout.dir).during("sync", &layout.dir)?;
        let lock = take_lock(&fs, &layout)?;
        let identity = identity::read(&fs, &layout)?;
        identity::check(&identity, &options)?;
        // A crash between the first segment and the identity leaves the id in the segment only,
        // and what is written from here on must carry the same.
        let known = match &identity {
            Some(identity) => Some(identity.cluster_id),
            None => recovery::cluster_id(&fs, &layout)?,
        };
        options.cluster_id = known.unwrap_or(options.cluster_id);
        let snapshots = SnapshotStore::open(fs.clone(), &layout, &options)?;
        let mut catalog = Catalog::open(&layout, options.catalog);
        let known = catalog.segments();
        let used_before = identity.is_some();
        let recovered = recovery::recover(&fs, &layout, &options, &known, used_before)?;
        catalog.reconcile(&recovered.table, &snapshots.list());
        let state = recovered.state;
        let tail = Tail::new(state, options.cache_bytes);
        let shared = SharedLog::new(fs, options, layout, tail, recovered.table, catalog, lock);
        let shared = Arc::new(shared);
        let writer = Writer::new(shared.clone(), recovered.active, state);
        let closer = Arc::new(Closer(shared.clone()));
        if let Some(end) = snapshots
            .current()?
            .and_then(|newest| newest.meta().last_log_id)
        {
            shared.supersede(end)?;
        }
        // Only after that: history may join the snapshot.
        attach(&shared)?;
        shared.check_invariants();
        Ok((
            Store {
                shared,
                snapshots,
                _closer: closer,
            },
            writer,
        ))
    }

    /// The log for openraft.
    pub fn log_store<C>(&self) -> LogStore<C, F> {
        LogStore::new(self.clone())
    }

    /// The snapshots.
    pub fn snapshots(&self) -> SnapshotStore<F> {
        self.snapshots.clone()
    }

    /// Makes a complete snapshot the state of this node. The other snapshots are removed. The log begins
    /// after the snapshot, unless it leads to it. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read, or has failed.
    pub fn install(&self, snapshot: &SnapshotHandle<F>) -> Result<(), Error> {
        self.snapshots.keep_only(snapshot);
        match snapshot.meta().last_log_id {
            Some(end) => self.shared.supersede(end),
            None => Ok(()),
        }
    }

    /// Entries from `from` on, history included, in order without gaps, and up to the end of the log
    /// (which may not be committed yet). Stops at either limit, but returns at least one entry if there
    /// is one. Blocks when the entries are no longer in memory.
    pub fn read(
        &self,
        from: u64,
        limit_entries: usize,
        limit_bytes: usize,
    ) -> Result<Vec<Entry>, Error> {
        let earliest = self.earliest_index();
        if from < earliest {
            return Err(Error::Compacted {
                asked: from,
                earliest,
            });
        }
        self.shared
            .read(from, u64::MAX, Limit::new(limit_entries, limit_bytes))
    }

    /// The lowest index that [`Store::read`] can return.
    pub fn earliest_index(&self) -> u64 {
        self.shared.earliest()
    }

    /// The log id of the last entry, or the purged log id when no entry follows it.
    pub fn last_log_id(&self) -> Option<LogId> {
        self.shared.tail.read().state.last
    }

    /// The last log id that Raft has purged.
    pub fn purged(&self) -> Option<LogId> {
        self.shared.tail.read().state.purged
    }

    /// The last committed log id that was saved.
    pub fn committed(&self) -> Option<LogId> {
        self.shared.tail.read().state.committed
    }

    /// The last vote that was saved.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.tail.read().state.vote
    }

    /// The cluster that new segments and snapshots name: the folder's, or for a new folder the
    /// one of the options.
    pub fn cluster_id(&self) -> u128 {
        self.shared.options.cluster_id
    }

    /// The node and cluster that the folder belongs to; `None` before [`Store::write_identity`].
    pub fn identity(&self) -> Result<Option<Identity>, Error> {
        identity::read(&self.shared.fs, &self.shared.layout)
    }

    /// Assigns the folder to this node, durably. A folder of another node is refused. A folder from an
    /// earlier version gets the incarnation and cluster name that it lacks.
    pub fn write_identity(&self, identity: &Identity) -> Result<(), Error> {
        identity::write(&self.shared.fs, &self.shared.layout, identity)
    }

    /// The nodes this one has ever met. All callers get the same roster. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn roster(&self) -> Result<Roster<F>, Error> {
        let mut roster = self.shared.roster.lock();
        if let Some(roster) = &*roster {
            return Ok(roster.clone());
        }
        let read = Roster::read(&self.shared.fs, &self.shared.layout)?;
        Ok(roster.insert(read).clone())
    }

    /// The reason if the log waits because the disk has no room for its next segment. The log continues as
    /// soon as there is room.
    pub fn shortage(&self) -> Option<String> {
        self.shared.shortage()
    }

    /// Free space where the data folder is, in bytes.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        let dir = &self.shared.layout.dir;
        self.shared.fs.free_bytes(dir).during("measure", dir)
    }

    /// Fails the store when its folder was removed or replaced while it is open. Later writes would go to
    /// files that no start will find. Call this about once a second.
    ///
    /// # Errors
    /// [`Error::FolderGone`]. Also an error when the folder cannot be checked; that does not fail the store.
    pub fn check_folder(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let path = &shared.layout.lock;
        let lock = shared.lock.lock();
        let Some(lock) = &*lock else {
            return Ok(());
        };
        if shared
            .fs
            .is_locked_file(lock, path)
            .during("look at", path)?
        {
            return Ok(());
        }
        let dir = shared.layout.dir.clone();
        Err(Error::Failed(shared.fail(Error::FolderGone { dir })))
    }

    /// Numbers about the log.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let last = self.last_log_id().map_or(0, |id| id.index);
        let next = self.shared.tail.read().next();
        let entry_count = next.saturating_sub(self.earliest_index());
        let table = self.shared.table.read();
        Stats {
            entry_count,
            segment_count: table.files().count() as u64,
            total_size_bytes: table.files().map(|held| held.index.summary.bytes).sum(),
            latest_index: last,
            bytes_written: counters.bytes_written.load(Ordering::Relaxed),
            bytes_read: counters.bytes_read.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            reads: counters.reads.load(Ordering::Relaxed),
            fsyncs: counters.fsyncs.load(Ordering::Relaxed),
            fsync_us_sum: counters.fsync_us_sum.load(Ordering::Relaxed),
            fsync_us_last: counters.fsync_us_last.load(Ordering::Relaxed),
        }
    }

    /// Waits until everything queued so far is on disk.
    pub async fn sync(&self) -> Result<(), Error> {
        let (done, durable) = oneshot::channel();
        let done = Box::new(move |result| {
            // A caller that no longer waits needs no answer.
            let _ = done.send(result);
        });
        self.shared.push(WriterRequest::Sync { done })?;
        durable
            .await
            .map_err(|_| Error::Closed)?
            .map_err(Error::Failed)
    }

    /// The first failed write or sync, after which nothing is accepted.
    pub fn failed(&self) -> Option<Arc<Error>> {
        self.shared.failed()
    }

    /// Calls `callback` once, when the store fails (at once if it has).
    pub fn on_failure(&self, callback: impl Fn(&Arc<Error>) + Send + 'static) {
        self.shared.on_failure(Box::new(callback));
    }

    /// Checks what must hold between any two calls.
    ///
    /// # Panics
    /// When the bookkeeping of the log or of the snapshots contradicts itself.
    #[cfg(feature = "testing")]
    pub fn check_invariants(&self) {
        let faults = (self.shared.fault(), self.snapshots.fault());
        assert_eq!(faults, (None, None), "the store contradicts itself");
    }

    /// Closes the log. The writer still writes the queued requests, adds its closing mark, and returns. Later
    /// writes are refused.
    pub fn close(&self) {
        self.shared.close();
    }
}

//! Keeps history in the archive before retention drops it, and reads it from there.
//!
//! ```text
//! retention no longer keeps a file ─▶ put it ─▶ read it back and compare ─▶ compaction drops the file here
//!                                  └▶ another node has put its entries: read that and compare ─▶ …
//! ```
//!
//! A file is dropped only once this process has read all its entries in the archive. Another node may have put them there:
//! the nodes of a cluster share their archive, and each puts only what is missing. So an archive that fails makes the log
//! grow, and loses nothing. The tasks here make all calls of the archive, each with a deadline. Nothing else waits for them
//! but a client that asks for an entry that has left the node.

mod folder;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_raft_store::{self as raft_store, ArchivedFile, ArchivedName, Expired};
use tokio::sync::mpsc;

pub use folder::FolderArchive;

use crate::replica::parts::counters::Counters;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::log_page::archived::{ArchivedLog, Safety};
use crate::replica::parts::options::ArchiveOptions;
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::parts::pace::TaskPace;
use crate::replica::types::{ArchiveError, Types};

/// Interval between checks for files that retention no longer keeps.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a failure; it doubles with each one that follows, up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How old the list of what the archive has may be: other nodes put files there too.
const LIST_INTERVAL: Duration = Duration::from_secs(600);
/// The same before this node puts a file there itself, or drops one that another node has put there.
const LIST_INTERVAL_BUSY: Duration = Duration::from_secs(30);
/// How often an object that is damaged is read again, while its entries are asked for.
const DAMAGED_INTERVAL: Duration = Duration::from_secs(30);
/// Files that are counted as pending, at most.
const PENDING_MAX: usize = 10_000;
/// How many files are read from the archive at the same time.
pub(crate) const READERS: usize = 2;
/// What an object may have at most: the largest segment that a node with an archive writes, and its head.
pub const OBJECT_BYTES_MAX: u64 = 512 << 20;

/// What works with the archive.
pub(crate) struct Archiving<T: Types> {
    pub options: ArchiveOptions,
    pub node_id: u64,
    pub log: Arc<LogReader<T::Fs>>,
    pub archived: Arc<ArchivedLog<T::Fs>>,
    pub tuned: Arc<Tuned>,
    pub counters: Arc<Counters>,
    pub progress: Mutex<ArchivingProgress<T>>,
}

/// Where the task stands.
pub(crate) struct ArchivingProgress<T: Types> {
    /// When the archive was listed last.
    listed: Option<InstantOf<T>>,
    /// When damaged objects were read again.
    looked_again: Option<InstantOf<T>>,
    /// Since when there is a file that waits.
    waiting: Option<InstantOf<T>>,
}

impl<T: Types> Default for ArchivingProgress<T> {
    fn default() -> Self {
        Self {
            listed: None,
            looked_again: None,
            waiting: None,
        }
    }
}

/// Why a file is not in the archive yet, or cannot be read from there.
#[derive(Debug, thiserror::Error)]
enum ArchiveFailure {
    #[error("cannot {doing}: {reason}")]
    Call {
        doing: &'static str,
        reason: ArchiveError,
    },
    #[error("cannot {doing}: no answer within {secs} s (archive.timeout_secs)")]
    Slow { doing: &'static str, secs: u64 },
    #[error("{name} does not read back as it was written: {got} bytes of {put}")]
    Differs {
        name: ArchivedName,
        put: usize,
        got: usize,
    },
    #[error(
        "the archive is empty, and had {had} files that this node has read: is its folder mounted? Start the node again \
         if they were removed on purpose"
    )]
    Emptied { had: usize },
    #[error("{0}")]
    Store(#[from] raft_store::Error),
    #[error("the work on the disk has failed: {0}")]
    Work(#[from] std::io::Error),
}

/// Puts files into the archive until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Archiving<T>>) {
    let mut pause = Duration::ZERO;
    let mut failures = 0;
    while let Some(archiving) = pace.next::<T>(pause).await {
        let done = tokio::select! {
            biased;
            () = pace.stopped() => return,
            done = archiving.check() => done,
        };
        pause = match done {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(failures, "the archive answers again");
                }
                failures = 0;
                CHECK_INTERVAL
            }
            Err(error) => {
                archiving.counters.archive_failed.add(1);
                let pause = PAUSE_MIN * 2u32.saturating_pow(failures).min(60);
                let pause = pause.min(PAUSE_MAX);
                failures += 1;
                tracing::warn!(
                    %error, failures, retry_in_secs = pause.as_secs(),
                    "the archive does not keep history at the moment; this node drops no history until it does"
                );
                pause
            }
        };
    }
}

/// Reads the files that are asked for, one at a time, until the replica is dropped or stopped. Several of these may share
/// the names.
pub(crate) async fn fetch<T: Types>(
    pace: TaskPace<Archiving<T>>,
    wanted: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<ArchivedName>>>,
) {
    loop {
        let next = async { wanted.lock().await.recv().await };
        let name = tokio::select! {
            biased;
            () = pace.stopped() => return,
            name = next => name,
        };
        let (Some(name), Some(archiving)) = (name, pace.parts()) else {
            return;
        };
        tokio::select! {
            biased;
            () = pace.stopped() => return,
            () = archiving.bring(name) => {}
        }
    }
}

impl<T: Types> Archiving<T> {
    /// Lists the archive when that is due, and puts there what it lacks.
    async fn check(&self) -> Result<(), ArchiveFailure> {
        let mut pending = self.pending();
        // Another node may have put there what is damaged, or what lies before this node's own log.
        let here = self.log.earliest_here();
        let is_busy = !pending.is_empty() || self.archived.wants_damaged();
        let interval = match is_busy || self.log.is_behind_a_gap(here) {
            _ if self.archived.is_behind(here) => Duration::ZERO,
            true => LIST_INTERVAL_BUSY,
            false => LIST_INTERVAL,
        };
        if self.list_older_than(interval).await? {
            pending = self.pending();
        }
        self.look_again().await;
        while let Some(file) = pending.first()
            && !self.archived.is_behind(self.log.earliest_here())
        {
            match self.log.safety(file) {
                Safety::Safe => {}
                Safety::Unverified(name) => self.verify(name).await?,
                Safety::Missing => self.put(file.clone()).await?,
            }
            pending = self.pending();
        }
        Ok(())
    }

    /// The files that retention no longer keeps and the archive lacks.
    fn pending(&self) -> Vec<Expired> {
        let (mut files, counters) = (self.expired(), &self.counters);
        files.retain(|file| !self.log.may_drop(file));
        counters.archive_pending.set(files.len() as u64);
        let bytes = files.iter().map(Expired::bytes).sum();
        counters.archive_pending_bytes.set(bytes);
        let mut progress = self.progress.lock();
        let now = T::now();
        progress.waiting = match files.is_empty() {
            true => None,
            false => Some(progress.waiting.unwrap_or(now)),
        };
        let waited = progress.waiting.map_or(Duration::ZERO, |since| now - since);
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        counters.archive_pending_ms.set(waited_ms);
        files
    }

    fn expired(&self) -> Vec<Expired> {
        let (floor, now_ms) = self.log.retention_bounds();
        let retention = &self.tuned.now().compaction.retention;
        self.log
            .store
            .expired(retention, floor, now_ms, PENDING_MAX)
    }

    /// Lists the archive, unless that was done within `interval`; says whether it did.
    async fn list_older_than(&self, interval: Duration) -> Result<bool, ArchiveFailure> {
        let listed = self.progress.lock().listed;
        if listed.is_some_and(|at| T::now() - at < interval) {
            return Ok(false);
        }
        let here = self.log.earliest_here();
        let names = self.call("list the archive", self.options.archive.list());
        match names.await {
            Ok(names) => {
                let names: Vec<ArchivedName> =
                    names.iter().filter_map(|name| name.parse().ok()).collect();
                let had = self.archived.verified_files();
                if names.is_empty() && had > 0 {
                    let failure = ArchiveFailure::Emptied { had };
                    self.archived.not_listed(failure.to_string());
                    return Err(failure);
                }
                self.archived.listed(names.into_iter(), here);
                self.show_damaged();
                self.progress.lock().listed = Some(T::now());
                Ok(true)
            }
            Err(failure) => {
                self.archived.not_listed(failure.to_string());
                Err(failure)
            }
        }
    }

    /// Puts a file into the archive, and reads it back: only then it counts.
    async fn put(&self, file: Expired) -> Result<(), ArchiveFailure> {
        let (store, applied) = (self.log.store.clone(), self.log.applied.clone());
        let (node_id, from) = (self.node_id, applied.read().stale_known_from());
        let form = T::blocking(move || {
            let is_stale = |offset| applied.read().is_stale(offset);
            store.archived_form(&file, node_id, from, is_stale)
        });
        let Some(object) = form.await?? else {
            return Ok(());
        };
        let bytes = Bytes::from(object.bytes);
        let name = object.name.to_string();
        let archive = &self.options.archive;
        self.call("write to the archive", archive.put(&name, bytes.clone()))
            .await?;
        let len = bytes.len() as u64;
        let doing = "read back from the archive what was written";
        let back = self.call(doing, archive.get(&name, len)).await?;
        if back != bytes {
            return Err(ArchiveFailure::Differs {
                name: object.name,
                put: bytes.len(),
                got: back.len(),
            });
        }
        self.counters.archive_uploaded.add(1);
        self.counters.archive_uploaded_bytes.add(len);
        tracing::info!(%name, bytes = len, "history was put into the archive");
        self.verified(object.name);
        Ok(())
    }

    /// Reads an object that was listed, so that this node may rely on it.
    async fn verify(&self, name: ArchivedName) -> Result<(), ArchiveFailure> {
        let text = name.to_string();
        let get = self.options.archive.get(&text, OBJECT_BYTES_MAX);
        let object = self.call("read from the archive", get).await?;
        let named = name.clone();
        if T::blocking(move || named.is_of(&object)).await? {
            self.verified(name);
            return Ok(());
        }
        self.damaged(&name, "its content does not have the checksum in its name");
        Ok(())
    }

    /// Reads damaged objects again: those whose entries clients ask for soon, and all of them as often as an idle node
    /// lists the archive. One that is whole again is used as before.
    async fn look_again(&self) {
        let looked = self.progress.lock().looked_again;
        let passed = looked.map_or(LIST_INTERVAL, |at| T::now() - at);
        if passed < DAMAGED_INTERVAL {
            return;
        }
        let names = self.archived.take_damaged(passed >= LIST_INTERVAL);
        if names.is_empty() {
            return;
        }
        self.progress.lock().looked_again = Some(T::now());
        for name in names {
            match self.read(&name).await {
                Ok(file) => {
                    self.verified(name);
                    self.archived.arrived(file);
                }
                Err(ArchiveFailure::Store(error @ raft_store::Error::Damaged { .. })) => {
                    self.damaged(&name, &error.to_string());
                }
                Err(error) => {
                    tracing::debug!(%name, %error, "a damaged file of the archive cannot be read again");
                }
            }
        }
    }

    fn damaged(&self, name: &ArchivedName, what: &str) {
        if self.archived.failed(name, what, true) {
            self.counters.archive_damaged.add(1);
            tracing::error!(%name, what, "a file of the archive is damaged");
        }
        self.show_damaged();
    }

    fn show_damaged(&self) {
        let damaged = self.archived.damaged_objects() as u64;
        self.counters.archive_damaged_now.set(damaged);
    }

    fn verified(&self, name: ArchivedName) {
        if self
            .archived
            .verified(name.clone(), self.log.earliest_here())
        {
            tracing::info!(%name, "a file of the archive that was damaged is whole again");
        }
        self.show_damaged();
    }

    /// Reads a file from the archive for the readers that wait for it.
    async fn bring(&self, name: ArchivedName) {
        match self.read(&name).await {
            Ok(file) => {
                self.counters.archive_fetched.add(1);
                self.counters.archive_fetched_bytes.add(file.bytes());
                self.archived.arrived(file);
            }
            Err(failure) => {
                self.counters.archive_failed.add(1);
                // Those that wait for it ask again at once.
                T::sleep(PAUSE_MIN).await;
                match &failure {
                    ArchiveFailure::Store(error @ raft_store::Error::Damaged { .. }) => {
                        self.damaged(&name, &error.to_string());
                    }
                    failure => {
                        tracing::warn!(%name, error = %failure, "a file of the archive cannot be read");
                        self.archived.failed(&name, &failure.to_string(), false);
                    }
                }
            }
        }
    }

    async fn read(&self, name: &ArchivedName) -> Result<ArchivedFile<T::Fs>, ArchiveFailure> {
        let text = name.to_string();
        let get = self.options.archive.get(&text, OBJECT_BYTES_MAX);
        let object = self.call("read from the archive", get).await?;
        let (store, name) = (self.log.store.clone(), name.clone());
        let opened = T::blocking(move || store.open_archived(&name, &object));
        Ok(opened.await??)
    }

    async fn call<R>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<R, ArchiveError>> + Send,
    ) -> Result<R, ArchiveFailure> {
        match T::timeout(self.options.timeout, call).await {
            Ok(done) => done.map_err(|reason| ArchiveFailure::Call { doing, reason }),
            Err(_) => Err(ArchiveFailure::Slow {
                doing,
                secs: self.options.timeout.as_secs(),
            }),
        }
    }
}

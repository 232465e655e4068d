//! Snapshots by threshold, and retention of history.
//!
//! A snapshot is taken when enough entries or bytes were logged since the last one, and the last one is old enough. It
//! is never taken before the log has grown by the size of the last snapshot: so the bytes written for snapshots stay
//! within a constant factor of those written for the log. A snapshot that could not be written is retried after a
//! while; the node keeps the previous one.

mod snapshot_due;

use std::sync::Arc;
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use rstmdb_raft_store::Expired;

use crate::replica::apply::state_machine::StateMachine;
use crate::replica::error::Error;
use crate::replica::parts::backfilled_log::BackfilledLog;
use crate::replica::parts::log_page::{LogReader, blocking};
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::parts::pace::TaskPace;
use crate::replica::types::Types;
use crate::replica::upkeep::backfill::has_ample_room;
use snapshot_due::{LogGrowth, SnapshotDue};

/// Interval between checks of the thresholds and of retention.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What COMPACT did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Snapshots taken by this call: 0 or 1.
    pub snapshots_created: u64,
    /// Log segments that retention dropped.
    pub segments_deleted: u64,
    /// Bytes those segments held.
    pub bytes_reclaimed: u64,
    /// Snapshots there are now.
    pub total_snapshots: u64,
    /// Log segments there are now.
    pub wal_segments: u64,
}

/// Takes snapshots and drops history.
pub(crate) struct Compaction<T: Types> {
    raft: Raft<T, StateMachine<T>>,
    log: Arc<LogReader<T::Fs>>,
    backfilled: Arc<BackfilledLog>,
    tuned: Arc<Tuned>,
    due: SnapshotDue<T>,
    /// Held while a snapshot is taken: openraft ignores a request while it builds one.
    snapshots: tokio::sync::Mutex<()>,
}

/// Takes care of one replica until it is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Compaction<T>>) {
    while let Some(compaction) = pace.next::<T>(CHECK_INTERVAL).await {
        if let Err(error) = compaction.check().await {
            tracing::warn!(%error, "compaction failed; the node will retry it");
        }
    }
}

impl<T: Types> Compaction<T> {
    pub(crate) fn new(
        raft: Raft<T, StateMachine<T>>,
        log: Arc<LogReader<T::Fs>>,
        backfilled: Arc<BackfilledLog>,
        tuned: Arc<Tuned>,
    ) -> Self {
        let covered = log.store.snapshots().list().last().and_then(|it| it.index);
        let behind = log.applied.offset().saturating_sub(covered.unwrap_or(0));
        Self {
            raft,
            due: SnapshotDue::new(&log.store.stats(), behind),
            log,
            backfilled,
            tuned,
            snapshots: tokio::sync::Mutex::new(()),
        }
    }

    async fn check(&self) -> Result<(), Error> {
        let tuning = self.tuned.now();
        let rested = self.due.may_be_taken(tuning.compaction.min_interval);
        let taken = match tuning.compaction.enabled && rested && self.is_due() {
            true => self.take_snapshot().await.map(drop),
            false => Ok(()),
        };
        // Also where a snapshot fails: what retention removes may be the space that the snapshot lacks.
        self.retain()?;
        taken
    }

    fn is_due(&self) -> bool {
        let store = &self.log.store;
        let snapshots = store.snapshots().list();
        let grown = LogGrowth {
            entries: self
                .log
                .applied
                .offset()
                .saturating_sub(self.snapshot_offset()),
            bytes_written: store.stats().bytes_written,
            last_size: snapshots.last().map_or(0, |info| info.bytes),
        };
        self.due.is_due(&self.tuned.now().compaction, &grown)
    }

    fn snapshot_offset(&self) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.snapshot.map_or(0, |id| id.index)
    }

    /// Takes a snapshot of everything applied so far; `false` when there is nothing new.
    async fn take_snapshot(&self) -> Result<bool, Error> {
        let _one_at_a_time = self.snapshots.lock().await;
        let bytes_written = self.log.store.stats().bytes_written;
        if self.snapshot_offset() >= self.log.applied.offset() {
            return Ok(false);
        }
        let target = self.write_snapshot().await?;
        let mut metrics = self.raft.metrics();
        loop {
            {
                let now = metrics.borrow_watched();
                if now.snapshot.is_some_and(|id| id.index >= target) {
                    self.due.was_taken(bytes_written);
                    return Ok(true);
                }
                if let Err(fatal) = &now.running_state {
                    return Err(failed(fatal));
                }
            }
            metrics.changed().await.map_err(|closed| failed(&closed))?;
        }
    }

    /// Writes a snapshot and tells openraft; returns the last offset in it.
    async fn write_snapshot(&self) -> Result<u64, Error> {
        let builder = self.raft.with_state_machine(|machine| {
            let builder = machine.builder();
            Box::pin(async move { builder })
        });
        let written = builder.await.map_err(|fatal| failed(&fatal))?.write();
        let target = written.map_err(|error| {
            self.due.has_failed();
            failed(&error)
        })?;
        let trigger = self.raft.trigger();
        trigger.snapshot().await.map_err(|fatal| failed(&fatal))?;
        Ok(target)
    }

    /// Writes a snapshot even if nothing is new, because the present one has become unreadable.
    pub(super) async fn replace_snapshot(&self) -> Result<(), Error> {
        let _one_at_a_time = self.snapshots.lock().await;
        self.write_snapshot().await.map(drop)
    }

    /// Removes the history that retention no longer keeps: never above the log that Raft still needs, nor above the
    /// snapshot.
    fn retain(&self) -> Result<(u64, u64), Error> {
        let LogReader {
            store,
            applied,
            host,
            ..
        } = &*self.log;
        let reclaimed = blocking(&**host, || {
            let (floor, now_ms) = self.log.retention_bounds();
            let retention = &self.tuned.now().compaction.retention;
            let is_held = self.is_history_held();
            let may_drop = |file: &Expired| !is_held && self.log.may_drop(file);
            store.retain_while(retention, floor, now_ms, &may_drop)
        });
        let done = reclaimed.map_err(|error| Error::Storage {
            reason: format!("retention failed: {error}"),
            outcome_unknown: false,
        })?;
        // While history is being fetched the log begins higher than it will.
        if done.segments_deleted > 0 && !self.backfilled.is_fetching() {
            let earliest = store.earliest_index();
            applied.write().forget_stale_below(earliest);
        }
        Ok((done.segments_deleted, done.bytes))
    }

    /// Whether history is being fetched that leads to what the archive has. The next run must join the one before.
    fn is_history_held(&self) -> bool {
        self.log.archived.is_some()
            && self.backfilled.is_fetching()
            && has_ample_room(&self.log, &self.tuned)
    }

    /// Takes a snapshot (when the log has grown by the threshold since the last one, or in any
    /// case with `force_snapshot`) and drops the history that retention no longer wants.
    pub(crate) async fn compact(&self, force_snapshot: bool) -> Result<Compacted, Error> {
        let taken = (force_snapshot || self.is_due()) && self.take_snapshot().await?;
        let (segments_deleted, bytes_reclaimed) = self.retain()?;
        let store = &self.log.store;
        Ok(Compacted {
            snapshots_created: u64::from(taken),
            segments_deleted,
            bytes_reclaimed,
            total_snapshots: store.snapshots().list().len() as u64,
            wal_segments: store.stats().segment_count,
        })
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Storage {
        reason: format!("the snapshot failed: {error}"),
        outcome_unknown: false,
    }
}

//! Snapshots by threshold, and retention of history.
//!
//! A snapshot is taken when enough entries or bytes were logged since the last one, when the
//! last one is old enough, and never before the log has grown by the last snapshot's size: so
//! the bytes written for snapshots stay within a constant factor of those written for the log. One
//! that could not be written is tried again after a while; the node goes on with the one before.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use rstmdb_raft_store::Stats;
use tokio::sync::Notify;

use super::Error;
use super::background::next_look;
use super::handle::{Inner, Replica};
use super::types::Types;

/// How often thresholds and retention are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a snapshot that failed is not tried again by itself: it may have written much.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

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

/// The log when the last snapshot was taken, or when the replica started.
#[derive(Debug, Clone, Copy)]
struct Mark<T: Types> {
    at: InstantOf<T>,
    bytes_written: u64,
    /// Log bytes behind the last snapshot that were written before the start.
    carried_bytes: u64,
}

/// What compaction remembers between two looks.
pub(crate) struct Compaction<T: Types> {
    since: parking_lot::Mutex<Mark<T>>,
    /// None is taken before, because one has failed.
    not_before: parking_lot::Mutex<InstantOf<T>>,
    /// One snapshot at a time: openraft passes over a request while it builds one.
    snapshots: tokio::sync::Mutex<()>,
}

impl<T: Types> Compaction<T> {
    /// Begins with `entries_behind` entries that the last snapshot does not cover, whose size is
    /// estimated by the log's average.
    pub(crate) fn new(stats: &Stats, entries_behind: u64) -> Self {
        let average = stats.total_size_bytes / stats.entry_count.max(1);
        Self {
            since: parking_lot::Mutex::new(Mark {
                at: T::now(),
                bytes_written: stats.bytes_written,
                carried_bytes: average.saturating_mul(entries_behind),
            }),
            not_before: parking_lot::Mutex::new(T::now()),
            snapshots: tokio::sync::Mutex::new(()),
        }
    }
}

/// Looks after one replica until it is dropped or `stop` is notified.
pub(crate) async fn run<T: Types>(replica: Weak<Inner<T>>, stop: Arc<Notify>) {
    while let Some(replica) = next_look(&replica, &stop, CHECK_INTERVAL).await {
        if let Err(error) = check(&replica.inner).await {
            tracing::warn!(%error, "compaction failed; the node will retry it");
        }
    }
}

async fn check<T: Types>(inner: &Inner<T>) -> Result<(), Error> {
    let options = &inner.options.compaction;
    let rested = T::now() >= inner.compaction.since.lock().at + options.min_interval
        && T::now() >= *inner.compaction.not_before.lock();
    let taken = match options.enabled && rested && is_due(inner) {
        true => take_snapshot(inner).await.map(drop),
        false => Ok(()),
    };
    // Also where a snapshot fails: what retention drops may be the room that it lacks.
    retain(inner)?;
    taken
}

/// Whether the log has grown enough since the last snapshot to ask for the next.
fn is_due<T: Types>(inner: &Inner<T>) -> bool {
    let options = &inner.options.compaction;
    let since = *inner.compaction.since.lock();
    let grown_entries = inner
        .applied
        .offset()
        .saturating_sub(snapshot_offset(inner));
    let written = inner.store.stats().bytes_written;
    let grown_bytes = written.saturating_sub(since.bytes_written) + since.carried_bytes;
    let last_size = inner
        .store
        .snapshots()
        .list()
        .last()
        .map_or(0, |info| info.bytes);
    grown_entries > 0
        && grown_bytes >= last_size
        && (grown_entries >= options.events_threshold
            || grown_bytes >= options.size_threshold_bytes)
}

fn snapshot_offset<T: Types>(inner: &Inner<T>) -> u64 {
    let metrics = inner.raft.metrics();
    let metrics = metrics.borrow_watched();
    metrics.snapshot.map_or(0, |id| id.index)
}

/// Takes a snapshot of everything applied so far; `false` when there is nothing new.
async fn take_snapshot<T: Types>(inner: &Inner<T>) -> Result<bool, Error> {
    let _one_at_a_time = inner.compaction.snapshots.lock().await;
    let bytes_written = inner.store.stats().bytes_written;
    if snapshot_offset(inner) >= inner.applied.offset() {
        return Ok(false);
    }
    let target = write_snapshot(inner).await?;
    let mut metrics = inner.raft.metrics();
    loop {
        {
            let now = metrics.borrow_watched();
            if now.snapshot.is_some_and(|id| id.index >= target) {
                *inner.compaction.since.lock() = Mark {
                    at: T::now(),
                    bytes_written,
                    carried_bytes: 0,
                };
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
async fn write_snapshot<T: Types>(inner: &Inner<T>) -> Result<u64, Error> {
    let builder = inner.raft.with_state_machine(|machine| {
        let builder = machine.builder();
        Box::pin(async move { builder })
    });
    let written = builder.await.map_err(|fatal| failed(&fatal))?.write();
    let target = written.map_err(|error| {
        *inner.compaction.not_before.lock() = T::now() + RETRY_PAUSE;
        failed(&error)
    })?;
    let trigger = inner.raft.trigger();
    trigger.snapshot().await.map_err(|fatal| failed(&fatal))?;
    Ok(target)
}

/// Writes a snapshot even where nothing is new, because the one there is has become unreadable.
pub(super) async fn replace_snapshot<T: Types>(inner: &Inner<T>) -> Result<(), Error> {
    let _one_at_a_time = inner.compaction.snapshots.lock().await;
    write_snapshot(inner).await.map(drop)
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::Storage {
        reason: format!("the snapshot failed: {error}"),
        outcome_unknown: false,
    }
}

/// Drops the history that retention no longer wants: never above the log that Raft still needs,
/// nor above the snapshot.
fn retain<T: Types>(inner: &Inner<T>) -> Result<(u64, u64), Error> {
    let floor = inner.store.purged().map_or(0, |id| id.index);
    let mut reclaimed = Ok((0, 0));
    inner.host.block(&mut || {
        // A clock that is ahead for a moment must not drop what the log's time still keeps.
        let log_time_ms = inner.applied.read().last_time_ms();
        let now_ms = inner.host.now_ms().min(log_time_ms);
        reclaimed = inner
            .store
            .retain(&inner.options.compaction.retention, floor, now_ms)
            .map(|done| (done.segments_deleted, done.bytes));
    });
    let done = reclaimed.map_err(|error| Error::Storage {
        reason: format!("retention failed: {error}"),
        outcome_unknown: false,
    })?;
    // While history is being fetched the log begins higher than it will.
    if done.0 > 0 && !inner.history.is_fetching() {
        let earliest = inner.store.earliest_index();
        inner.applied.write().forget_stale_below(earliest);
    }
    Ok(done)
}

impl<T: Types> Replica<T> {
    /// Takes a snapshot (when the log has grown by the threshold since the last one, or in any
    /// case with `force_snapshot`) and drops the history that retention no longer wants.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the snapshot or the retention failed.
    pub async fn compact(&self, force_snapshot: bool) -> Result<Compacted, Error> {
        let inner = &self.inner;
        let taken = (force_snapshot || is_due(inner)) && take_snapshot(inner).await?;
        let (segments_deleted, bytes_reclaimed) = retain(inner)?;
        Ok(Compacted {
            snapshots_created: u64::from(taken),
            segments_deleted,
            bytes_reclaimed,
            total_snapshots: inner.store.snapshots().list().len() as u64,
            wal_segments: inner.store.stats().segment_count,
        })
    }
}

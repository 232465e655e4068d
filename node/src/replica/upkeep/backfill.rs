//! Fetches history that this node lacks from another node, in the background.
//!
//! A node that got a snapshot has a log only from there on, while the other nodes can still show earlier entries. It
//! asks them for one run after the other, newest first, so that its history grows downwards without a gap. Watches and
//! pages of the log that need a run wait for it. Fetching stops where no node has more, where this node's retention
//! would remove the run again, or where the state does not know which entries were stale. Nothing is fetched twice
//! behind one snapshot: entries that retention removed are not fetched again.
//!
//! Where there is an archive, retention removes only what the archive has. So a run that the archive lacks is fetched,
//! too: without it, reads would begin behind a gap until another node has archived it. Retention removes nothing while
//! such runs are fetched, because the next run must join the one before.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::{self as raft_store, Entry, HistoryReceiver};

use crate::replica::parts::backfilled_log::{BackfilledLog, Missing};
use crate::replica::parts::log_page::{LogReader, blocking};
use crate::replica::parts::options::tuning::Tuned;
use crate::replica::parts::pace::TaskPace;
use crate::replica::peers::calls::{HistoryRun, PeerError};
use crate::replica::peers::neighbours::Neighbours;
use crate::replica::types::Types;

/// Pause before a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Retries while the other nodes cannot be reached.
const TRIES_MAX: u32 = 240;

/// Why a run was not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Store(#[from] raft_store::Error),
}

/// What fetches missing history.
pub(crate) struct Backfill<T: Types> {
    pub neighbours: Arc<Neighbours<T>>,
    pub log: Arc<LogReader<T::Fs>>,
    pub backfilled: Arc<BackfilledLog>,
    pub tuned: Arc<Tuned>,
}

impl<T: Types> Backfill<T> {
    /// Starts to fetch the history that is missing below the log, if there is any and other nodes may have it.
    pub(crate) fn begin(&self) {
        let floor = self.log.applied.read().stale_known_from();
        let others = self.neighbours.has_several_voters();
        if others && self.log.store.earliest_index() > floor.max(1) {
            self.backfilled.fetch(floor);
        }
    }

    /// Returns once the history from `offset` on (0: all that will be available) is here, or no more of it will come.
    pub(crate) async fn wait_for_history(&self, offset: u64) {
        while (offset == 0 || offset < self.log.store.earliest_index())
            && self.backfilled.progress(offset).await
        {}
    }
}

/// Fetches whenever something is missing, until the replica is dropped or stopped.
pub(crate) async fn run<T: Types>(pace: TaskPace<Backfill<T>>) {
    let Some(mut missing) = pace.parts().map(|parts| parts.backfilled.missing()) else {
        return;
    };
    loop {
        let wanted = *missing.borrow_and_update();
        let Some(backfill) = pace.parts() else {
            return;
        };
        if let Some(missing) = wanted {
            let fetch = Fetch { backfill, missing };
            tokio::select! {
                biased;
                () = pace.stopped() => return,
                () = fetch.run() => {}
            }
        } else {
            drop(backfill);
            tokio::select! {
                biased;
                () = pace.stopped() => return,
                changed = missing.changed() => if changed.is_err() { return },
            }
        }
    }
}

struct Fetch<T: Types> {
    backfill: Arc<Backfill<T>>,
    missing: Missing,
}

impl<T: Types> Fetch<T> {
    /// Fetches run by run.
    async fn run(&self) {
        let backfill = &self.backfill;
        self.wait_for_raft().await;
        let mut fetched_down_to = u64::MAX;
        let mut tries = 0;
        loop {
            // Fetching would use the disk reserve.
            while backfill.neighbours.gate.no_room_here().is_some() {
                T::sleep(RETRY_PAUSE).await;
            }
            let before = backfill.log.store.earliest_index();
            // If fetched history is gone, retention has removed it.
            if before <= self.missing.from.max(1) || before > fetched_down_to {
                break;
            }
            match self.fetch_below(before).await {
                Ok(Some(first)) => {
                    fetched_down_to = fetched_down_to.min(first);
                    tries = 0;
                    backfill.backfilled.advanced();
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, before, "history was not fetched");
                    tries += 1;
                    if tries > TRIES_MAX {
                        tracing::warn!(%error, before, "older history cannot be fetched");
                        break;
                    }
                    T::sleep(RETRY_PAUSE).await;
                }
            }
        }
        let earliest = backfill.log.store.earliest_index();
        tracing::info!(earliest, "history is complete");
        backfill.backfilled.done(&self.missing);
    }

    /// Waits until openraft shows what was applied when this began. Before that it may not know the other nodes yet,
    /// and it would look as if no node had the history.
    async fn wait_for_raft(&self) {
        let backfill = &self.backfill;
        let applied = backfill.log.applied.offset();
        let mut metrics = backfill.neighbours.raft.metrics();
        let shown = |metrics: &RaftMetrics<T>| metrics.last_applied.map_or(0, |id| id.index);
        while shown(&metrics.borrow_watched()) < applied {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stores the run right below `before`, from the first node that has it; `None` when all have answered that they
    /// have none, or when the run is not worth keeping.
    async fn fetch_below(&self, before: u64) -> Result<Option<u64>, FetchError> {
        let mut failure = None;
        let neighbours = &self.backfill.neighbours;
        for peer in neighbours.others() {
            match neighbours.peers.history(&peer, before).await {
                Ok(Some(run)) if !self.is_worth_keeping(&run) => return Ok(None),
                Ok(Some(run)) => {
                    let first = run.first;
                    match self.take_in(run).await {
                        Ok(()) => return Ok(Some(first)),
                        Err(error) => failure = Some(error),
                    }
                }
                // The other node may not know yet that its entries are committed.
                Ok(None) => match neighbours.peers.report(&peer).await {
                    Ok(report) if report.earliest_offset < before => {
                        let waiting = "does not give its history yet".to_owned();
                        failure = Some(PeerError::Failed(waiting).into());
                    }
                    Ok(_) => {}
                    Err(error) => failure = Some(error.into()),
                },
                Err(error) => failure = Some(error.into()),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Whether this node would keep the run: retention does, or drops it only once the archive has it.
    fn is_worth_keeping(&self, run: &HistoryRun) -> bool {
        let Backfill { log, tuned, .. } = &*self.backfill;
        let tuning = tuned.now();
        let retention = &tuning.compaction.retention;
        let stats = log.store.stats();
        let behind = stats.latest_index.saturating_sub(run.last);
        let by_events = retention.events.is_none_or(|events| behind < events);
        let by_size = retention
            .mb
            .is_none_or(|mb| stats.total_size_bytes < mb.saturating_mul(1 << 20));
        let is_kept = by_events && by_size;
        let is_lacking = log.is_behind_a_gap(run.last + 1) && has_ample_room(log, tuned);
        (is_kept || is_lacking) && run.first >= self.missing.from
    }

    async fn take_in(&self, mut run: HistoryRun) -> Result<(), FetchError> {
        let (store, host) = (&self.backfill.log.store, &*self.backfill.log.host);
        let mut receiver = blocking(host, || store.receive_history(run.first, run.last))?;
        while let Some(portion) = run.entries.next().await {
            let portion = portion?;
            receiver = blocking(host, || push(receiver, &portion))?;
        }
        blocking(host, || receiver.finish())?;
        Ok(())
    }
}

/// Whether the disk has twice its reserve free. Only then may a node hold more history than retention keeps: at the
/// reserve itself it would leave the replication.
pub(crate) fn has_ample_room<F: raft_store::FileSystem>(log: &LogReader<F>, tuned: &Tuned) -> bool {
    let reserve = tuned.now().free_bytes_min;
    let free = log.host.free_bytes();
    free.is_none_or(|free| free >= reserve.saturating_mul(2))
}

fn push<F: raft_store::FileSystem>(
    mut receiver: HistoryReceiver<F>,
    entries: &[Entry],
) -> Result<HistoryReceiver<F>, raft_store::Error> {
    receiver.push(entries)?;
    Ok(receiver)
}

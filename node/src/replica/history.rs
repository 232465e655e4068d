//! Fetches the history that this node lacks from another one, in the background.
//!
//! A node that got a snapshot has a log only from there on, while the others can still show what
//! came before. It asks them run by run, newest first, so that its history grows downwards without a
//! gap; watches and pages of the log that need a run wait for it. It stops where nobody has more, where
//! its own retention would drop the run again, or where the state does not know which entries were
//! stale. Nothing is fetched twice behind one snapshot: what retention dropped is not history that
//! is missing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use rstmdb_raft_store::{self as raft_store, Entry, HistoryReceiver};
use tokio::sync::{Notify, watch};

use super::handle::{Inner, Replica};
use super::peers::{HistoryRun, PeerError};
use super::turn::Turn;
use super::types::Types;

/// About how many bytes one run has.
const RUN_BYTES: u64 = 16 << 20;
/// Entries sent in one portion, and their bytes, at most.
const PORTION_ENTRIES: usize = 4096;
const PORTION_BYTES: usize = 1 << 20;
/// The pause before another try.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often it is tried while the others cannot be reached.
const TRIES_MAX: u32 = 240;

/// Whether history is missing.
pub(crate) struct History {
    /// What may still be missing; `None`: nothing is. Only the task that fetches waits for it.
    missing: watch::Sender<Option<Missing>>,
    /// Everybody else waits for this.
    moved: Turn,
    calls: AtomicU64,
}

/// A part of the history that others may have.
#[derive(Debug, Clone, Copy)]
struct Missing {
    /// The lowest offset that is wanted.
    from: u64,
    /// Which of all calls of [`History::fetch`] this was.
    number: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            missing: watch::Sender::new(None),
            moved: Turn::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// History from `from` on may be missing, because a snapshot has replaced the log: fetch it.
    pub(crate) fn fetch(&self, from: u64) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.missing.send_replace(Some(Missing { from, number }));
        self.moved.change();
    }

    /// Whether history is being fetched.
    pub(crate) fn is_fetching(&self) -> bool {
        self.missing.borrow().is_some()
    }

    /// Returns when more has come, or nothing more will; at once when `offset` (0: the earliest
    /// that there will be) is not being fetched, with `false`.
    pub(crate) async fn progress(&self, offset: u64) -> bool {
        let moves = self.moved.count();
        let is_coming = self
            .missing
            .borrow()
            .is_some_and(|missing| offset == 0 || offset >= missing.from);
        if is_coming {
            self.moved.past(moves).await;
        }
        is_coming
    }

    fn advanced(&self) {
        self.moved.change();
    }

    /// All that there is of what was `missing` has come; another snapshot may have come meanwhile.
    fn done(&self, missing: &Missing) {
        self.missing.send_if_modified(|current| {
            let is_done = current.is_some_and(|current| current.number == missing.number);
            if is_done {
                *current = None;
            }
            is_done
        });
        self.moved.change();
    }
}

/// Why a run was not taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Store(#[from] raft_store::Error),
}

/// Fetches whenever something is missing, until the replica is dropped or `stop` is notified.
pub(crate) async fn run<T: Types>(replica: Weak<Inner<T>>, stop: Arc<Notify>) {
    let Some(mut missing) = replica
        .upgrade()
        .map(|inner| inner.history.missing.subscribe())
    else {
        return;
    };
    loop {
        let wanted = *missing.borrow_and_update();
        let Some(inner) = replica.upgrade() else {
            return;
        };
        if let Some(missing) = wanted {
            let fetch = Fetch {
                replica: Replica { inner },
                missing,
            };
            tokio::select! {
                biased;
                () = stop.notified() => return,
                () = fetch.run() => {}
            }
        } else {
            drop(inner);
            tokio::select! {
                biased;
                () = stop.notified() => return,
                changed = missing.changed() => if changed.is_err() { return },
            }
        }
    }
}

struct Fetch<T: Types> {
    replica: Replica<T>,
    missing: Missing,
}

impl<T: Types> Fetch<T> {
    /// Fetches run by run.
    async fn run(&self) {
        let inner = &self.replica.inner;
        self.wait_for_raft().await;
        let mut fetched_down_to = u64::MAX;
        let mut tries = 0;
        loop {
            // It would take of the reserve.
            while inner.gate.no_room_here().is_some() {
                T::sleep(RETRY_PAUSE).await;
            }
            let before = inner.store.earliest_index();
            // What was fetched and is gone was dropped by retention.
            if before <= self.missing.from.max(1) || before > fetched_down_to {
                break;
            }
            match self.fetch_below(before).await {
                Ok(Some(first)) => {
                    fetched_down_to = fetched_down_to.min(first);
                    tries = 0;
                    inner.history.advanced();
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
        let earliest = inner.store.earliest_index();
        tracing::info!(earliest, "history is complete");
        inner.history.done(&self.missing);
    }

    /// Waits until openraft shows what was applied when this began: before that it may not know yet who
    /// the others are, and nobody would have anything.
    async fn wait_for_raft(&self) {
        let inner = &self.replica.inner;
        let applied = inner.applied.offset();
        let mut metrics = inner.raft.metrics();
        let shown = |metrics: &RaftMetrics<T>| metrics.last_applied.map_or(0, |id| id.index);
        while shown(&metrics.borrow_watched()) < applied {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes in the run right below `before` from the first node that has it; `None` when all
    /// have answered that they have none, or when it is not worth keeping.
    async fn fetch_below(&self, before: u64) -> Result<Option<u64>, FetchError> {
        let mut failure = None;
        let peers = &self.replica.inner.peers;
        for peer in self.replica.others() {
            match peers.history(&peer, before).await {
                Ok(Some(run)) if !self.is_worth_keeping(&run) => return Ok(None),
                Ok(Some(run)) => {
                    let first = run.first;
                    match self.take_in(run).await {
                        Ok(()) => return Ok(Some(first)),
                        Err(error) => failure = Some(error),
                    }
                }
                // It may not know yet that what it has is committed.
                Ok(None) => match peers.report(&peer).await {
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

    /// Whether this node's retention would keep the run.
    fn is_worth_keeping(&self, run: &HistoryRun) -> bool {
        let inner = &self.replica.inner;
        let retention = &inner.options.compaction.retention;
        let stats = inner.store.stats();
        let behind = stats.latest_index.saturating_sub(run.last);
        let by_events = retention.events.is_none_or(|events| behind < events);
        let by_size = retention
            .mb
            .is_none_or(|mb| stats.total_size_bytes < mb.saturating_mul(1 << 20));
        by_events && by_size && run.first >= self.missing.from
    }

    async fn take_in(&self, mut run: HistoryRun) -> Result<(), FetchError> {
        let inner = &self.replica.inner;
        let mut receiver = blocking(inner, || inner.store.receive_history(run.first, run.last))?;
        while let Some(portion) = run.entries.next().await {
            let portion = portion?;
            receiver = blocking(inner, || push(receiver, &portion))?;
        }
        blocking(inner, || receiver.finish())?;
        Ok(())
    }
}

fn push<F: raft_store::FileSystem>(
    mut receiver: HistoryReceiver<F>,
    entries: &[Entry],
) -> Result<HistoryReceiver<F>, raft_store::Error> {
    receiver.push(entries)?;
    Ok(receiver)
}

/// Runs work on the disk where it holds up nobody.
pub(super) fn blocking<T: Types, R>(
    inner: &Inner<T>,
    work: impl FnOnce() -> Result<R, raft_store::Error>,
) -> Result<R, raft_store::Error> {
    let mut work = Some(work);
    let mut done = Err(raft_store::Error::Closed);
    inner.host.block(&mut || {
        if let Some(work) = work.take() {
            done = work();
        }
    });
    done
}

impl<T: Types> Replica<T> {
    /// Returns once the history from `offset` on (0: all that there will be) is here, or will not
    /// come any more.
    pub async fn wait_for_history(&self, offset: u64) {
        let inner = &self.inner;
        while (offset == 0 || offset < inner.store.earliest_index())
            && inner.history.progress(offset).await
        {}
    }

    /// The history right below `before`, for a node that lacks it.
    pub fn history_below(&self, before: u64) -> Option<HistoryRun> {
        // What this node's state does not know to be effective must not be shown anywhere.
        let floor = self.inner.applied.read().stale_known_from().max(1);
        let (first, last) = self.inner.store.history_run(before, RUN_BYTES)?;
        let first = first.max(floor);
        if first > last {
            return None;
        }
        let replica = self.clone();
        let entries = stream::unfold(first, move |next| {
            let read = (next <= last).then(|| replica.read_portion(next, last));
            async move {
                let read = read?;
                let end = match &read {
                    Ok(entries) => entries.last().map_or(u64::MAX, |entry| entry.log_id.index),
                    Err(_) => u64::MAX,
                };
                Some((read, end.saturating_add(1)))
            }
        });
        Some(HistoryRun {
            first,
            last,
            entries: entries.boxed(),
        })
    }

    fn read_portion(&self, from: u64, last: u64) -> Result<Vec<Entry>, PeerError> {
        let inner = &self.inner;
        let left = usize::try_from(last + 1 - from).unwrap_or(usize::MAX);
        let count = left.min(PORTION_ENTRIES);
        blocking(inner, || inner.store.read(from, count, PORTION_BYTES))
            .map_err(|error| PeerError::Failed(error.to_string()))
    }
}

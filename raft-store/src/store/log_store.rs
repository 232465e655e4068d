//! The log as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{OptionalSend, RaftTypeConfig};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::fs::FileSystem;
use crate::log::planted;
use crate::log::shared::{WhenDone, WriterRequest};
use crate::log::tail::{Limit, payload_bytes};
use crate::store::Store;
use crate::types::{Entry, LogId, StoreConfig, Vote};

/// The most that one answer to a replication stream holds.
const LIMITED_READ_ENTRIES_MAX: usize = 4096;
const LIMITED_READ_BYTES_MAX: usize = 4 << 20;

/// The pause before a retry of a read that failed because file descriptors had run out.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// The indexes of a range: from (inclusive) and to (exclusive).
fn indexes(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// openraft's log storage and reader over a [`Store`]. Clones are the same log.
pub struct LogStore<C, F: FileSystem> {
    store: Store<F>,
    /// Gets the index of the last entry of each append that is on disk.
    tell: Option<Arc<dyn Fn(u64) + Send + Sync>>,
    _config: PhantomData<fn() -> C>,
}

impl<C, F: FileSystem> LogStore<C, F> {
    pub(crate) fn new(store: Store<F>) -> Self {
        LogStore {
            store,
            tell: None,
            _config: PhantomData,
        }
    }

    /// Calls `tell` with the index of the last entry of each append from now on, once the append is as durable as
    /// `fsync_policy` asks for. The thread that writes the log calls it, so it must not take long.
    #[must_use]
    pub fn telling(self, tell: Arc<dyn Fn(u64) + Send + Sync>) -> Self {
        let tell = Some(tell);
        LogStore { tell, ..self }
    }

    fn read(&self, from: u64, to: u64, limit: Limit) -> Result<Vec<Entry>, Error> {
        let shared = &self.store.shared;
        // Purged entries are history: readers can read them by offset, but they are no longer part of Raft's log.
        let purged = shared.tail.read().state.purged;
        let from = purged.map_or(from, |id| from.max(id.index + 1));
        // A log that did not begin at 0 never had entries below its first one.
        let from = from.max(shared.earliest().min(to));
        shared.read(from, to, limit)
    }
}

impl<C: StoreConfig, F: FileSystem> LogStore<C, F> {
    /// After a failed read openraft stops the node. A lack of file descriptors is no reason for that, so retry.
    async fn read_patiently(
        &self,
        (from, to): (u64, u64),
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, io::Error> {
        loop {
            match self.read(from, to, Limit::new(entries_max, bytes_max)) {
                Err(error) if error.is_shortage() => {
                    tracing::warn!(%error, "cannot read the log for now; the node will retry");
                    C::sleep(READ_PAUSE).await;
                }
                read => return Ok(read?),
            }
        }
    }
}

impl<C, F: FileSystem> Clone for LogStore<C, F> {
    fn clone(&self) -> Self {
        LogStore {
            tell: self.tell.clone(),
            ..LogStore::new(self.store.clone())
        }
    }
}

/// The completion of an append. If it were dropped without a call, openraft would wait for it forever.
struct Flushed<C: RaftTypeConfig>(Option<IOFlushed<C>>);

impl<C: RaftTypeConfig> Flushed<C> {
    fn complete(mut self, result: Result<(), Arc<Error>>) {
        if let Some(flushed) = self.0.take() {
            flushed.io_completed(result.map_err(|first| Error::Failed(first).into()));
        }
    }
}

impl<C: RaftTypeConfig> Drop for Flushed<C> {
    fn drop(&mut self) {
        if let Some(flushed) = self.0.take() {
            flushed.io_completed(Err(Error::Closed.into()));
        }
    }
}

impl<C: StoreConfig, F: FileSystem> RaftLogReader<C> for LogStore<C, F> {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read_patiently(indexes(&range), usize::MAX, usize::MAX)
            .await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.store.shared.tail.read().state.vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        from: u64,
        to: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read_patiently((from, to), LIMITED_READ_ENTRIES_MAX, LIMITED_READ_BYTES_MAX)
            .await
    }
}

impl<C: StoreConfig, F: FileSystem> RaftLogStorage<C> for LogStore<C, F> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let tail = self.store.shared.tail.read();
        Ok(LogState {
            last_purged_log_id: tail.state.purged,
            last_log_id: tail.state.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        {
            let shared = &self.store.shared;
            let mut tail = shared.tail.write();
            let done = Box::new(move |result| {
                // If the receiver is gone, openraft has stopped.
                let _ = done.send(result);
            });
            shared.push(WriterRequest::Vote { vote: *vote, done })?;
            tail.state.vote = Some(*vote);
        }
        self.store.shared.check_invariants();
        let result = durable.await.map_err(|_| Error::Closed)?;
        Ok(result.map_err(Error::Failed)?)
    }

    /// In memory only: the writer adds it after the next batch. openraft calls this before every apply. If a
    /// crash loses the value, the node only starts to serve a little later.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let shared = &self.store.shared;
        shared.check()?;
        shared.tail.write().state.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.store.shared.tail.read().state.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let flushed = Flushed(Some(callback));
        let shared = &self.store.shared;
        let mut tail = shared.tail.write();
        let entries = tail.append(entries)?;
        let bytes = entries.iter().map(payload_bytes).sum();
        let done: WhenDone = if planted::acknowledges_early() {
            flushed.complete(Ok(()));
            Box::new(drop)
        } else {
            let told = self
                .tell
                .clone()
                .zip(entries.last().map(|entry| entry.log_id.index));
            Box::new(move |result| {
                if let (Ok(()), Some((tell, last))) = (&result, told) {
                    tell(last);
                }
                flushed.complete(result);
            })
        };
        shared.push(WriterRequest::Append {
            entries,
            bytes,
            epoch: tail.epoch,
            done,
        })?;
        drop(tail);
        shared.check_invariants();
        Ok(())
    }

    async fn truncate_after(&mut self, keep: Option<LogId>) -> Result<(), io::Error> {
        let shared = &self.store.shared;
        shared.check()?;
        let mut tail = shared.tail.write();
        // The purged log id stays, also when a snapshot has just replaced the log.
        let keep = keep.max(tail.state.purged);
        if keep >= tail.state.last {
            return Ok(());
        }
        tail.truncate(keep);
        shared.push(WriterRequest::Truncate {
            keep,
            epoch: tail.epoch,
        })?;
        drop(tail);
        shared.check_invariants();
        Ok(())
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        let shared = &self.store.shared;
        shared.purge(&mut shared.tail.write(), id)?;
        shared.check_invariants();
        Ok(())
    }
}

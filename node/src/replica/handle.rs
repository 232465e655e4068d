//! [`Replica`]: everything that one can do with a replica. The rooms hold the code of its methods.

mod clock;
mod invariants;
pub(crate) mod locks;
mod nodes;

use std::collections::BTreeMap;
use std::sync::Arc;

use openraft::network::{NetSnapshot, RaftNetworkFactory};
use rstmdb_engine::{Query, Reach, Reply, State};
use rstmdb_raft_store::{self as raft_store, SnapshotHandle, Stats, Store};

use super::error::Error;
use super::parts::answer::Submitted;
use super::parts::consistency::Consistency;
use super::parts::counters::Counters;
use super::parts::log_page::LogPage;
use super::parts::log_page::archived::HeldArchive;
use super::parts::options::Options;
use super::parts::options::tuning::Tuning;
use super::parts::replied::Replied;
use super::peers::calls::{Caller, Peers};
use super::read::{replay, resume};
use super::start::{self, Parts, StartError};
use super::types::{Host, Types};
use super::upkeep::backup::{self, BackupHead};
use super::upkeep::compaction::Compacted;
use super::upkeep::ending;
use super::upkeep::timers::TimersNow;
use super::watch::cursor::Watch;
use super::watch::hub::WatchFilter;
use super::write::request::{RequestSource, Submission};

/// A handle to a replica; clones share it.
pub struct Replica<T: Types> {
    parts: Arc<Parts<T>>,
}

/// Keeps a part of the log readable that is in the archive.
pub struct HeldHistory<T: Types> {
    _file: HeldArchive<T::Fs>,
}

impl<T: Types> Clone for Replica<T> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

/// What clients ask for, and the life of the replica. What concerns the other nodes is in `handle/nodes.rs`.
impl<T: Types> Replica<T> {
    /// Recovers the replica from `store`, forms a cluster of this one node where the store is
    /// new, and starts its tasks. The store's writer must be running.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start<N>(
        store: Store<T::Fs>,
        options: Options,
        host: Arc<dyn Host>,
        network: N,
        peers: Arc<dyn Peers>,
    ) -> Result<Self, StartError>
    where
        N: RaftNetworkFactory<T>,
        N::Network: NetSnapshot<T, SnapshotData = SnapshotHandle<T::Fs>>,
    {
        let parts = start::start(store, options, host, network, peers).await?;
        Ok(Self {
            parts: Arc::new(parts),
        })
    }

    /// Submits a command. It is queued before this returns, so commands take effect in the order
    /// of the calls; the future waits for the outcome, which is durable and applied here.
    ///
    /// Dropping the future gives up the answer, not the command.
    ///
    /// # Errors
    ///
    /// When the engine or the leader refuses the command, or when its outcome did not become known in time.
    pub fn submit(&self, submission: impl Into<Submission>, caller: Caller) -> Submitted {
        let Submission {
            command,
            meta,
            sent,
            trace,
        } = submission.into();
        let source = RequestSource::Client(sent);
        self.parts
            .inbox
            .submit(command, meta, caller, source, trace)
    }

    /// Brings other options into force, from the next decision, read or check on.
    pub fn tune(&self, tuning: Tuning) {
        self.parts.tuned.set(tuning);
    }

    /// Returns once a read at `level`, and not before `min_offset` was applied here, may be
    /// served from [`Replica::query`] or [`Replica::with_state`].
    ///
    /// # Errors
    ///
    /// [`Error::NoLeader`] when no leader confirmed in time, [`Error::Storage`] when the node
    /// has failed, [`Error::ShuttingDown`].
    pub async fn barrier(&self, level: Consistency, min_offset: Option<u64>) -> Result<(), Error> {
        self.parts.reads.barrier(level, min_offset).await
    }

    /// Whether [`Replica::barrier`] at `level`, without an offset, would return at once.
    #[must_use]
    pub fn reads_at_once(&self, level: Consistency) -> bool {
        self.parts.reads.need_no_round(level)
    }

    /// Answers a query from the applied state as it is now, within the machines of the client if it is limited to some.
    ///
    /// # Errors
    ///
    /// A refusal, such as an instance that does not exist; [`Error::Diverged`].
    pub fn query(&self, query: &Query, reach: Option<&Reach>) -> Result<Reply, Error> {
        self.parts.queries.query(query, reach)
    }

    /// As [`Replica::query`], for a query that may take long: other tasks of this thread go on meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`Replica::query`].
    pub async fn look_up(&self, query: &Query, reach: Option<&Reach>) -> Result<Reply, Error> {
        self.parts.queries.look_up(query, reach).await
    }

    /// Answers queries from the applied state as it is at one moment.
    ///
    /// # Errors
    ///
    /// Those of [`Replica::query`], naming the query; a refusal of too many queries.
    pub async fn look_up_all(
        &self,
        queries: &[Query],
        reach: Option<&Reach>,
    ) -> Result<Vec<Reply>, Error> {
        self.parts.queries.look_up_all(queries, reach).await
    }

    /// Adds the contexts to the answer of a repeated command, up to about `room` bytes in sum, which are subtracted
    /// from `room`. An answer whose entry this node's log no longer has, or does not have yet, stays without its
    /// context.
    ///
    /// Waits until this node has applied the offset that the leader names, but no longer than a request waits for a
    /// leader.
    pub async fn complete(&self, reply: &mut Replied, room: &mut usize) {
        let wait_max = self.parts.tuned.now().leader_wait;
        replay::complete::<T>(&self.parts.log, wait_max, reply, room).await;
    }

    /// About how many bytes the context of an instance has, as this node has applied it. It does not wait for apply,
    /// and may be `None` while apply is running.
    pub fn context_bytes(&self, id: &str) -> Option<usize> {
        self.parts.queries.context_bytes(id)
    }

    /// Calls `look` with the applied state. Apply waits meanwhile, so `look` must be short.
    pub fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.parts.log.applied.read())
    }

    /// Starts a watch of everything `filter` matches: after the head, or from the offset
    /// `from` (0: the earliest that is retained).
    ///
    /// # Errors
    ///
    /// [`Error::OffsetCompacted`] when `from` is no longer retained.
    pub fn watch(&self, filter: WatchFilter, from: Option<u64>) -> Result<Watch<T>, Error> {
        self.parts.watches.watch(filter, from)
    }

    /// Starts a watch of one instance, and returns the instance's state at the watch's head: no event lies between the
    /// two. `filter` says which facts about the instance the watch delivers. A watch that delivers creations or
    /// deletions may wait for an instance that does not exist.
    ///
    /// # Errors
    ///
    /// The refusal of an instance that does not exist, and those of [`Replica::watch`].
    pub fn watch_instance(
        &self,
        instance_id: &str,
        filter: WatchFilter,
        from: Option<u64>,
    ) -> Result<(Watch<T>, Option<Reply>), Error> {
        let watches = &self.parts.watches;
        watches.watch_instance(instance_id, filter, from)
    }

    /// Whether a watch may begin at the offset `from` that was got from the cluster `cluster_id`.
    ///
    /// A client comes with the offset behind the last one it has seen. This node may not have applied that offset yet.
    /// It asks the leader before it calls the offset wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OtherCluster`], [`Error::OffsetAhead`], and those of [`Replica::barrier`].
    pub async fn check_resume(
        &self,
        from: Option<u64>,
        cluster_id: Option<&str>,
    ) -> Result<(), Error> {
        let (reads, applied) = (&self.parts.reads, &self.parts.log.applied);
        resume::check_resume(reads, applied, self.cluster_id(), from, cluster_id).await
    }

    /// The timers that are armed, suspended and overdue now.
    #[must_use]
    pub fn timers(&self) -> TimersNow {
        self.parts.timers.now()
    }

    /// How many watches this replica serves.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.parts.watches.hub.watches()
    }

    /// How many of them have not caught up although the head is far ahead.
    #[must_use]
    pub fn watches_lagging(&self) -> usize {
        self.parts.watches.hub.lagging()
    }

    /// Reads a page of at most `limit` entries of the applied log from `from` on (0: from the
    /// earliest that is retained).
    ///
    /// # Errors
    ///
    /// [`Error::OffsetCompacted`] when `from` is no longer retained, [`Error::Storage`] when
    /// the log cannot be read.
    pub fn log_read(&self, from: u64, limit: usize) -> Result<LogPage, Error> {
        self.parts.neighbours.gate.trust()?;
        self.parts.log.page(from, limit)
    }

    /// Entries from `from` on, up to and including `to`, which must have been applied: as many as fit into both limits,
    /// but at least one.
    ///
    /// # Errors
    ///
    /// [`Error::OffsetCompacted`] when `from` is no longer retained, [`Error::Storage`] when
    /// the log cannot be read.
    pub fn log_entries(
        &self,
        from: u64,
        to: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<raft_store::Entry>, Error> {
        self.parts.neighbours.gate.trust()?;
        self.parts.log.read_raw(from, to, entries_max, bytes_max)
    }

    /// Fetches the part of the log from `offset` on (0: the earliest that is retained) from the archive, if it has left
    /// the node. It can be read for as long as the result lives.
    ///
    /// # Errors
    ///
    /// [`Error::ArchiveUnavailable`].
    pub async fn hold_history(&self, offset: u64) -> Result<Option<HeldHistory<T>>, Error> {
        let held = self.parts.log.hold(offset).await?;
        Ok(held.map(|file| HeldHistory { _file: file }))
    }

    /// Waits until it is known whether `offset` (0: the earliest that is retained) is in the archive.
    ///
    /// # Errors
    ///
    /// [`Error::ArchiveUnavailable`].
    pub async fn wait_for_archive(&self, offset: u64) -> Result<(), Error> {
        self.parts.log.wait_for_archive(offset).await
    }

    /// Returns once the history from `offset` on (0: all that will be available) is here, or no more of it will come.
    pub async fn wait_for_history(&self, offset: u64) {
        self.parts.backfill.wait_for_history(offset).await;
    }

    /// What there is to back up.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`]; [`Error::Storage`] when the snapshot cannot be opened.
    pub fn backup_head(&self) -> Result<BackupHead<T>, Error> {
        let parts = &self.parts;
        backup::backup_head(&parts.log, &parts.neighbours.gate, &parts.options)
    }

    /// Takes a snapshot (when the log has grown by the threshold since the last one, or in any
    /// case with `force_snapshot`) and drops the history that retention no longer wants.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the snapshot or the retention failed.
    pub async fn compact(&self, force_snapshot: bool) -> Result<Compacted, Error> {
        self.parts.compaction.compact(force_snapshot).await
    }

    /// The log time up to which, inclusive, the leader has applied everything, in Unix milliseconds. Facts that are in
    /// flight there, and those that are decided later, have a later time, unless the next leader's clock is behind. If
    /// no leader answers, this is the time of the last fact on this node, which may be much earlier.
    pub async fn log_time_ms(&self) -> u64 {
        self.parts.clock.log_time_ms().await
    }

    /// The log's time that a decision at this moment would have, in Unix milliseconds. If another node leads, this node's
    /// wall clock stands for that node's.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.parts.clock.now_ms()
    }

    /// On the leader: by how many milliseconds the clock of each voter that answers is ahead of the median.
    #[must_use]
    pub fn clock_skews_ms(&self) -> BTreeMap<u64, i64> {
        self.parts.clock.skews_ms()
    }

    /// On the leader: by how many milliseconds the log's time is ahead of the clock that it is slewed
    /// towards; negative behind it. 0 elsewhere.
    #[must_use]
    pub fn log_time_ahead_ms(&self) -> i64 {
        self.parts.clock.ahead_ms()
    }

    /// What this replica counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.parts.counters
    }

    /// Sizes and counters of the log.
    #[must_use]
    pub fn store_stats(&self) -> Stats {
        self.parts.log.store.stats()
    }

    /// The cluster's id, as text.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.parts.options.cluster_id
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.parts.options.cluster_name
    }

    /// Resolves when the node can no longer take part: its storage or its Raft core has failed
    /// for good. The text says why.
    pub async fn fatal(&self) -> String {
        self.parts.ending.fatal().await
    }

    /// Waits until everything queued for the log so far is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the log has failed.
    pub async fn sync_log(&self) -> Result<(), Error> {
        ending::sync_log(&self.parts.log.store).await
    }

    /// Whether it has been shut down, or is being shut down.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.parts.ending.gate.is_shutting_down()
    }

    /// Takes no more writes, stops the Raft core, syncs the log and closes it; the store's writer
    /// then writes its closing mark and ends.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] when the log could not be closed cleanly; nothing acknowledged is
    /// lost by that.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.parts.ending.shutdown().await
    }
}

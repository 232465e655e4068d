//! What a backup is made of: the entries as they are in the log, and the newest snapshot.
//!
//! Only what is committed and applied here is given, stale entries included: who applies the same
//! entries finds the same ones stale.

use openraft::async_runtime::watch::WatchReceiver;
use rstmdb_raft_store::{self as raft_store, SnapshotHandle};

use super::Error;
use super::handle::Replica;
use super::log_page;
use super::proposer::term_of;
use super::types::Types;

/// What this node has at one moment.
#[derive(Debug, Clone)]
pub struct BackupHead<T: Types> {
    /// The cluster.
    pub cluster_id: String,
    /// What people call it.
    pub cluster_name: String,
    /// The lowest offset that can be read.
    pub first_offset: u64,
    /// The last applied offset.
    pub last_offset: u64,
    /// The digest of the state there.
    pub digest: u128,
    /// The newest snapshot; it can be read for as long as this lives.
    pub snapshot: Option<SnapshotHandle<T::Fs>>,
}

impl<T: Types> Replica<T> {
    /// What there is to back up.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`]; [`Error::Storage`] when the snapshot cannot be opened.
    pub fn backup_head(&self) -> Result<BackupHead<T>, Error> {
        let inner = &self.inner;
        inner.gate.trust()?;
        let mut snapshot = Ok(None);
        inner.host.block(&mut || {
            snapshot = inner.store.snapshots().current();
        });
        let snapshot = snapshot.map_err(|error| Error::Storage {
            reason: error.to_string(),
            outcome_unknown: false,
        })?;
        let (last_offset, digest) = {
            let state = inner.applied.read();
            (state.last_applied(), state.digest())
        };
        Ok(BackupHead {
            cluster_id: inner.options.cluster_id.clone(),
            cluster_name: inner.options.cluster_name.clone(),
            first_offset: self.earliest_offset(),
            last_offset,
            digest,
            snapshot,
        })
    }

    /// Up to which log time, inclusive, all is applied on the leader, Unix milliseconds. Facts in flight there, and those
    /// that are decided later, have a later time, unless another leader follows whose clock is behind. Where no leader
    /// tells it, this is the time of the last fact here, which may be much earlier.
    pub async fn log_time_ms(&self) -> u64 {
        if let Some(time_ms) = self.led_time_ms() {
            return time_ms;
        }
        let leads = self
            .inner
            .raft
            .server_metrics()
            .borrow_watched()
            .current_leader;
        let leader = self
            .others()
            .into_iter()
            .find(|peer| Some(peer.id) == leads);
        let told = match leader {
            Some(leader) => self.inner.peers.report(&leader).await.ok(),
            None => None,
        };
        let told = told.and_then(|report| report.log_ms);
        told.unwrap_or_else(|| self.inner.applied.read().last_time_ms())
    }

    /// The same, if this node leads.
    pub(super) fn led_time_ms(&self) -> Option<u64> {
        if !self.is_leader() {
            return None;
        }
        let last_ms = self.inner.applied.read().last_time_ms();
        let term = term_of(&self.inner.raft);
        self.inner.clocks.led_time_ms(term, last_ms)
    }

    /// Entries from `from` on, up to and including `to`, which must have been applied: as many as
    /// fit into either bound, but at least one.
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
        self.inner.gate.trust()?;
        log_page::read_raw(&self.inner, from, to, entries_max, bytes_max)
    }
}

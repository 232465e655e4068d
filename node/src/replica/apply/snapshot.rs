//! Writes and reads the snapshots of the applied state.

use std::io;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::SnapshotOf;
use parking_lot::Mutex;
use rstmdb_engine::{State, StateLoader};
use rstmdb_raft_store::{
    FileSystem, LogId, SnapshotHandle, SnapshotMeta, SnapshotStore, StoredMembership,
};

use crate::replica::parts::counters::Counters;
use crate::replica::types::{Host, Types};

pub(super) fn load_state<F: FileSystem>(
    snapshots: &SnapshotStore<F>,
    snapshot: &SnapshotHandle<F>,
    understands: u32,
) -> io::Result<State> {
    let mut loader = StateLoader::understanding(understands);
    for record in snapshots.open_records(snapshot)? {
        loader.push(record?).map_err(io::Error::other)?;
    }
    loader.finish().map_err(io::Error::other)
}

pub(super) fn into_openraft<T: Types>(
    handle: SnapshotHandle<T::Fs>,
) -> SnapshotOf<T, SnapshotHandle<T::Fs>> {
    SnapshotOf::<T, SnapshotHandle<T::Fs>> {
        meta: handle.meta().clone(),
        snapshot: handle,
    }
}

/// Writes one snapshot; the state inside is a copy-on-write clone, so apply goes on meanwhile.
pub struct Builder<T: Types> {
    pub(super) state: State,
    pub(super) last_applied: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) snapshots: SnapshotStore<T::Fs>,
    pub(super) host: Arc<dyn Host>,
    pub(super) counters: Arc<Counters>,
    pub(super) slot: Arc<Mutex<Option<SnapshotHandle<T::Fs>>>>,
    pub(super) written: Option<SnapshotHandle<T::Fs>>,
}

impl<T: Types> Builder<T> {
    /// Writes the snapshot and keeps it ready for openraft to ask for. Returns the last offset in it.
    ///
    /// This runs outside of openraft, because a builder that fails stops openraft for good. A disk without room for a
    /// snapshot has room for the log, so the node goes on with the previous snapshot.
    pub(crate) fn write(self) -> Result<u64, rstmdb_raft_store::Error> {
        let offset = self.last_applied.map_or(0, |id| id.index);
        let handle = self.write_file()?;
        *self.slot.lock() = Some(handle);
        Ok(offset)
    }

    fn write_file(&self) -> Result<SnapshotHandle<T::Fs>, rstmdb_raft_store::Error> {
        let meta = SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
        };
        let began = T::now();
        let mut written = Err(rstmdb_raft_store::Error::Closed);
        self.host.block(&mut || {
            let (digest, records) = (self.state.digest(), self.state.records());
            written = self.snapshots.write(&meta, digest, records);
        });
        let handle = written.inspect_err(|_| self.counters.snapshots_failed.add(1))?;
        let took = u64::try_from((T::now() - began).as_micros()).unwrap_or(u64::MAX);
        self.counters.snapshots_taken.add(1);
        self.counters.snapshot_last_bytes.set(handle.info().bytes);
        self.counters.snapshot_last_us.set(took);
        Ok(handle)
    }
}

impl<T: Types> RaftSnapshotBuilder<T> for Builder<T> {
    type SnapshotData = SnapshotHandle<T::Fs>;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<T, SnapshotHandle<T::Fs>>> {
        let handle = match self.written.take() {
            Some(written) => written,
            None => self.write_file()?,
        };
        Ok(into_openraft::<T>(handle))
    }
}

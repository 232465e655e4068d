//! What a backup is made of: the entries as they are in the log, and the newest snapshot.
//!
//! A backup holds only entries that are committed and that this node has applied, stale ones included: a node that
//! applies the same entries finds the same ones stale.

use rstmdb_engine::chain::{Chain, Head};
use rstmdb_raft_store::SnapshotHandle;

use crate::replica::error::Error;
use crate::replica::parts::gate::Gate;
use crate::replica::parts::log_page::{LogReader, blocking};
use crate::replica::parts::options::Options;
use crate::replica::types::Types;

/// What this node can back up at one moment.
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
    /// The head of the chain over the log there, if it has begun.
    pub head: Option<Head>,
    /// The newest snapshot; it can be read as long as this value lives.
    pub snapshot: Option<SnapshotHandle<T::Fs>>,
}

/// What there is to back up.
pub(crate) fn backup_head<T: Types>(
    log: &LogReader<T::Fs>,
    gate: &Gate,
    options: &Options,
) -> Result<BackupHead<T>, Error> {
    gate.trust()?;
    let snapshots = log.store.snapshots();
    let snapshot = blocking(&*log.host, || snapshots.current());
    let snapshot = snapshot.map_err(|error| Error::Storage {
        reason: error.to_string(),
        outcome_unknown: false,
    })?;
    let (last_offset, digest, head) = {
        let state = log.applied.read();
        let head = state.chain().map(Chain::head);
        (state.last_applied(), state.digest(), head)
    };
    Ok(BackupHead {
        cluster_id: options.cluster_id.clone(),
        cluster_name: options.cluster_name.clone(),
        first_offset: log.earliest_offset(),
        last_offset,
        digest,
        head,
        snapshot,
    })
}

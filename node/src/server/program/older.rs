//! For `verify`: the hashes of entries that have left the folder for the archive.

use rstmdb_engine::chain::EntryHash;
use rstmdb_raft_store::{self as raft_store, Identity};

use crate::replica::entry_hash;
use crate::server::config::Config;
use crate::server::node::archive::reader::{ArchiveReader, ReadError};

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "it is in the archive, if the cluster has one: give the configuration that names it, by --config"
    )]
    NoArchive,
    #[error("the archive has no object with offset {0}")]
    Missing(u64),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// The hashes of the entries `from..=to`, from the configured archive of this folder's cluster. Blocks.
pub(super) fn hashes(
    config: &Config,
    identity: &Identity,
    from: u64,
    to: u64,
) -> Result<Vec<EntryHash>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listed = ArchiveReader::list(config, identity.cluster_id).await?;
        let archive = listed.ok_or(Error::NoArchive)?;
        let mut hashes = Vec::new();
        let mut next = from;
        while next <= to {
            let found = archive.object_with(next).await?;
            let (name, entries) = found.ok_or(Error::Missing(next))?;
            let wanted = |entry: &&raft_store::Entry| (next..=to).contains(&entry.log_id.index);
            hashes.extend(entries.iter().filter(wanted).map(entry_hash));
            next = name.last + 1;
        }
        Ok(hashes)
    })
}

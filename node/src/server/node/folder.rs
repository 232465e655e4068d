//! Why a node cannot start on its data folder, in words for its operator.

use rstmdb_raft_store::{self as raft_store, RealFs};

use super::error::Error;
use super::peering::{configured_id, is_alone};
use crate::replica::start::StartError;
use crate::server::config::{Config, Storage};

const ADVICE: &str = "restore the file, or the whole folder, from a backup; `rstmdb verify` names every \
                      damaged place; with other nodes that hold the data, empty this one with \
                      `rstmdb rejoin`";

/// Names the damage behind a failed start, if there is any: an error that comes through openraft tells more of openraft
/// than of the file.
pub(crate) fn explained(error: StartError, storage: &Storage) -> Error {
    let report = raft_store::verify(&RealFs, &storage.data_dir, &storage.keys, false);
    let missing = report.missing_snapshot(&storage.data_dir);
    match report.damages.into_iter().chain(missing).next() {
        Some(damage) => Error::Store(raft_store::Error::Damaged {
            file: damage.file,
            offset: damage.offset,
            what: damage.what,
            covers: damage.lost,
            advice: ADVICE,
        }),
        None => error.into(),
    }
}

/// Refuses a folder that was in use and has lost `identity.json`. In a cluster the node would come back with another
/// incarnation, and the other nodes would refuse it: in their eyes it has forgotten its votes. A node that was the only
/// one of its cluster, and is configured so, may start: its log names the cluster, and it writes the file again.
/// Blocks.
///
/// # Errors
/// When it is such a folder.
pub(crate) fn refuse_nameless(config: &Config) -> Result<(), Error> {
    let dir = &config.storage.data_dir;
    let report = raft_store::verify(&RealFs, dir, &config.storage.keys, false);
    let Some(missing) = report.missing_identity(dir) else {
        return Ok(());
    };
    let node_id = configured_id(&config.cluster);
    if !is_alone(&config.cluster) || report.only_member(dir) != Some(node_id) {
        return Err(missing.into());
    }
    tracing::warn!(
        data_dir = %dir.display(),
        node_id,
        cluster_name = %config.cluster.name,
        "identity.json is missing, although the folder was in use: the log is complete and names no other node, so \
         this node writes the file again, with the cluster's id from the log and the name from the configuration"
    );
    Ok(())
}

//! Why a node cannot start on its data folder, in words for its operator.

use rstmdb_raft_store::{self as raft_store, Damage, RealFs};

use super::config::Storage;
use super::node::Error;
use crate::replica::start::StartError;

const ADVICE_DAMAGED: &str = "restore the file, or the whole folder, from a backup; `rstmdb verify` names every \
                              damaged place; with other nodes that hold the data, empty this one with \
                              `rstmdb rejoin`";
const ADVICE_NAMELESS: &str = "put the file back from a copy of this very folder (a node never changes it), or \
                               restore the whole folder from a backup; with other nodes that hold the data, empty \
                               this one with `rstmdb rejoin`, remove the old node with `rstmdb-cli cluster remove`, \
                               and add this one under a new id";

/// Names the damage behind a start that failed, if there is any: what comes through openraft tells
/// more of openraft than of the file.
pub(super) fn explained(error: StartError, storage: &Storage) -> Error {
    let report = raft_store::verify(&RealFs, &storage.data_dir, &storage.keys, false);
    let missing = report.missing_snapshot(&storage.data_dir);
    match report.damages.into_iter().chain(missing).next() {
        Some(damage) => refused(damage, ADVICE_DAMAGED),
        None => error.into(),
    }
}

/// Refuses a folder that was in use and has lost `identity.json`. The node would take it for an empty one: alone, it
/// would go on as if it were new; in a cluster, the others would say that it has forgotten everything. Blocks.
///
/// # Errors
/// When it is such a folder.
pub(super) fn refuse_nameless(storage: &Storage) -> Result<(), Error> {
    let report = raft_store::verify(&RealFs, &storage.data_dir, &storage.keys, false);
    match report.missing_identity(&storage.data_dir) {
        Some(damage) => Err(refused(damage, ADVICE_NAMELESS)),
        None => Ok(()),
    }
}

fn refused(damage: Damage, advice: &'static str) -> Error {
    Error::Store(raft_store::Error::Damaged {
        file: damage.file,
        offset: damage.offset,
        what: damage.what,
        covers: damage.lost,
        advice,
    })
}

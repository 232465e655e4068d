//! The replay of a run. A restore and the check of a backup both begin here.

use std::path::Path;

use rstmdb_engine::replay::{self, Replay, SnapshotBeginning, Until};

use crate::{BackupRun, Error, folder};

/// Why a run cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFault {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] Error),
    /// A file does not give the state that the cluster had.
    #[error("{file}: {reason}")]
    Replay {
        /// The file of the backup that does not fit.
        file: String,
        /// What is wrong with it.
        reason: replay::Error,
    },
}

impl ReplayFault {
    /// The file of this name does not fit.
    pub fn of_file(file: &str, reason: replay::Error) -> Self {
        Self::Replay {
            file: file.to_owned(),
            reason,
        }
    }
}

/// The replay of a run, from its snapshot if it has one.
///
/// # Errors
/// When the snapshot cannot be read, or is not the one that it should be.
pub fn begin(dir: &Path, run: &BackupRun, until: Until) -> Result<Replay, ReplayFault> {
    let Some(snapshot) = &run.snapshot else {
        return Ok(Replay::new(until));
    };
    let wrong = |reason| ReplayFault::of_file(&snapshot.info.file, reason);
    let mut beginning = SnapshotBeginning::new(snapshot.offset, &snapshot.digest);
    for record in folder::snapshot_records(dir, snapshot)? {
        beginning.push(record?).map_err(wrong)?;
    }
    beginning.finish(until).map_err(wrong)
}

//! Checks that a backup can be restored: its files are whole, and replaying them leads to the states that the
//! cluster had. A restore makes the same checks, with the same [`Replay`], for the part that it needs.

use std::path::Path;

use rstmdb_backup::stream::EntryKind;
use rstmdb_backup::{self as backup, BackupRun, LogEntry, Manifest, folder};
use rstmdb_engine::chain::{self, Logged};
use rstmdb_engine::replay::{self, Replay, SnapshotBeginning, Until};

use super::from_backup;
use crate::Error;

/// Why a run cannot be restored.
#[derive(Debug, thiserror::Error)]
enum RunFault {
    #[error(transparent)]
    File(#[from] backup::Error),
    #[error("{file}: {reason}")]
    Replay { file: String, reason: replay::Error },
}

impl RunFault {
    fn replay(file: &str, reason: replay::Error) -> Self {
        Self::Replay {
            file: file.to_owned(),
            reason,
        }
    }
}

/// Checks all of the backup in `dir`; each fault goes to `say`.
///
/// # Errors
/// When a restore would refuse it.
pub(super) fn check(dir: &Path, manifest: &Manifest, say: impl Fn(String)) -> Result<(), Error> {
    let damaged = manifest
        .files()
        .filter_map(|info| folder::verify(dir, info).err())
        .map(|error| say(error.to_string()))
        .count();
    if damaged > 0 {
        let files = match damaged {
            1 => "1 file of the backup is damaged".to_owned(),
            damaged => format!("{damaged} files of the backup are damaged"),
        };
        return Err(Error::Failed(format!("{}: {files}", dir.display())));
    }
    if manifest.restorable().next().is_none() {
        return Err(Error::Failed(format!(
            "{} cannot be restored: the backup was interrupted before its log reached its snapshot; run \
             the backup again",
            dir.display()
        )));
    }
    for run in manifest.restorable() {
        replay(dir, run).map_err(|fault| match fault {
            RunFault::File(error) => from_backup(error),
            fault => Error::Failed(format!("{} cannot be restored: {fault}", dir.display())),
        })?;
    }
    Ok(())
}

/// Applies a run from its beginning to its end, as a restore does.
fn replay(dir: &Path, run: &BackupRun) -> Result<(), RunFault> {
    let mut replay = begin(dir, run)?;
    for file in &run.log {
        let wrong = |reason| RunFault::replay(&file.info.file, reason);
        for entry in folder::log_entries(dir, file)? {
            let entry = entry?;
            replay.entry(&logged(&entry)).map_err(wrong)?;
        }
        let (digest, head) = (file.digest.as_deref(), file.chain_head.as_deref());
        replay
            .compare_end(file.last_offset, digest, head)
            .map_err(wrong)?;
    }
    Ok(())
}

/// An entry of the backup, as the chain has it.
fn logged(entry: &LogEntry) -> Logged<'_> {
    Logged {
        term: entry.term,
        offset: entry.offset,
        kind: match entry.kind {
            EntryKind::Blank => chain::EntryKind::Blank,
            EntryKind::Normal => chain::EntryKind::Normal,
            EntryKind::Membership => chain::EntryKind::Membership,
        },
        payload: &entry.payload,
    }
}

fn begin(dir: &Path, run: &BackupRun) -> Result<Replay, RunFault> {
    let Some(snapshot) = &run.snapshot else {
        return Ok(Replay::new(Until::End));
    };
    let wrong = |reason| RunFault::replay(&snapshot.info.file, reason);
    let mut beginning = SnapshotBeginning::new(snapshot.offset, &snapshot.digest);
    for record in folder::snapshot_records(dir, snapshot)? {
        beginning.push(record?).map_err(wrong)?;
    }
    beginning.finish(Until::End).map_err(wrong)
}

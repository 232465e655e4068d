//! Checks that a backup can be restored: its files are whole, and replaying them leads to the states that the
//! cluster had. A restore makes the same checks, with the same replay, for the part that it needs.

use std::path::Path;

use rstmdb_backup::replay::{ReplayFault, begin};
use rstmdb_backup::{BackupRun, Manifest, folder};
use rstmdb_engine::replay::Until;

use super::from_backup;
use crate::Error;

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
            ReplayFault::File(error) => from_backup(error),
            fault => Error::Failed(format!("{} cannot be restored: {fault}", dir.display())),
        })?;
    }
    Ok(())
}

/// Applies a run from its beginning to its end, as a restore does.
fn replay(dir: &Path, run: &BackupRun) -> Result<(), ReplayFault> {
    let mut replay = begin(dir, run, Until::End)?;
    for file in &run.log {
        let wrong = |reason| ReplayFault::of_file(&file.info.file, reason);
        for entry in folder::log_entries(dir, file)? {
            let entry = entry?;
            replay.entry(&entry.logged()).map_err(wrong)?;
        }
        let (digest, head) = (file.digest.as_deref(), file.chain_head.as_deref());
        replay
            .compare_end(file.last_offset, digest, head)
            .map_err(wrong)?;
    }
    Ok(())
}

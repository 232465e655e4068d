//! Marks of a folder that is being built or emptied. After an interruption the folder can look whole. The
//! mark shows that it is not, and the store refuses to open it.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, IoContext, damaged};
use crate::folder::layout::Layout;
use crate::fs::{self, FileSystem};

/// There while [`rejoin`](super::rejoin::rejoin) empties the folder.
pub(super) const REJOINING: &str = "rejoining";

/// Exists while a restore builds the folder from a backup.
const MARKER_NAME: &str = "restore.unfinished";
const MARKER_TEXT: &[u8] =
    b"A restore into this folder was not finished. Empty it and restore again.\n";

/// Refuses a folder in which a rejoin or a restore was interrupted.
pub(crate) fn refuse_unfinished<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    if fs::exists(fs, &layout.dir, REJOINING)? {
        let what = "emptying the folder for a rejoin was interrupted";
        return Err(damaged(&layout.dir.join(REJOINING), 0, what));
    }
    if fs::exists(fs, &layout.dir, MARKER_NAME)? {
        return Err(Error::RestoreUnfinished {
            dir: layout.dir.clone(),
        });
    }
    Ok(())
}

/// Marks a folder that a restore begins to fill.
pub(crate) fn mark_restore<F: FileSystem>(fs: &F, dir: &Path) -> Result<(), Error> {
    fs::publish(fs, dir, MARKER_NAME, MARKER_TEXT)
}

/// Removes the mark of a restore, durably. It is not an error if there is no mark.
pub(crate) fn unmark_restore<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    let path = layout.dir.join(MARKER_NAME);
    match fs.remove(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.during("remove", &path)?,
    }
    fs.sync_dir(&layout.dir).during("sync", &layout.dir)
}

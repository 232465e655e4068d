//! Emptying a data folder, so that its node comes back as a new member.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, IoContext};
use crate::folder::layout::Layout;
use crate::folder::lock::take_lock;
use crate::folder::unfinished::{REJOINING, unmark_restore};
use crate::fs::{self, FileSystem};

/// Empties a damaged node's folder, so that it can come back as a new member under a new id: a node that
/// forgot its log must never vote under its old id. This removes everything but the lock. Once begun, the
/// store refuses the folder until the removal is complete. Blocks.
pub fn rejoin<F: FileSystem>(fs: &F, dir: &Path) -> Result<(), Error> {
    let layout = Layout::of(dir);
    let _lock = take_lock(fs, &layout)?;
    fs::publish(fs, dir, REJOINING, b"")?;
    // Remove the identity last: a folder that has lost half of its log must not pass for a new one.
    for folder in [
        &layout.wal,
        &layout.snapshots,
        &layout.history,
        &layout.catalog,
    ] {
        fs.remove_dir_all(folder).during("remove", folder)?;
    }
    fs.sync_dir(dir).during("sync", dir)?;
    for path in [&layout.peers, &layout.identity, &dir.join(REJOINING)] {
        match fs.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other.during("remove", path)?,
        }
        fs.sync_dir(dir).during("sync", dir)?;
    }
    unmark_restore(fs, &layout)
}

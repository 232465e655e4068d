//! A data folder that is built from a backup: marked as unfinished until all of it is durable, so
//! that what an interrupted restore leaves behind never passes for a node's folder.

use std::io::ErrorKind;

use crate::error::{Error, IoContext};
use crate::fs::{self, FileSystem};
use crate::identity::Identity;
use crate::options::{Layout, Options};
use crate::store::Store;
use crate::writer::Writer;

const MARKER_NAME: &str = "restore.unfinished";
const MARKER_TEXT: &[u8] =
    b"A restore into this folder was not finished. Empty it and restore again.\n";

/// Opens a folder, created when absent, that [`Store::open`] refuses from now on until
/// [`Store::finish_restore`]. The folder must be empty; who calls sees to that. Blocks.
pub fn begin_restore<F: FileSystem>(
    fs: F,
    options: Options,
) -> Result<(Store<F>, Writer<F>), Error> {
    let dir = &options.dir;
    fs::create_dir(&fs, dir)?;
    fs::publish(&fs, dir, MARKER_NAME, MARKER_TEXT)?;
    Store::open_any(fs, options)
}

/// Refuses a folder that a restore has not finished.
pub(crate) fn refuse_unfinished<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    if fs::exists(fs, &layout.dir, MARKER_NAME)? {
        return Err(Error::RestoreUnfinished {
            dir: layout.dir.clone(),
        });
    }
    Ok(())
}

/// Removes the mark, durably; none is fine.
pub(crate) fn unmark<F: FileSystem>(fs: &F, layout: &Layout) -> Result<(), Error> {
    let path = layout.dir.join(MARKER_NAME);
    match fs.remove(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.during("remove", &path)?,
    }
    fs.sync_dir(&layout.dir).during("sync", &layout.dir)
}

impl<F: FileSystem> Store<F> {
    /// Makes a folder of [`begin_restore`] a node's. Call it last, when everything is durable and the
    /// writer has ended. Blocks.
    pub fn finish_restore(&self, identity: &Identity) -> Result<(), Error> {
        self.write_identity(identity)?;
        unmark(&self.shared.fs, &self.shared.layout)
    }
}

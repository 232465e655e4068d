//! Builds a data folder from a backup. The folder is marked as unfinished until all of it is durable, so that
//! the remains of an interrupted restore never pass for a node's folder.

use crate::error::Error;
use crate::folder::unfinished::{mark_restore, unmark_restore};
use crate::folder::{Identity, Options};
use crate::fs::{self, FileSystem};
use crate::log::writer::Writer;
use crate::store::Store;

/// Opens a folder, created when absent, that [`Store::open`] refuses from now on until
/// [`Store::finish_restore`]. The caller makes sure that the folder is empty. Blocks.
pub fn begin_restore<F: FileSystem>(
    fs: F,
    options: Options,
) -> Result<(Store<F>, Writer<F>), Error> {
    let dir = &options.dir;
    fs::create_dir(&fs, dir)?;
    mark_restore(&fs, dir)?;
    Store::open_any(fs, options)
}

impl<F: FileSystem> Store<F> {
    /// Makes a folder of [`begin_restore`] a node's. Call it last, when everything is durable and the writer
    /// has ended. Blocks.
    pub fn finish_restore(&self, identity: &Identity) -> Result<(), Error> {
        self.write_identity(identity)?;
        unmark_restore(&self.shared.fs, &self.shared.layout)
    }
}

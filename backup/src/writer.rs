//! Writing a file of a backup: under a temporary name, and published whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// The name of a file that is being written.
pub(crate) const TEMPORARY_NAME: &str = "incoming.tmp";
/// How much of a file is written or read at once.
pub(crate) const BUFFER_BYTES: usize = 1 << 20;

/// Any file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Of the whole file, in hex.
    pub sha256: String,
}

/// A file that is being written; it belongs to the backup only once it is published.
pub struct FileWriter {
    dir: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl FileWriter {
    /// Begins a file; there is one at a time in a folder.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(TEMPORARY_NAME);
        let file = create_own(&path).map_err(Error::io("create", &path))?;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    /// Appends.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.hasher.update(data);
        self.bytes += data.len() as u64;
        let written = self.file.write_all(data);
        written.map_err(Error::io("write", &self.path))
    }

    /// What was written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn publish(mut self, name: &str) -> Result<FileInfo, Error> {
        self.file.flush().map_err(Error::io("write", &self.path))?;
        let synced = self.file.get_ref().sync_all();
        synced.map_err(Error::io("sync", &self.path))?;
        let renamed = std::fs::rename(&self.path, self.dir.join(name));
        renamed.map_err(Error::io("rename", &self.path))?;
        sync_dir(&self.dir)?;
        Ok(FileInfo {
            file: name.to_owned(),
            bytes: self.bytes,
            sha256: hex::encode(self.hasher.finalize()),
        })
    }
}

/// Creates a file, or empties it, that its owner alone may read: a backup holds every context.
///
/// # Errors
/// When the file system refuses.
pub fn create_own(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    options.mode(0o600).open(path)
}

/// Makes what was published in `dir` durable.
///
/// # Errors
/// When the file system refuses.
pub fn sync_dir(dir: &Path) -> Result<(), Error> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(Error::io("sync", dir))
}

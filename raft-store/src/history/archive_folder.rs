//! An archive that is a folder: objects by name, in one folder for each cluster.

use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::fs::{self, File, FileSystem};

/// A folder with objects. Several nodes may use it at the same time.
#[derive(Clone, Debug)]
pub struct ArchiveFolder<F> {
    fs: F,
    /// The folder that the operator has named. It has to be there: one that is made anew may be a file system that is
    /// not mounted.
    root: PathBuf,
    dir: PathBuf,
}

impl<F: FileSystem> ArchiveFolder<F> {
    /// The objects of the cluster `cluster_id` below `dir`.
    pub fn new(fs: F, dir: &Path, cluster_id: &str) -> Self {
        Self {
            fs,
            root: dir.to_owned(),
            dir: dir.join(cluster_id),
        }
    }

    /// The names of all files. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        self.fs.list(&self.root).during("list", &self.root)?;
        match self.fs.list(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.during("list", &self.dir),
        }
    }

    /// Keeps an object, durably and whole. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, object: &[u8]) -> Result<(), Error> {
        self.fs.list(&self.root).during("list", &self.root)?;
        fs::create_dir(&self.fs, &self.dir)?;
        fs::publish(&self.fs, &self.dir, name, object)
    }

    /// Reads an object. Blocks.
    ///
    /// # Errors
    /// When there is none of this name, it cannot be read, or it is longer than `bytes_max`.
    pub fn get(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(name);
        let file = self.fs.open(&path).during("open", &path)?;
        let len = file.len().during("measure", &path)?;
        if len > bytes_max {
            return Err(Error::TooLarge {
                bytes: len,
                bytes_max,
            });
        }
        let mut object = Vec::new();
        fs::read_content(&file, &path, &mut object)?;
        Ok(object)
    }
}

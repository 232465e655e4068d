//! An archive that is a folder of the node's file system.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rstmdb_raft_store::{self as raft_store, ArchiveFolder};

use crate::replica::types::{Archive, ArchiveError, Types};

/// The archive in a folder.
pub struct FolderArchive<T: Types>(ArchiveFolder<T::Fs>);

impl<T: Types> FolderArchive<T> {
    /// The archive of the cluster `cluster_id` below `dir`.
    pub fn new(fs: T::Fs, dir: &Path, cluster_id: &str) -> Self {
        Self(ArchiveFolder::new(fs, dir, cluster_id))
    }

    fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&ArchiveFolder<T::Fs>) -> Result<R, raft_store::Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<R, ArchiveError>> {
        let folder = self.0.clone();
        let done = T::blocking(move || work(&folder));
        async move {
            match done.await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) => Err(ArchiveError(error.to_string())),
                Err(error) => Err(ArchiveError(error.to_string())),
            }
        }
        .boxed()
    }
}

impl<T: Types> fmt::Debug for FolderArchive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderArchive")
    }
}

impl<T: Types> Archive for FolderArchive<T> {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, ArchiveError>> {
        self.call(ArchiveFolder::list)
    }

    fn put(&self, name: &str, object: Bytes) -> BoxFuture<'_, Result<(), ArchiveError>> {
        let name = name.to_owned();
        self.call(move |folder| folder.put(&name, &object))
    }

    fn get(&self, name: &str, bytes_max: u64) -> BoxFuture<'_, Result<Bytes, ArchiveError>> {
        let name = name.to_owned();
        self.call(move |folder| folder.get(&name, bytes_max).map(Bytes::from))
    }
}

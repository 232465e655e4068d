//! The archive that the configuration names.

pub(in crate::server) mod reader;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rstmdb_objects::{Bucket, Location};
use rstmdb_raft_store::RealFs;

use super::error::Error;
use crate::replica::{Archive, ArchiveError, ArchiveOptions, FolderArchive};
use crate::server::config::Config;
use crate::server::product::Product;

/// The archive for the history of the cluster `cluster_id`; none if none is configured.
pub(super) fn open(config: &Config, cluster_id: &str) -> Result<Option<ArchiveOptions>, Error> {
    let options = &config.archive;
    let archive: Arc<dyn Archive> = match &options.location {
        None => return Ok(None),
        Some(Location::Folder(dir)) => {
            Arc::new(FolderArchive::<Product>::new(RealFs, dir, cluster_id))
        }
        Some(Location::Bucket(location)) => {
            let bucket = Bucket::open(location, &options.bucket).map_err(Error::Archive)?;
            Arc::new(InBucket(bucket.below(cluster_id)))
        }
    };
    Ok(Some(ArchiveOptions {
        archive,
        cache_bytes: options.cache_bytes,
        timeout: options.timeout,
    }))
}

/// An archive in a bucket.
#[derive(Debug)]
struct InBucket(Bucket);

impl Archive for InBucket {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, ArchiveError>> {
        async move {
            let objects = self.0.list().await.map_err(told)?;
            Ok(objects.into_iter().map(|object| object.name).collect())
        }
        .boxed()
    }

    fn put(&self, name: &str, object: Bytes) -> BoxFuture<'_, Result<(), ArchiveError>> {
        let name = name.to_owned();
        async move { self.0.put(&name, object).await.map_err(told) }.boxed()
    }

    fn get(&self, name: &str, bytes_max: u64) -> BoxFuture<'_, Result<Bytes, ArchiveError>> {
        let name = name.to_owned();
        async move {
            let (object, _) = self.0.get(&name, bytes_max).await.map_err(told)?;
            Ok(object)
        }
        .boxed()
    }
}

fn told(error: rstmdb_objects::Error) -> ArchiveError {
    ArchiveError(error.to_string())
}

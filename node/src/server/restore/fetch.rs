//! From a bucket to a folder: what a restore needs of a backup.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rstmdb_backup::manifest::FILE_NAME;
use rstmdb_backup::{FileInfo, Manifest, writer};
use rstmdb_objects::{Bucket, BucketLocation, Error as ObjectError};
use tempfile::TempDir;

use super::{Error, RestoreTarget, choose};
use crate::server::config::Config;

/// A manifest has a few hundred bytes for each file.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Copies the files that are needed for `target` into a temporary folder. Their checksums are not compared yet.
pub(super) async fn fetch(
    config: &Config,
    location: &BucketLocation,
    target: RestoreTarget,
) -> Result<TempDir, Error> {
    let failed = |reason: ObjectError| Error::Bucket {
        location: location.to_string(),
        reason,
    };
    let bucket = Bucket::open(location, &config.archive.bucket).map_err(failed)?;
    let work = tempfile::Builder::new()
        .prefix("rstmdb-restore-")
        .tempdir()?;
    match copy(&bucket, work.path(), FILE_NAME, MANIFEST_BYTES_MAX).await {
        Err(ObjectError::NotFound { .. }) => {
            return Err(Error::NoBackup {
                dir: PathBuf::from(location.to_string()),
            });
        }
        copied => copied.map_err(failed)?,
    }
    let manifest = Manifest::read(work.path())?.ok_or_else(|| Error::NoBackup {
        dir: PathBuf::from(location.to_string()),
    })?;
    // A state that no run has is perhaps completed from the archive.
    let run = match choose::run(&manifest, target) {
        Err(Error::NotThere { .. }) if config.archive.location.is_some() => {
            match choose::run_before(&manifest, target) {
                Some(run) => run,
                None => return Ok(work),
            }
        }
        run => run?,
    };
    let log = choose::files(run, target).iter().map(|file| &file.info);
    let snapshot = run.snapshot.iter().map(|snapshot| &snapshot.info);
    for FileInfo { file, bytes, .. } in snapshot.chain(log) {
        let copied = copy(&bucket, work.path(), file, *bytes).await;
        copied.map_err(failed)?;
    }
    Ok(work)
}

async fn copy(bucket: &Bucket, dir: &Path, name: &str, bytes_max: u64) -> Result<(), ObjectError> {
    let mut file: File = writer::create_own(&dir.join(name))?;
    let take = |piece: bytes::Bytes| file.write_all(&piece);
    bucket.get_pieces(name, bytes_max, take).await.map(drop)
}

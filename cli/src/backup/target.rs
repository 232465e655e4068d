//! The folder of a backup, or the working folder of one in a bucket. It is opened, checked, and changed in steps. Each step leaves the backup whole.
//!
//! Each step publishes a file, writes the manifest that names it, and removes the files that the manifest no
//! longer names. An interruption in between leaves a file that the manifest does not name. The next backup
//! removes it.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use jiff::Timestamp;
use rstmdb_backup::manifest::{FORMAT_VERSION, Manifest};
use rstmdb_backup::writer::{self, FileWriter};
use rstmdb_backup::{BackupRun, SnapshotFile, folder, stream};
use tempfile::TempDir;

use super::bucket::Remote;
use super::from_backup;
use super::source::{BackupSource, CopyStop, DescribedLog};
use crate::{Error, args};

/// See the module documentation.
pub(super) struct BackupTarget {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
    /// The bucket that everything goes to, and the working folder.
    remote: Option<(Remote, TempDir)>,
    /// Held while this lives.
    _lock: File,
}

impl BackupTarget {
    /// Opens the place that the arguments name.
    pub(super) async fn open_any(args: &args::BackupArgs) -> Result<Self, Error> {
        let Some(location) = args.bucket()? else {
            return Self::open(&args.dir);
        };
        let work = work_folder()?;
        let remote = Remote::open(&location, &args.s3, work.path()).await?;
        let found = remote.manifest(work.path())?;
        Ok(Self {
            dir: work.path().to_owned(),
            manifest: found.unwrap_or_else(new_manifest),
            _lock: lock(work.path())?,
            remote: Some((remote, work)),
        })
    }

    /// Opens the folder, or creates it, and makes quick checks of its content. Its parent folder must exist:
    /// otherwise a backup could go to the mount point of a disk that is not mounted.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        if !dir.is_dir() {
            // Only the owner may read a backup, however the data folder was protected.
            DirBuilder::new()
                .mode(0o700)
                .create(dir)
                .map_err(|error| failed("create", dir, &error))?;
        } else if std::fs::metadata(dir).is_ok_and(|found| found.mode() & 0o077 != 0) {
            eprintln!(
                "warning: other users can enter {}; run chmod 700 on it",
                dir.display()
            );
        }
        let found = Manifest::read(dir).map_err(from_backup)?;
        if found.is_none() {
            refuse_foreign(dir)?;
        }
        let lock = lock(dir)?;
        let target = Self {
            dir: dir.to_owned(),
            manifest: found.unwrap_or_else(new_manifest),
            remote: None,
            _lock: lock,
        };
        for info in target.manifest.files() {
            folder::check_length(dir, info).map_err(from_backup)?;
        }
        target.remove_unnamed()?;
        Ok(target)
    }

    /// Refuses another cluster's folder; a new one becomes this cluster's.
    pub(super) async fn belong_to(&mut self, head: &DescribedLog) -> Result<(), Error> {
        let manifest = &mut self.manifest;
        if manifest.cluster_id.is_empty() {
            manifest.cluster_id = head.cluster_id.to_string();
            manifest.cluster_name = head.cluster_name.to_string();
            // Write the manifest before any file: a folder that holds data but no manifest is never used for a new
            // backup.
            return self.write_manifest().await;
        }
        if manifest.cluster_id == head.cluster_id {
            return Ok(());
        }
        let shown = match &self.remote {
            Some((remote, _)) => remote.location().to_string(),
            None => self.dir.display().to_string(),
        };
        Err(Error::Usage(format!(
            "{shown} is a backup of cluster {} ({}), the server belongs to {} ({}); use another folder",
            manifest.cluster_name, manifest.cluster_id, head.cluster_name, head.cluster_id
        )))
    }

    /// The last offset of the last run.
    pub(super) fn last_offset(&self) -> Option<u64> {
        self.manifest.runs.last().map(BackupRun::last_offset)
    }

    /// Adds a run. It replaces the last run if that never reached its snapshot.
    pub(super) async fn begin(&mut self, run: BackupRun) -> Result<(), Error> {
        let runs = &mut self.manifest.runs;
        runs.retain(|run| run.restorable().is_some());
        runs.push(run);
        self.write_manifest().await?;
        self.remove_unnamed()
    }

    /// Copies the snapshot that the server described.
    pub(super) async fn copy_snapshot(
        &mut self,
        source: &BackupSource,
        head: &DescribedLog,
    ) -> Result<SnapshotFile, CopyStop> {
        let Some(snapshot) = &head.snapshot else {
            let message = format!(
                "the server's log begins at offset {}, and it has no snapshot of the state before that",
                head.first_offset
            );
            return Err(Error::Failed(message).into());
        };
        let mut file = FileWriter::create(&self.dir)?;
        file.write(folder::SNAPSHOT_MAGIC)?;
        let mut at = 0;
        let mut arrived = BytesMut::new();
        loop {
            let piece = source.snapshot(&snapshot.snapshot_id, at).await?;
            arrived.extend_from_slice(&piece.data.0);
            // Check here that it consists of frames, rather than at a restore.
            while stream::take_frame(&mut arrived)
                .map_err(Error::unexpected)?
                .is_some()
            {}
            file.write(&piece.data.0)?;
            at = piece.next_byte;
            if piece.done {
                break;
            }
        }
        if !arrived.is_empty() {
            return Err(Error::unexpected("the snapshot ends in the middle").into());
        }
        Ok(SnapshotFile {
            info: file.publish(&folder::snapshot_name(snapshot.offset))?,
            offset: snapshot.offset,
            term: snapshot.term,
            time_ms: snapshot.time_ms,
            digest: snapshot.digest.to_string(),
        })
    }

    /// Notes that the last run holds everything that the server had at this time.
    pub(super) async fn reached(&mut self, time_ms: u64) -> Result<(), Error> {
        if let Some(run) = self.manifest.runs.last_mut() {
            run.until_ms = run.until_ms.max(time_ms);
        }
        self.write_manifest().await
    }

    pub(super) async fn write_manifest(&mut self) -> Result<(), Error> {
        self.manifest.updated = Timestamp::now().to_string();
        self.manifest.written_by = concat!("rstmdb-cli ", env!("CARGO_PKG_VERSION")).to_owned();
        self.manifest.write(&self.dir).map_err(from_backup)?;
        match &mut self.remote {
            Some((remote, _)) => remote.push(&self.dir, &self.manifest).await,
            None => Ok(()),
        }
    }

    /// Removes the files that an interrupted backup left, and those that a newer file has replaced.
    pub(super) fn remove_unnamed(&self) -> Result<(), Error> {
        let named: HashSet<&str> = self.manifest.files().map(|info| &*info.file).collect();
        for name in names(&self.dir)? {
            let unnamed = folder::is_data(&name) && !named.contains(&*name);
            if unnamed || folder::is_ours(&name) && name.ends_with(".tmp") {
                let path = self.dir.join(name);
                std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
        writer::sync_dir(&self.dir).map_err(from_backup)
    }
}

fn new_manifest() -> Manifest {
    let now = Timestamp::now().to_string();
    Manifest {
        format_version: FORMAT_VERSION,
        cluster_id: String::new(),
        cluster_name: String::new(),
        created: now.clone(),
        updated: now,
        written_by: String::new(),
        runs: Vec::new(),
    }
}

/// A temporary folder for the files of a backup in a bucket, for its owner alone.
pub(super) fn work_folder() -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix("rstmdb-backup-")
        .tempdir()
        .map_err(|error| Error::Failed(format!("cannot create a temporary folder: {error}")))
}

/// A folder without a manifest may hold only files that are known leftovers.
fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    let shown = dir.display();
    for name in names(dir)? {
        if folder::is_data(&name) {
            let message = format!("{shown} holds {name}, but no manifest.json: it is damaged");
            return Err(Error::Failed(message));
        }
        if !folder::is_ours(&name) {
            let message = format!(
                "{shown} holds {name}, which is not a file of a backup; use another folder"
            );
            return Err(Error::Usage(message));
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(folder::LOCK_NAME);
    let file = writer::create_own(&path).map_err(|error| failed("create", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Failed(format!(
            "another backup is being written to {}",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
    }
}

fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let list = || -> std::io::Result<Vec<String>> {
        std::fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    list().map_err(|error| failed("list", dir, &error))
}

fn failed(operation: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot {operation} {}: {error}", path.display()))
}

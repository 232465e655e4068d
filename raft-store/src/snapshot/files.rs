//! The files of the snapshots folder: lists them, and checks that the content of each fits its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{SnapshotHead, SnapshotTotals};
use super::{SnapshotInfo, SnapshotReader, read};
use crate::crypto::Keyring;
use crate::error::{Error, IoContext};
use crate::folder::Layout;
use crate::folder::identity::are_different_clusters;
use crate::fs::FileSystem;
use crate::types::StoredMembership;

pub(crate) fn list_files<F: FileSystem>(fs: &F, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        names => names.during("list", dir)?,
    };
    let ours = names
        .iter()
        .filter(|name| name.starts_with("snap-") && name.ends_with(".snap"));
    Ok(ours.map(|name| dir.join(name)).collect())
}

/// The snapshot files of a data folder, also of one that a node runs on.
///
/// # Errors
/// When the folder cannot be listed.
pub fn snapshot_files<F: FileSystem>(fs: &F, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    list_files(fs, &Layout::of(dir).snapshots)
}

/// The records of a snapshot file, for programs that have no store open. Each is verified as it is read.
///
/// # Errors
/// When the file cannot be opened, is damaged at its beginning, or needs a key that `keys` lacks.
pub fn read_snapshot_file<F: FileSystem>(
    fs: &F,
    path: &Path,
    keys: &Keyring,
) -> Result<SnapshotReader<F::File>, Error> {
    let file = Arc::new(fs.open(path).during("open", path)?);
    Ok(SnapshotReader::new(file, path.to_owned(), keys)?.1)
}

/// Reads a whole snapshot file, and also returns the membership in it. The error is the first damage.
pub(crate) fn verify_file<F: FileSystem>(
    fs: &F,
    path: &Path,
    keys: &Keyring,
    cluster_id: u128,
) -> Result<(SnapshotInfo, StoredMembership), Error> {
    let file = Arc::new(fs.open(path).during("open", path)?);
    let (totals, bytes) = read::read_footer(&*file, path)?;
    let (head, mut records) = SnapshotReader::new(file, path.to_owned(), keys)?;
    records.try_for_each(|record| record.map(drop))?;
    let info = info_of(&head, &totals, bytes);
    check_name(&info, path)?;
    check_cluster(&head, cluster_id, path)?;
    Ok((info, head.meta.last_membership))
}

/// Checks that a snapshot belongs to the folder's cluster (0: not known). A log of another cluster must never
/// be applied on top of it.
pub(super) fn check_cluster(
    head: &SnapshotHead,
    cluster_id: u128,
    path: &Path,
) -> Result<(), Error> {
    let theirs = head.cluster_id;
    if !are_different_clusters(theirs, cluster_id) {
        return Ok(());
    }
    let theirs = uuid::Uuid::from_u128(theirs);
    Err(read::damaged(
        path,
        0,
        format!("it belongs to cluster {theirs}"),
    ))
}

/// Checks that a snapshot has the name that its head gives. The store finds it by that name.
pub(super) fn check_name(info: &SnapshotInfo, path: &Path) -> Result<(), Error> {
    match path.ends_with(&info.file) {
        true => Ok(()),
        false => Err(read::damaged(
            path,
            0,
            format!("its content is that of {}", info.file),
        )),
    }
}

/// The name of the snapshot file of an entry, or of an empty log.
pub(super) fn file_name(index: Option<u64>, term: u64) -> String {
    format!("snap-{}-{term}.snap", index.unwrap_or(0))
}

pub(super) fn info_of(head: &SnapshotHead, totals: &SnapshotTotals, bytes: u64) -> SnapshotInfo {
    let (index, term) = match head.meta.last_log_id {
        Some(id) => (Some(id.index), id.leader_id.term),
        None => (None, 0),
    };
    SnapshotInfo {
        file: file_name(index, term),
        index,
        term,
        records: totals.records,
        bytes,
        created_ms: head.created_ms,
        digest: format!("{:032x}", head.digest),
        checksum: format!("{:08x}", totals.checksum),
    }
}

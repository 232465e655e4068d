//! What the backup lacks of a state, from the archive of its cluster.
//!
//! A backup may end before the wanted state, begin behind it, or have a gap there. The archive keeps what the nodes'
//! retention has dropped. So a run of the backup, or nothing, and the archived entries that follow it without a gap make a
//! run that reaches the state. It is put together in a folder of its own, whose files are those of a backup.

use std::path::Path;

use bytes::Bytes;
use openraft::EntryPayload;
use rstmdb_backup::stream::EntryKind;
use rstmdb_backup::writer::FileWriter;
use rstmdb_backup::{BackupRun, FileInfo, LogEntry, LogFile, Manifest, folder};
use rstmdb_engine::fact::{Entry as Facts, Message};
use rstmdb_raft_store::{Entry, encode_membership};
use tempfile::TempDir;
use uuid::Uuid;

use super::choose::{self, millis};
use super::{Error, RestoreTarget};
use crate::server::config::Config;
use crate::server::node::archive::reader::{ArchiveReader, ReadError};

/// A run that reaches the wanted state, and the folder of its files.
pub(super) struct Completed {
    pub(super) work: TempDir,
    pub(super) run: BackupRun,
}

/// Completes a backup, in `from`, that does not have the wanted state. `None` if no archive is configured, or if the end of
/// the backup is what is wanted.
pub(super) async fn complete(
    config: &Config,
    from: &Path,
    manifest: &Manifest,
    target: RestoreTarget,
) -> Result<Option<Completed>, Error> {
    if target == RestoreTarget::End {
        return Ok(None);
    }
    let failed = |reason: ReadError| Error::Archive {
        url: config
            .archive
            .location
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        reason: Box::new(reason),
    };
    let Ok(cluster_id) = Uuid::parse_str(&manifest.cluster_id) else {
        return Ok(None);
    };
    let listed = ArchiveReader::list(config, cluster_id.as_u128()).await;
    let Some(archive) = listed.map_err(&failed)? else {
        return Ok(None);
    };
    let work = tempfile::Builder::new()
        .prefix("rstmdb-restore-")
        .tempdir()?;
    let mut run = begin(from, work.path(), choose::run_before(manifest, target))?;
    loop {
        let next = run.last_offset() + 1;
        if matches!(target, RestoreTarget::Offset(offset) if next > offset) {
            break;
        }
        let found = archive.object_with(next).await.map_err(&failed)?;
        let Some((_, entries)) = found else {
            return Err(Error::NotArchived {
                wanted: choose::wanted(target),
                missing: next,
                cluster_id: manifest.cluster_id.clone(),
                restorable: choose::restorable(manifest),
            });
        };
        let (file, is_beyond) = write(work.path(), entries, next, target)?;
        run.log.push(file);
        if is_beyond {
            break;
        }
    }
    Ok(Some(Completed { work, run }))
}

/// The run that is to be completed: one of the backup, or an empty one from the first offset of all.
fn begin(from: &Path, work: &Path, run: Option<&BackupRun>) -> Result<BackupRun, Error> {
    match run {
        Some(run) => {
            link(from, work, run)?;
            Ok(run.clone())
        }
        None => Ok(BackupRun {
            first_offset: 1,
            snapshot: None,
            log: Vec::new(),
            until_ms: 0,
            archive_unavailable: None,
        }),
    }
}

/// Makes the files of a run readable in `work`.
fn link(from: &Path, work: &Path, run: &BackupRun) -> Result<(), Error> {
    let from = from.canonicalize()?;
    let snapshot = run.snapshot.iter().map(|snapshot| &snapshot.info);
    for FileInfo { file, .. } in snapshot.chain(run.log.iter().map(|file| &file.info)) {
        std::os::unix::fs::symlink(from.join(file), work.join(file))?;
    }
    Ok(())
}

/// Writes the entries from `next` on into a file of a backup, and says whether one of them lies behind the wanted time.
fn write(
    dir: &Path,
    entries: Vec<Entry>,
    next: u64,
    target: RestoreTarget,
) -> Result<(LogFile, bool), Error> {
    let last_wanted = match target {
        RestoreTarget::Offset(offset) => offset,
        RestoreTarget::End | RestoreTarget::Time(_) => u64::MAX,
    };
    let mut writer = FileWriter::create(dir)?;
    writer.write(folder::LOG_MAGIC)?;
    let mut frame = Vec::new();
    let mut file = LogFile {
        info: FileInfo {
            file: String::new(),
            bytes: 0,
            sha256: String::new(),
        },
        first_offset: next,
        last_offset: 0,
        first_time_ms: None,
        last_time_ms: None,
        digest: None,
        chain_head: None,
    };
    for entry in entries {
        let entry = to_backup(entry);
        if !(next..=last_wanted).contains(&entry.offset) {
            continue;
        }
        frame.clear();
        entry.encode(&mut frame);
        writer.write(&frame)?;
        file.last_offset = entry.offset;
        if entry.time_ms > 0 {
            let time = entry.time_ms;
            file.first_time_ms = Some(file.first_time_ms.map_or(time, |first| first.min(time)));
            file.last_time_ms = file.last_time_ms.max(Some(time));
        }
    }
    file.info = writer.publish(&folder::log_name(file.first_offset, file.last_offset))?;
    let is_beyond = match target {
        RestoreTarget::Time(_) => file.last_time_ms.is_some_and(|last| last > millis(target)),
        RestoreTarget::Offset(_) | RestoreTarget::End => false,
    };
    Ok((file, is_beyond))
}

/// An entry as a backup holds it.
fn to_backup(entry: Entry) -> LogEntry {
    let (kind, time_ms, payload) = match entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, 0, Bytes::new()),
        EntryPayload::Membership(members) => {
            (EntryKind::Membership, 0, encode_membership(&members).into())
        }
        EntryPayload::Normal(data) => {
            // The replay says so if it cannot be decoded.
            let facts = Facts::decode(data.0.clone()).unwrap_or_default();
            (EntryKind::Normal, facts.time_ms, data.0)
        }
    };
    LogEntry {
        kind,
        term: entry.log_id.leader_id.term,
        offset: entry.log_id.index,
        time_ms,
        payload,
    }
}

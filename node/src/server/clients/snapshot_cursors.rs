//! Snapshots that are being read, piece by piece.
//!
//! A newer snapshot may replace a snapshot while a backup reads it. The file stays readable as long as it is open, so
//! the node keeps each reader's place from one piece to the next. A place that is no longer kept can be found again
//! only in the newest snapshot.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use rstmdb_backup::stream::encode_record;
use rstmdb_engine::StateLoader;
use rstmdb_raft_store::fs::RealFile;
use rstmdb_raft_store::{RealFs, SnapshotHandle, SnapshotReader, SnapshotStore};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::storage::backup::{BackupSnapshotInfo, BackupSnapshotResult, Blob};

use crate::server::messages::failure;

/// How many places are kept; the one that has waited longest goes first.
const CURSORS_MAX: usize = 4;
/// A reader that is silent for this time has given up: its file must not take disk space for ever.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The places of the readers. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct SnapshotCursors(Arc<Mutex<Vec<Cursor>>>);

/// A place in the stream of a snapshot's records.
struct Cursor {
    id: String,
    at: u64,
    records: SnapshotReader<RealFile>,
    /// The rest of a frame that did not fit into the last piece.
    rest: Bytes,
    used: Instant,
}

/// Names a snapshot: on another node the same state may have another order in the file.
fn id_of(handle: &SnapshotHandle<RealFs>) -> String {
    format!("{}@{}", handle.info().file, handle.info().checksum)
}

/// The description of a snapshot for a client; `None` for a snapshot of an empty log.
pub(crate) fn describe(
    snapshots: &SnapshotStore<RealFs>,
    handle: &SnapshotHandle<RealFs>,
) -> Result<Option<BackupSnapshotInfo<'static>>, ErrorBody> {
    let Some(last) = handle.meta().last_log_id else {
        return Ok(None);
    };
    let mut loader = StateLoader::new();
    if let Some(header) = snapshots.open_records(handle).map_err(unreadable)?.next() {
        let header = header.map_err(unreadable)?;
        loader.push(header).map_err(unreadable)?;
    }
    Ok(Some(BackupSnapshotInfo {
        snapshot_id: id_of(handle).into(),
        offset: last.index,
        term: last.leader_id.term,
        time_ms: loader.last_time_ms(),
        digest: format!("{:032x}", handle.digest()).into(),
    }))
}

impl SnapshotCursors {
    /// The piece of the snapshot `id` that begins at `from_byte`.
    pub(crate) async fn read_piece(
        &self,
        snapshots: SnapshotStore<RealFs>,
        id: String,
        from_byte: u64,
        bytes_max: usize,
    ) -> Result<BackupSnapshotResult, ErrorBody> {
        let cursors = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut cursor = match cursors.take(&id, from_byte) {
                Some(cursor) => cursor,
                None => Cursor::open(&snapshots, &id, from_byte, bytes_max)?,
            };
            let (data, done) = cursor.read(bytes_max)?;
            let next_byte = cursor.at;
            if !done {
                cursors.keep(cursor);
                forget_later(Arc::downgrade(&cursors.0));
            }
            Ok(BackupSnapshotResult {
                data: Blob(data),
                next_byte,
                done,
            })
        });
        read.await
            .map_err(|error| ErrorBody::new(Code::InternalError, error.to_string()))?
    }

    fn take(&self, id: &str, at: u64) -> Option<Cursor> {
        let mut kept = self.0.lock();
        let found = kept
            .iter()
            .position(|cursor| cursor.id == id && cursor.at == at)?;
        Some(kept.remove(found))
    }

    fn keep(&self, mut cursor: Cursor) {
        cursor.used = Instant::now();
        let mut kept = self.0.lock();
        if kept.len() >= CURSORS_MAX {
            kept.remove(0);
        }
        kept.push(cursor);
    }
}

/// Drops the places of readers that do not come back.
fn forget_later(cursors: Weak<Mutex<Vec<Cursor>>>) {
    tokio::spawn(async move {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        if let Some(cursors) = cursors.upgrade() {
            cursors
                .lock()
                .retain(|cursor| cursor.used.elapsed() < IDLE_TIMEOUT);
        }
    });
}

impl Cursor {
    fn open(
        snapshots: &SnapshotStore<RealFs>,
        id: &str,
        from_byte: u64,
        bytes_max: usize,
    ) -> Result<Self, ErrorBody> {
        let current = snapshots.current().map_err(unreadable)?;
        let Some(handle) = current.filter(|handle| id_of(handle) == id) else {
            let message = format!(
                "there is no snapshot {id:?}: it was replaced by a newer one, or it is another \
                 node's; ask BACKUP_DESCRIBE again"
            );
            return Err(ErrorBody::new(Code::NotFound, message));
        };
        let mut cursor = Self {
            id: id.to_owned(),
            at: 0,
            records: snapshots.open_records(&handle).map_err(unreadable)?,
            rest: Bytes::new(),
            used: Instant::now(),
        };
        while cursor.at < from_byte {
            let left = usize::try_from(from_byte - cursor.at).unwrap_or(usize::MAX);
            let (skipped, done) = cursor.read(left.min(bytes_max))?;
            if skipped.is_empty() || done && cursor.at < from_byte {
                let message = format!("the snapshot has {} bytes, got {from_byte}", cursor.at);
                return Err(failure::bad_request("params.from_byte", &message));
            }
        }
        Ok(cursor)
    }

    /// Up to `bytes_max` bytes, and whether the snapshot ends with them.
    fn read(&mut self, bytes_max: usize) -> Result<(Vec<u8>, bool), ErrorBody> {
        let mut data = Vec::new();
        while data.len() < bytes_max {
            if self.rest.is_empty() {
                let Some(record) = self.records.next() else {
                    return Ok((data, true));
                };
                let mut frame = Vec::new();
                encode_record(&record.map_err(unreadable)?, &mut frame);
                self.rest = frame.into();
            }
            let taken = self.rest.len().min(bytes_max - data.len());
            data.extend_from_slice(&self.rest[..taken]);
            self.rest.advance(taken);
            self.at += taken as u64;
        }
        Ok((data, false))
    }
}

fn unreadable(error: impl std::fmt::Display) -> ErrorBody {
    let message = format!("the snapshot cannot be read: {error}");
    ErrorBody::new(Code::WalIoError, message)
}

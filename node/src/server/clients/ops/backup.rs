//! BACKUP_DESCRIBE, BACKUP_SNAPSHOT, BACKUP_LOG.

use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use rstmdb_backup::stream::{EntryKind, LogEntry};
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_raft_store::{self as raft_store, encode_membership};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::storage::backup::{
    BackupDescribeResult, BackupLog, BackupLogResult, BackupSnapshot, Blob,
};
use rstmdb_rcp::message::{Consistency, ErrorBody, ReadOptions};
use serde_json::value::RawValue;

use super::{Body, JobOutcome, OpAnswer, RequestPlan, RunningJob, fresh, read_params};
use crate::replica;
use crate::server::clients::order::Claim;
use crate::server::clients::shared::ServerShared;
use crate::server::clients::snapshot_cursors;
use crate::server::messages::failure::{self, PossibleEffect};

/// A piece has at most this many bytes: base64 makes it a third longer, far below what a frame carries.
const PIECE_BYTES: usize = 4 << 20;
/// Entries that are read at once; most are small.
const PIECE_ENTRIES: usize = 16_384;

/// What a backup asks for.
pub(crate) enum BackupRequest {
    /// What there is.
    Describe,
    /// A piece of a snapshot.
    Snapshot {
        /// As described.
        id: String,
        /// Where it begins.
        from_byte: u64,
    },
    /// A piece of the log.
    Log(BackupLog),
}

/// BACKUP_DESCRIBE.
pub(super) fn describe() -> RequestPlan {
    plan(BackupRequest::Describe)
}

/// BACKUP_SNAPSHOT.
pub(super) fn snapshot(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: BackupSnapshot<'_> = read_params(params)?;
    Ok(plan(BackupRequest::Snapshot {
        id: params.snapshot_id.into_owned(),
        from_byte: params.from_byte,
    }))
}

/// BACKUP_LOG.
pub(super) fn log(params: &RawValue) -> Result<RequestPlan, ErrorBody> {
    let params: BackupLog = read_params(params)?;
    if params.from_offset == 0 || params.from_offset > params.to_offset {
        let problem = format!(
            "expected an integer from 1 to params.to_offset ({}), got {}",
            params.to_offset, params.from_offset
        );
        return Err(failure::bad_request("params.from_offset", &problem));
    }
    Ok(plan(BackupRequest::Log(params)))
}

fn plan(request: BackupRequest) -> RequestPlan {
    RequestPlan {
        claim: Claim::FREE,
        effect: PossibleEffect::None,
        job: super::Job::Backup(request),
    }
}

/// Answers.
pub(super) fn start(shared: Arc<ServerShared>, request: BackupRequest) -> RunningJob {
    RunningJob::boxed(async move {
        match request {
            BackupRequest::Describe => {
                // Read before the state: facts that are decided later have no earlier time.
                let time_ms = shared.replica.log_time_ms().await;
                fresh(&shared, ReadOptions::default()).await?;
                // Without the archive the log begins later. A backup from there is still useful, if it says so.
                let unavailable = match shared.replica.wait_for_archive(0).await {
                    Err(replica::Error::ArchiveUnavailable { reason, .. }) => Some(reason),
                    _ => None,
                };
                describe_now(&shared, time_ms, unavailable)
            }
            BackupRequest::Snapshot { id, from_byte } => {
                let snapshots = shared.replica.snapshots();
                let read = shared
                    .backups
                    .read_piece(snapshots, id, from_byte, PIECE_BYTES);
                read.await.map(|piece| answer(Body::json(&piece)))
            }
            BackupRequest::Log(wanted) => log_piece(&shared, wanted).await,
        }
    })
}

fn describe_now(
    shared: &ServerShared,
    time_ms: u64,
    archive_unavailable: Option<String>,
) -> JobOutcome {
    let head = shared.replica.backup_head();
    let head = head.map_err(|error| failure::of_replica(&error, PossibleEffect::None))?;
    let snapshot = match &head.snapshot {
        Some(handle) => snapshot_cursors::describe(&shared.replica.snapshots(), handle)?,
        None => None,
    };
    let (node_id, _) = shared.replica.node();
    Ok(answer(Body::json(&BackupDescribeResult {
        cluster_id: head.cluster_id.into(),
        cluster_name: head.cluster_name.into(),
        node_id,
        first_offset: head.first_offset,
        last_offset: head.last_offset,
        state_digest: format!("{:032x}", head.digest).into(),
        chain_head: head.head.map(|head| head.to_string().into()),
        time_ms,
        archive_unavailable: archive_unavailable.map(Into::into),
        snapshot,
    })))
}

async fn log_piece(shared: &ServerShared, wanted: BackupLog) -> JobOutcome {
    // Another node may have described more than this one has applied yet.
    let applied = ReadOptions {
        consistency: Some(Consistency::Local),
        min_wal_offset: Some(wanted.to_offset),
    };
    fresh(shared, applied).await?;
    shared.replica.wait_for_history(wanted.from_offset).await;
    let (from, to) = (wanted.from_offset, wanted.to_offset);
    let told = |error| failure::of_replica(&error, PossibleEffect::None);
    let _held = shared.replica.hold_history(from).await.map_err(told)?;
    let entries = shared
        .replica
        .log_entries(from, to, PIECE_ENTRIES, PIECE_BYTES)
        .map_err(told)?;
    Ok(answer(Body::json(&cut(wanted, entries)?)))
}

/// The stream of these entries from the requested byte of the first one on, up to the length of a piece.
fn cut(wanted: BackupLog, entries: Vec<raft_store::Entry>) -> Result<BackupLogResult, ErrorBody> {
    let mut piece = BackupLogResult {
        data: Blob::default(),
        next_offset: wanted.from_offset,
        next_byte: wanted.from_byte,
    };
    let data = &mut piece.data.0;
    let mut frame = Vec::new();
    for entry in entries {
        let entry = streamed(entry)?;
        frame.clear();
        entry.encode(&mut frame);
        let begin = usize::try_from(piece.next_byte).unwrap_or(usize::MAX);
        let Some(rest) = frame.get(begin..) else {
            let problem = format!("the entry has {} bytes, got {begin}", frame.len());
            return Err(failure::bad_request("params.from_byte", &problem));
        };
        let room = rest.len().min(PIECE_BYTES - data.len());
        data.extend_from_slice(&rest[..room]);
        if room < rest.len() {
            piece.next_byte += room as u64;
            break;
        }
        piece.next_offset = entry.offset + 1;
        piece.next_byte = 0;
    }
    Ok(piece)
}

fn streamed(entry: raft_store::Entry) -> Result<LogEntry, ErrorBody> {
    let offset = entry.log_id.index;
    let (kind, time_ms, payload) = match entry.payload {
        EntryPayload::Blank => (EntryKind::Blank, 0, Bytes::new()),
        EntryPayload::Membership(membership) => {
            let payload = encode_membership(&membership).into();
            (EntryKind::Membership, 0, payload)
        }
        EntryPayload::Normal(data) => {
            let facts = Entry::decode(data.0.clone()).map_err(|error| {
                let problem = format!("the entry at offset {offset} cannot be decoded: {error}");
                ErrorBody::new(Code::WalIoError, problem)
            })?;
            (EntryKind::Normal, facts.time_ms, data.0)
        }
    };
    Ok(LogEntry {
        kind,
        term: entry.log_id.leader_id.term,
        offset,
        time_ms,
        payload,
    })
}

fn answer(body: Body) -> OpAnswer {
    OpAnswer {
        body,
        wal_offset: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::BytesMut;
    use openraft::entry::RaftEntry;
    use rstmdb_backup::stream::take_frame;
    use rstmdb_raft_store::{Data, Payload, log_id};

    use super::*;

    fn entry(offset: u64, actor_bytes: usize) -> raft_store::Entry {
        let facts = Entry {
            index: offset,
            time_ms: offset * 10,
            actor: "a".repeat(actor_bytes),
            ..Entry::default()
        };
        let data = Data(facts.encode_to_vec().into());
        raft_store::Entry::new(log_id(1, offset), Payload::Normal(data))
    }

    #[test]
    fn an_entry_longer_than_a_piece_comes_in_several() {
        let log = [
            entry(1, 10),
            entry(2, 2 * PIECE_BYTES + 100),
            entry(3, 10),
            entry(4, 0),
        ];
        let (mut arrived, mut found) = (BytesMut::new(), Vec::new());
        let mut wanted = BackupLog {
            from_offset: 1,
            from_byte: 0,
            to_offset: 4,
        };
        while wanted.from_offset <= 4 {
            let from = wanted.from_offset as usize - 1;
            let piece = cut(wanted, log[from..].to_vec()).unwrap();
            assert!(!piece.data.0.is_empty() && piece.data.0.len() <= PIECE_BYTES);
            arrived.extend_from_slice(&piece.data.0);
            while let Some(body) = take_frame(&mut arrived).unwrap() {
                let entry = LogEntry::decode(body).unwrap();
                found.push((entry.offset, entry.time_ms));
            }
            wanted.from_offset = piece.next_offset;
            wanted.from_byte = piece.next_byte;
        }
        assert_eq!(found, [(1, 10), (2, 20), (3, 30), (4, 40)]);
        assert!(arrived.is_empty());
        wanted = BackupLog {
            from_offset: 1,
            from_byte: 1_000,
            to_offset: 4,
        };
        assert_eq!(
            cut(wanted, log.to_vec()).unwrap_err().code,
            Code::BadRequest
        );
    }
}

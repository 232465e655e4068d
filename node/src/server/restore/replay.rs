//! From the files of a backup to the state.

use std::path::Path;

use rstmdb_backup::replay::{ReplayFault, begin};
use rstmdb_backup::stream::EntryKind;
use rstmdb_backup::{self as backup, BackupRun, LogEntry, LogFile, folder};
use rstmdb_engine::State;
use rstmdb_engine::replay::{Replay, ReplayedEntry, Until};
use rstmdb_raft_store::{LogId, log_id};

use super::{Error, RestoreTarget, choose};

/// A state, and the entry that made it.
pub(super) struct Replayed {
    pub(super) state: State,
    pub(super) last: LogId,
    /// The first offset for which the backup tells whether its entry took effect.
    pub(super) history_from: u64,
}

/// Applies the log of a run up to the target.
pub(super) fn replay(
    dir: &Path,
    run: &BackupRun,
    log: &[LogFile],
    target: RestoreTarget,
) -> Result<Replayed, Error> {
    let until = match target {
        RestoreTarget::End => Until::End,
        RestoreTarget::Offset(offset) => Until::Offset(offset),
        RestoreTarget::Time(_) => Until::TimeMs(choose::millis(target)),
    };
    let mut replay = begin(dir, run, until)?;
    let snapshot = run.snapshot.as_ref();
    let mut last = snapshot.map_or(log_id(0, 0), |it| log_id(it.term, it.offset));
    let history_from = run.first_offset.max(replay.state().stale_known_from());
    for file in log {
        let wrong = |reason| ReplayFault::of_file(&file.info.file, reason);
        for entry in folder::log_entries(dir, file)? {
            let entry = entry?;
            match replay.entry(&entry.logged()).map_err(wrong)? {
                // The file is there only to be read.
                ReplayedEntry::Covered => {}
                ReplayedEntry::Applied => last = log_id(entry.term, entry.offset),
                ReplayedEntry::Beyond => return Ok(finish(replay, last, history_from)),
            }
        }
        let (digest, head) = (file.digest.as_deref(), file.chain_head.as_deref());
        replay
            .compare_end(file.last_offset, digest, head)
            .map_err(wrong)?;
    }
    Ok(finish(replay, last, history_from))
}

fn finish(replay: Replay, last: LogId, history_from: u64) -> Replayed {
    let mut state = replay.into_state();
    state.forget_stale_below(history_from);
    Replayed {
        state,
        last,
        history_from,
    }
}

/// An entry as the log holds it.
pub(super) fn to_log(entry: LogEntry) -> Result<rstmdb_raft_store::Entry, String> {
    use openraft::entry::RaftEntry;
    use rstmdb_raft_store::{Data, Payload, decode_membership};
    let payload = match entry.kind {
        EntryKind::Blank => Payload::Blank,
        EntryKind::Normal => Payload::Normal(Data(entry.payload)),
        EntryKind::Membership => Payload::Membership(decode_membership(&entry.payload)?),
    };
    let id = log_id(entry.term, entry.offset);
    Ok(rstmdb_raft_store::Entry::new(id, payload))
}

/// What is wrong with an entry of a file.
pub(super) fn bad_entry(dir: &Path, file: &LogFile, what: String) -> Error {
    backup::Error::damaged(&dir.join(&file.info.file), what).into()
}

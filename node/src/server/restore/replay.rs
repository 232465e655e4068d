//! From the files of a backup to the state.

use std::path::Path;

use rstmdb_engine::fact::{Entry, Message};
use rstmdb_engine::{Outcome, State, StateLoader};
use rstmdb_raft_store::{LogId, log_id};
use rstmdb_rcp::backup::stream::Kind;
use rstmdb_rcp::backup::{self, LogEntry, LogFile, Run, folder};

use super::{Error, Target, choose};

/// A state, and the entry that made it.
pub(super) struct Replayed {
    pub(super) state: State,
    pub(super) last: LogId,
    /// The first offset of which it is known whether its entry took effect.
    pub(super) history_from: u64,
}

/// Applies the log of a run up to the target.
pub(super) fn replay(
    dir: &Path,
    run: &Run,
    log: &[LogFile],
    target: Target,
) -> Result<Replayed, Error> {
    let (mut state, mut last) = begin(dir, run)?;
    let history_from = run.first_offset.max(state.stale_known_from());
    for file in log {
        for entry in folder::log_entries(dir, file)? {
            let entry = entry?;
            // What the snapshot covers is there to be read only.
            if entry.offset <= state.last_applied() {
                continue;
            }
            if !apply(&mut state, &entry, target)? {
                return Ok(finish(state, last, history_from));
            }
            last = log_id(entry.term, entry.offset);
        }
        let compared = file.digest.as_deref();
        if compared.is_some_and(|digest| digest != hex(&state))
            && state.last_applied() == file.last_offset
        {
            let offset = file.last_offset;
            return Err(differs(&state, &format!("at offset {offset}")));
        }
    }
    Ok(finish(state, last, history_from))
}

fn begin(dir: &Path, run: &Run) -> Result<(State, LogId), Error> {
    let Some(snapshot) = &run.snapshot else {
        return Ok((State::new(), log_id(0, 0)));
    };
    let mut loader = StateLoader::new();
    for record in folder::snapshot_records(dir, snapshot)? {
        loader.push(record?)?;
    }
    let state = loader.finish()?;
    if state.last_applied() != snapshot.offset || snapshot.digest != hex(&state) {
        let name = &snapshot.info.file;
        return Err(differs(&state, &format!("in {name}")));
    }
    Ok((state, log_id(snapshot.term, snapshot.offset)))
}

/// Applies one entry, unless it is beyond the target.
fn apply(state: &mut State, entry: &LogEntry, target: Target) -> Result<bool, Error> {
    if matches!(target, Target::Offset(to) if entry.offset > to) {
        return Ok(false);
    }
    if entry.kind != Kind::Normal {
        state.skip(entry.offset);
        return Ok(true);
    }
    let facts = Entry::decode(entry.payload.clone()).map_err(|error| Error::Contradiction {
        what: format!("the entry at offset {}: {error}", entry.offset),
    })?;
    let time_ms = facts.time_ms.max(state.last_time_ms());
    if !matches!(target, Target::Time(_)) || time_ms <= choose::millis(target) {
        state.apply(&facts, entry.offset)?;
        return Ok(true);
    }
    // A stale entry has no effect at any time, and others that are in time may follow it.
    let mut ahead = state.clone();
    let is_stale = ahead.apply(&facts, entry.offset)? == Outcome::Stale;
    if is_stale {
        *state = ahead;
    }
    Ok(is_stale)
}

fn finish(mut state: State, last: LogId, history_from: u64) -> Replayed {
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
        Kind::Blank => Payload::Blank,
        Kind::Normal => Payload::Normal(Data(entry.payload)),
        Kind::Membership => Payload::Membership(decode_membership(&entry.payload)?),
    };
    let id = log_id(entry.term, entry.offset);
    Ok(rstmdb_raft_store::Entry::new(id, payload))
}

/// What is wrong with an entry of a file.
pub(super) fn bad_entry(dir: &Path, file: &LogFile, what: String) -> Error {
    backup::Error::damaged(&dir.join(&file.info.file), what).into()
}

fn hex(state: &State) -> String {
    format!("{:032x}", state.digest())
}

fn differs(state: &State, place: &str) -> Error {
    Error::Contradiction {
        what: format!(
            "the state {place} has the digest {} at offset {}, but the state of the cluster had another one there",
            hex(state),
            state.last_applied()
        ),
    }
}

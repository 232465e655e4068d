//! Turns the writer's requests into one batch.

use crate::error::Error;
use crate::format::{Buffer, Encoder, HardState};
use crate::log::shared::{Done, Request};
use crate::types::{Entry, LogId, next_index};

/// Room an entry takes in a batch besides its payload; only decides when to roll.
const RECORD_ESTIMATE_BYTES: u64 = 40;

/// One batch that is being built; the buffers are reused.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) requests: Vec<Request>,
    pub(crate) buf: Buffer,
    pub(crate) changes: Vec<Change>,
}

/// What a batch does to the segment table, once it is written.
pub(crate) enum Change {
    Entry { index: u64, offset: u64 },
    Truncate { from: u64 },
    Gap { to: u64 },
}

/// The effect of a batch of requests.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) entries: u64,
    pub(crate) vote: bool,
    pub(crate) sync: bool,
    /// The epoch of the last change to the log in the batch.
    pub(crate) epoch: Option<u64>,
}

impl Progress {
    pub(crate) fn of(requests: &[Request]) -> Self {
        let mut progress = Progress::default();
        for request in requests {
            match request {
                Request::Append { entries, epoch, .. } => {
                    progress.entries += entries.len() as u64;
                    progress.epoch = Some(*epoch);
                }
                Request::Vote { .. } => progress.vote = true,
                Request::Truncate { epoch, .. } | Request::Purge { epoch, .. } => {
                    progress.epoch = Some(*epoch);
                }
                Request::Sync { .. } => progress.sync = true,
            }
        }
        progress
    }
}

impl Request {
    pub(crate) fn into_done(self) -> Option<Done> {
        match self {
            Request::Append { done, .. } | Request::Vote { done, .. } | Request::Sync { done } => {
                Some(done)
            }
            Request::Truncate { .. } | Request::Purge { .. } => None,
        }
    }

    pub(crate) fn estimate_bytes(&self) -> u64 {
        match self {
            Request::Append { entries, bytes, .. } => {
                *bytes as u64 + RECORD_ESTIMATE_BYTES * entries.len() as u64
            }
            _ => RECORD_ESTIMATE_BYTES,
        }
    }
}

/// Writes one request's records, and notes what they change.
///
/// # Errors
/// When an entry cannot be encrypted.
pub(crate) fn encode(
    request: &Request,
    encoder: &mut Encoder<'_>,
    changes: &mut Vec<Change>,
    state: &mut HardState,
) -> Result<(), Error> {
    match request {
        Request::Append { entries, .. } => {
            debug_assert!(
                follow(state.last, entries),
                "entries to be written do not follow the log"
            );
            for entry in entries {
                let offset = encoder.offset();
                changes.push(Change::Entry {
                    index: entry.log_id.index,
                    offset,
                });
                encoder.entry(entry)?;
            }
            state.last = entries.last().map(|entry| entry.log_id).or(state.last);
        }
        Request::Vote { vote, .. } => {
            encoder.vote(vote);
            state.vote = Some(*vote);
        }
        Request::Truncate { keep, .. } => {
            encoder.truncate(*keep);
            changes.push(Change::Truncate {
                from: next_index(*keep),
            });
            state.truncate(*keep);
        }
        Request::Purge { id, .. } => {
            encoder.purge(*id);
            if state.purge(*id) {
                changes.push(Change::Gap { to: id.index });
            }
        }
        Request::Sync { .. } => {}
    }
    Ok(())
}

/// Whether these entries follow `last`. Any entry may be the first of a log.
fn follow(last: Option<LogId>, entries: &[Entry]) -> bool {
    let indexes = || entries.iter().map(|entry| entry.log_id.index);
    let begins = match (last, indexes().next()) {
        (Some(last), Some(first)) => last.index + 1 == first,
        _ => true,
    };
    begins
        && indexes()
            .zip(indexes().skip(1))
            .all(|(one, next)| one + 1 == next)
}

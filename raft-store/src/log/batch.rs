//! Turns the writer's requests into one batch.

use crate::error::Error;
use crate::format::{Buffer, Encoder, HardState};
use crate::log::shared::{WhenDone, WriterRequest};
use crate::types::{Entry, LogId, next_index};

/// Room an entry takes in a batch besides its payload; only decides when to roll.
const RECORD_ESTIMATE_BYTES: u64 = 40;

/// One batch that is being built; the buffers are reused.
#[derive(Default)]
pub(crate) struct WriteBatch {
    pub(crate) requests: Vec<WriterRequest>,
    pub(crate) buf: Buffer,
    pub(crate) changes: Vec<TableChange>,
}

/// What a batch does to the segment table, once it is written.
pub(crate) enum TableChange {
    Entry { index: u64, offset: u64 },
    Truncate { from: u64 },
    Gap { to: u64 },
}

/// The effect of a batch of requests.
#[derive(Default)]
pub(crate) struct WriteProgress {
    pub(crate) entries: u64,
    pub(crate) vote: bool,
    pub(crate) sync: bool,
    /// The epoch of the last change to the log in the batch.
    pub(crate) epoch: Option<u64>,
}

impl WriteProgress {
    pub(crate) fn of(requests: &[WriterRequest]) -> Self {
        let mut progress = WriteProgress::default();
        for request in requests {
            match request {
                WriterRequest::Append { entries, epoch, .. } => {
                    progress.entries += entries.len() as u64;
                    progress.epoch = Some(*epoch);
                }
                WriterRequest::Vote { .. } => progress.vote = true,
                WriterRequest::Truncate { epoch, .. } | WriterRequest::Purge { epoch, .. } => {
                    progress.epoch = Some(*epoch);
                }
                WriterRequest::Sync { .. } => progress.sync = true,
            }
        }
        progress
    }
}

impl WriterRequest {
    pub(crate) fn into_done(self) -> Option<WhenDone> {
        match self {
            WriterRequest::Append { done, .. }
            | WriterRequest::Vote { done, .. }
            | WriterRequest::Sync { done } => Some(done),
            WriterRequest::Truncate { .. } | WriterRequest::Purge { .. } => None,
        }
    }

    pub(crate) fn estimate_bytes(&self) -> u64 {
        match self {
            WriterRequest::Append { entries, bytes, .. } => {
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
    request: &WriterRequest,
    encoder: &mut Encoder<'_>,
    changes: &mut Vec<TableChange>,
    state: &mut HardState,
) -> Result<(), Error> {
    match request {
        WriterRequest::Append { entries, .. } => {
            debug_assert!(
                follow(state.last, entries),
                "entries to be written do not follow the log"
            );
            for entry in entries {
                let offset = encoder.offset();
                changes.push(TableChange::Entry {
                    index: entry.log_id.index,
                    offset,
                });
                encoder.entry(entry)?;
            }
            state.last = entries.last().map(|entry| entry.log_id).or(state.last);
        }
        WriterRequest::Vote { vote, .. } => {
            encoder.vote(vote);
            state.vote = Some(*vote);
        }
        WriterRequest::Truncate { keep, .. } => {
            encoder.truncate(*keep);
            changes.push(TableChange::Truncate {
                from: next_index(*keep),
            });
            state.truncate(*keep);
        }
        WriterRequest::Purge { id, .. } => {
            encoder.purge(*id);
            if state.purge(*id) {
                changes.push(TableChange::Gap { to: id.index });
            }
        }
        WriterRequest::Sync { .. } => {}
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

//! Gives the history of this node to a node that lacks it.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use rstmdb_raft_store::{Entry, FileSystem};

use crate::replica::parts::log_page::{LogReader, blocking};
use crate::replica::peers::calls::{HistoryRun, PeerError};

/// About how many bytes one run has.
const RUN_BYTES: u64 = 16 << 20;
/// Entries sent in one portion, and their bytes, at most.
const PORTION_ENTRIES: usize = 4096;
const PORTION_BYTES: usize = 1 << 20;

/// The history right below `before`, for a node that lacks it.
pub(crate) fn history_below<F: FileSystem>(
    log: &Arc<LogReader<F>>,
    before: u64,
) -> Option<HistoryRun> {
    // Entries that this node's state does not know to be effective must not be shown on any node.
    let floor = log.applied.read().stale_known_from().max(1);
    let (first, last) = log.store.history_run(before, RUN_BYTES)?;
    let first = first.max(floor);
    if first > last {
        return None;
    }
    let log = log.clone();
    let entries = stream::unfold(first, move |next| {
        let read = (next <= last).then(|| read_portion(&log, next, last));
        async move {
            let read = read?;
            let end = match &read {
                Ok(entries) => entries.last().map_or(u64::MAX, |entry| entry.log_id.index),
                Err(_) => u64::MAX,
            };
            Some((read, end.saturating_add(1)))
        }
    });
    Some(HistoryRun {
        first,
        last,
        entries: entries.boxed(),
    })
}

fn read_portion<F: FileSystem>(
    log: &LogReader<F>,
    from: u64,
    last: u64,
) -> Result<Vec<Entry>, PeerError> {
    let left = usize::try_from(last + 1 - from).unwrap_or(usize::MAX);
    let count = left.min(PORTION_ENTRIES);
    blocking(&*log.host, || log.store.read(from, count, PORTION_BYTES))
        .map_err(|error| PeerError::Failed(error.to_string()))
}

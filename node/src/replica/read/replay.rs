//! Gives a retry the context that its first attempt left. The state does not hold it, so it is read from the log.
//!
//! The leader says that the key was used, and at which offset. The client's node reads the entry from its own log,
//! outside of every lock, one answer after the other as the client reads them. So a retry costs the leader nothing, and
//! thousands of retries with large contexts are never in memory together.

use std::time::Duration;

use openraft::EntryPayload;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::fact::{Entry, Message};
use rstmdb_raft_store::FileSystem;

use crate::replica::error::Error;
use crate::replica::parts::log_page::LogReader;
use crate::replica::parts::replied::Replied;
use crate::replica::types::Types;

/// Adds the contexts to the answer of a repeated command, up to about `room` bytes in sum, which are subtracted from
/// `room`. An answer whose entry this node's log no longer has, or does not have yet, stays without its context.
///
/// Waits until this node has applied the offset that the leader names, for `wait_max` at most.
pub(crate) async fn complete<T: Types>(
    log: &LogReader<T::Fs>,
    wait_max: Duration,
    reply: &mut Replied,
    room: &mut usize,
) {
    let Some(last) = reply.incomplete_to() else {
        return;
    };
    // Until then, the entry at this offset may be one that was never committed.
    let applied = log.applied.wait_for(last);
    if T::timeout(wait_max, applied).await.is_err() {
        return;
    }
    reply.complete(room, &mut |offset| entry_at(log, offset));
}

fn entry_at<F: FileSystem>(log: &LogReader<F>, offset: u64) -> Option<Entry> {
    match log.read_raw(offset, offset, 1, usize::MAX) {
        Ok(entries) => match entries.into_iter().next()?.payload {
            EntryPayload::Normal(data) => Entry::decode(data.0).ok(),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        },
        // What is in the archive only is not waited for.
        Err(
            Error::OffsetCompacted { .. }
            | Error::ArchiveUnavailable { .. }
            | Error::ArchiveDamaged { .. },
        ) => None,
        Err(error) => {
            tracing::warn!(offset, %error, "a retry is answered without its context");
            None
        }
    }
}

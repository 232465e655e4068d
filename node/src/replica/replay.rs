//! What a retry is told that the state does not hold: the context behind the first call, from the log.
//!
//! The leader says that the key was used and where. The node that has the client reads the entry, of its own log
//! and outside of every lock, one answer after the other as the client takes them. So a retry costs the leader
//! nothing, and thousands of them on large contexts are never in memory together.

use openraft::EntryPayload;
use openraft::type_config::TypeConfigExt;
use rstmdb_engine::Reply;
use rstmdb_engine::fact::{Entry, Message};

use super::Error;
use super::handle::Replica;
use super::log_page::read_raw;
use super::types::Types;

impl<T: Types> Replica<T> {
    /// Gives what a command repeated its contexts, up to about `room` bytes in sum, which are subtracted. What
    /// this node's log no longer has, or does not have yet, stays [`Reply::Replayed`].
    ///
    /// Waits until this node has applied what the leader speaks of, but no longer than for a leader.
    pub async fn complete(&self, reply: &mut Reply, room: &mut usize) {
        let Some(last) = reply.incomplete_to() else {
            return;
        };
        // Before that, the entry there may be one that was never committed.
        let applied = self.inner.applied.wait_for(last);
        if T::timeout(self.inner.options.leader_wait, applied)
            .await
            .is_err()
        {
            return;
        }
        reply.complete(room, &mut |offset| self.entry_at(offset));
    }

    fn entry_at(&self, offset: u64) -> Option<Entry> {
        match read_raw(&self.inner, offset, offset, 1, usize::MAX) {
            Ok(entries) => match entries.into_iter().next()?.payload {
                EntryPayload::Normal(data) => Entry::decode(data.0).ok(),
                EntryPayload::Blank | EntryPayload::Membership(_) => None,
            },
            Err(Error::OffsetCompacted { .. }) => None,
            Err(error) => {
                tracing::warn!(offset, %error, "a retry is answered without its context");
                None
            }
        }
    }
}

//! How many bytes other nodes may take of this node's memory: messages that have not arrived completely, and appends
//! and forwarded commands that wait for their outcome.
//!
//! Each member has a share for all its connections and streams together. All callers that are not members have one
//! share together. So a node that leaves messages unfinished delays only itself. Raft's messages have a share of their
//! own: neither commands nor snapshots delay the leader's appends.
//!
//! Bytes that this program has not read yet are bounded by HTTP/2: by the windows of the connections.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::peer::{OWED_BYTES_MAX, RAFT_MESSAGE_BYTES_MAX};

/// A member's unfinished messages of Raft, without snapshots: those of a broken stream, and those of the next one.
const RAFT_BYTES: usize = 2 * RAFT_MESSAGE_BYTES_MAX;
/// A member's other unfinished messages: the largest one of forwarded commands, and a snapshot beside it.
pub(super) const OTHER_BYTES: usize = 32 * 1024 * 1024;
/// The unfinished messages of all callers that are no members.
const STRANGERS_BYTES: usize = 1024 * 1024;
/// A member's forwarded commands that wait for their outcome.
const COMMANDS_BYTES: usize = 64 * 1024 * 1024;
/// The shares of all senders, by the member's id; `None`: callers that are no members. They stay: members are few.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<Option<u64>, Arc<Share>>>);

/// The bytes of memory that one member may take: its unfinished messages of each kind.
pub(crate) struct Share {
    pub(super) raft: Arc<Semaphore>,
    pub(super) other: Arc<Semaphore>,
    /// For appends that have arrived and wait for openraft: those of a broken stream, and those of the next one.
    owed: Arc<Semaphore>,
    commands: Arc<Semaphore>,
}

impl Shares {
    pub(crate) fn of(&self, sender: Option<u64>) -> Arc<Share> {
        let mut shares = self.0.lock();
        let share = shares.entry(sender);
        share
            .or_insert_with(|| Arc::new(Share::new(sender)))
            .clone()
    }

    /// Bytes that unfinished messages hold now, of Raft and others.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let shares = self.0.lock();
        let held = shares.iter().map(|(sender, share)| {
            let full = Share::new(*sender);
            let raft = full.raft.available_permits() - share.raft.available_permits();
            let other = full.other.available_permits() - share.other.available_permits();
            (raft, other)
        });
        held.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

impl Share {
    pub(super) fn new(sender: Option<u64>) -> Self {
        let of = |bytes| Arc::new(Semaphore::new(bytes));
        Self {
            raft: of(RAFT_BYTES),
            other: of(sender.map_or(STRANGERS_BYTES, |_| OTHER_BYTES)),
            owed: of(2 * OWED_BYTES_MAX),
            commands: of(COMMANDS_BYTES),
        }
    }

    /// Waits for room for forwarded commands. They keep it for as long as they lie in memory, even if the stream that
    /// brought them ends. `None` cannot happen.
    pub(crate) async fn commands(&self, bytes: usize) -> Option<Arc<OwnedSemaphorePermit>> {
        let bytes = u32::try_from(bytes.min(COMMANDS_BYTES)).ok()?;
        let room = self.commands.clone().acquire_many_owned(bytes).await;
        room.ok().map(Arc::new)
    }

    /// There is never more free than there is in all.
    pub(super) fn check_invariants(&self) {
        debug_assert!(
            self.raft.available_permits() <= RAFT_BYTES
                && self.other.available_permits() <= OTHER_BYTES
                && self.owed.available_permits() <= 2 * OWED_BYTES_MAX
                && self.commands.available_permits() <= COMMANDS_BYTES,
            "more of a share was given back than was taken"
        );
    }

    /// For appends that wait for openraft.
    pub(crate) fn owed(&self) -> Arc<Semaphore> {
        self.owed.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn forwarded_commands_wait_until_earlier_ones_have_their_outcomes() {
        let shares = Shares::default();
        let share = shares.of(Some(1));
        let more_than_all = share.commands(2 * COMMANDS_BYTES).await;
        assert!(shares.of(Some(1)).commands(1).now_or_never().is_none());
        assert!(shares.of(Some(2)).commands(1).now_or_never().is_some());
        drop(more_than_all);
        assert!(shares.of(Some(1)).commands(1).now_or_never().is_some());
    }
}

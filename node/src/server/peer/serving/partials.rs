//! Snapshots of which a part has arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::Instant;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use parking_lot::Mutex;
use rstmdb_raft_store::SnapshotReceiver;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::replica::Types;

/// A part of a snapshot is dropped when no stream adds to it within this time.
const KEEP_TIMEOUT: Duration = Duration::from_secs(300);
/// How long an earlier stream of this sender may take to end.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// A snapshot of which a part has arrived.
pub(crate) struct Partial<T: Types> {
    pub(crate) which: OfferedFile,
    pub(crate) receiver: SnapshotReceiver<T::Fs>,
    pub(crate) used: InstantOf<T>,
}

/// The file that a sender offers.
#[derive(PartialEq, Eq)]
pub(crate) struct OfferedFile {
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) checksum: String,
}

#[derive(Default)]
struct PartialSlot<T: Types> {
    /// Ends the stream that fills the slot now.
    filling: CancellationToken,
    partial: Arc<tokio::sync::Mutex<Option<Partial<T>>>>,
}

/// Snapshots of which a part has arrived, by sender.
#[derive(Default)]
pub(crate) struct Partials<T: Types>(Mutex<BTreeMap<u64, PartialSlot<T>>>);

impl<T: Types> Partials<T> {
    /// Drops the parts to which no sender has added for long.
    pub(crate) fn sweep(&self) {
        self.0.lock().retain(|_, slot| {
            let Ok(partial) = slot.partial.try_lock() else {
                return true;
            };
            partial
                .as_ref()
                .is_some_and(|partial| partial.used.elapsed() < KEEP_TIMEOUT)
        });
    }

    /// The slot of a sender, for this stream alone until the token is cancelled.
    pub(crate) async fn enter(
        &self,
        from: u64,
    ) -> Result<(OwnedMutexGuard<Option<Partial<T>>>, CancellationToken), Status> {
        let filling = CancellationToken::new();
        let partial = {
            let mut slots = self.0.lock();
            let slot = slots.entry(from).or_default();
            std::mem::replace(&mut slot.filling, filling.clone()).cancel();
            slot.partial.clone()
        };
        let entered = T::timeout(TAKE_OVER_TIMEOUT, partial.lock_owned()).await;
        let partial = entered.map_err(|_| {
            Status::unavailable("this node is still working on an earlier stream of a snapshot")
        })?;
        Ok((partial, filling))
    }

    #[cfg(test)]
    pub(crate) fn bytes_from(&self, sender: u64) -> Option<u64> {
        let slots = self.0.lock();
        let partial = slots.get(&sender)?.partial.try_lock().ok()?;
        partial.as_ref().map(|partial| partial.receiver.bytes())
    }
}

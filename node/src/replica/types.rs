//! What a replica is generic over: the runtime, the file system and the host.

mod manual_clock;
pub mod trace;

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rstmdb_engine::EntryOutcome;
use rstmdb_raft_store::{FileSystem, StoreConfig};

pub use manual_clock::ManualClock;

/// The types of one kind of replica: the product's run on tokio and the real file system,
/// a simulation's on virtual time and a file system in memory.
pub trait Types: StoreConfig<R = EntryOutcome> {
    /// Where the data folder lives.
    type Fs: FileSystem;

    /// Runs work that blocks on the disk beside all tasks, also beside the one that waits for it.
    ///
    /// A disk in memory blocks nothing: unless this is overridden, the work is done at once.
    ///
    /// # Errors
    /// When the work has panicked.
    fn blocking<W: Send + 'static>(
        work: impl FnOnce() -> W + Send + 'static,
    ) -> BoxFuture<'static, io::Result<W>> {
        async move { Ok(work()) }.boxed()
    }

    /// Runs work that uses the processor for long, beside all tasks and behind them: the tasks of the node and everything
    /// else that wants the processor come first.
    ///
    /// Virtual time does not pass while work is done: unless this is overridden, it is done at once.
    ///
    /// # Errors
    /// When the work has panicked.
    fn aside<W: Send + 'static>(
        work: impl FnOnce() -> W + Send + 'static,
    ) -> BoxFuture<'static, io::Result<W>> {
        async move { Ok(work()) }.boxed()
    }
}

/// What a replica needs from its machine and must get only through this trait.
pub trait Host: Send + Sync + 'static {
    /// The wall clock, in milliseconds since the Unix epoch.
    ///
    /// It may jump, and shows 0 before 1970. What is written to the log follows it only slowly; see `clocks`.
    fn now_ms(&self) -> u64;

    /// The clock by which [`Host::now_ms`] goes if it stands still until it is advanced. The log's time is then this
    /// clock's, to the millisecond.
    fn manual_clock(&self) -> Option<Arc<ManualClock>> {
        None
    }

    /// Runs work that may block on the disk, or use the processor for long, so that it does not delay the other tasks
    /// of this thread.
    fn block(&self, work: &mut dyn FnMut());

    /// The free space, in bytes, of the file system that holds the data folder; `None` when
    /// it cannot be found out.
    fn free_bytes(&self) -> Option<u64>;

    /// Anything else that new files need and the machine has run out of: inodes, file descriptors. For people.
    fn shortage(&self) -> Option<String> {
        None
    }
}

/// Where history is kept that has left the node: objects by name, of one cluster.
///
/// An object never changes: its name has its checksum. Several nodes may write at the same time. Each call may take as
/// long as it likes, and may be given up at any time; a part of an object must never be shown as the object.
pub trait Archive: fmt::Debug + Send + Sync + 'static {
    /// The names of all objects.
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, ArchiveError>>;

    /// Keeps an object, durably.
    fn put(&self, name: &str, object: Bytes) -> BoxFuture<'_, Result<(), ArchiveError>>;

    /// Reads an object, which is refused when it has more than `bytes_max` bytes.
    fn get(&self, name: &str, bytes_max: u64) -> BoxFuture<'_, Result<Bytes, ArchiveError>>;
}

/// Why an archive did not do what it was asked for, in words for people.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ArchiveError(pub String);

#[cfg(test)]
pub(crate) mod tests {
    use openraft_rt_tokio::TokioRuntime;
    use rstmdb_raft_store::{Data, MemFs, NodeInfo};

    use super::*;

    openraft::declare_raft_types!(
        /// For tests that start no replica.
        pub(crate) TestTypes:
            D = Data,
            R = EntryOutcome,
            Node = NodeInfo,
            LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
            AsyncRuntime = TokioRuntime,
    );

    impl Types for TestTypes {
        type Fs = MemFs;
    }
}

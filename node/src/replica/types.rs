//! What a replica is generic over: the runtime, the file system and the host.

use std::io;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rstmdb_engine::Outcome;
use rstmdb_raft_store::{FileSystem, StoreConfig};

/// The types of one kind of replica: the product's run on tokio and the real file system,
/// a simulation's on virtual time and a file system in memory.
pub trait Types: StoreConfig<R = Outcome> {
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
}

/// What a replica needs from its machine and must get only through this trait.
pub trait Host: Send + Sync + 'static {
    /// The wall clock, in milliseconds since the Unix epoch.
    ///
    /// It may jump, and shows 0 before 1970. What is written to the log follows it only slowly; see `clocks`.
    fn now_ms(&self) -> u64;

    /// Runs work that may block on the disk, or use the processor for long, so that it does not delay the other tasks
    /// of this thread.
    fn block(&self, work: &mut dyn FnMut());

    /// The free space, in bytes, of the file system that holds the data folder; `None` when
    /// it cannot be told.
    fn free_bytes(&self) -> Option<u64>;

    /// Anything else that new files need and the machine has run out of: inodes, file descriptors. For people.
    fn shortage(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use openraft_rt_tokio::TokioRuntime;
    use rstmdb_raft_store::{Data, MemFs, NodeInfo};

    use super::*;

    openraft::declare_raft_types!(
        /// For tests that start no replica.
        pub(crate) TestTypes:
            D = Data,
            R = Outcome,
            Node = NodeInfo,
            LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
            AsyncRuntime = TokioRuntime,
    );

    impl Types for TestTypes {
        type Fs = MemFs;
    }
}

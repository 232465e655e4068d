//! The replica as the product runs it: on tokio, on the real file system.

mod aside;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use openraft_rt_tokio::TokioRuntime;
use rstmdb_engine::EntryOutcome;
use rstmdb_raft_store::{Data, NodeInfo, RealFs, is_shortage};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use crate::replica::{self, ManualClock};

/// Below this number of free inodes the node takes no writes: segments and snapshots are few files.
const INODES_MIN: u64 = 64;

openraft::declare_raft_types!(
    /// The openraft types of the product.
    pub Product:
        D = Data,
        R = EntryOutcome,
        Node = NodeInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = TokioRuntime,
);

impl replica::Types for Product {
    type Fs = RealFs;

    fn blocking<W: Send + 'static>(
        work: impl FnOnce() -> W + Send + 'static,
    ) -> BoxFuture<'static, io::Result<W>> {
        let done = tokio::task::spawn_blocking(work);
        done.map_err(io::Error::other).boxed()
    }

    fn aside<W: Send + 'static>(
        work: impl FnOnce() -> W + Send + 'static,
    ) -> BoxFuture<'static, io::Result<W>> {
        let (done, result) = oneshot::channel();
        let asked = aside::run(Box::new(move || drop(done.send(work()))));
        async move {
            asked?;
            result.await.map_err(io::Error::other)
        }
        .boxed()
    }
}

/// The replica of the product.
pub type Replica = replica::Replica<Product>;

/// Runs work that uses the processor for long, or blocks, so that it does not delay the other tasks of this thread.
pub(crate) fn block<R>(work: impl FnOnce() -> R) -> R {
    let has_other_workers = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_other_workers {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// The machine the node runs on.
#[derive(Debug)]
pub struct TokioHost {
    data_dir: PathBuf,
    clock: Option<Arc<ManualClock>>,
}

impl TokioHost {
    /// `data_dir` is the folder whose file system is asked for free space.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            clock: None,
        }
    }

    /// The same machine with a clock that shows the present and stands still until it is advanced.
    #[must_use]
    pub fn with_manual_clock(self) -> Self {
        let clock = Some(Arc::new(ManualClock::new(wall_ms())));
        Self { clock, ..self }
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is wrong; the engine's time never goes back, for any value of this clock.
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl replica::Host for TokioHost {
    fn now_ms(&self) -> u64 {
        match &self.clock {
            Some(clock) => clock.now_ms(),
            None => wall_ms(),
        }
    }

    fn manual_clock(&self) -> Option<Arc<ManualClock>> {
        self.clock.clone()
    }

    fn block(&self, work: &mut dyn FnMut()) {
        block(work);
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.data_dir).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    fn shortage(&self) -> Option<String> {
        match std::fs::File::open(&self.data_dir) {
            Err(error) if is_shortage(&error) => {
                return Some(format!("no file can be opened: {error}"));
            }
            _ => {}
        }
        let stat = rustix::fs::statvfs(&self.data_dir).ok()?;
        // A file system without a fixed number of inodes reports 0 of 0.
        (stat.f_files > 0 && stat.f_favail < INODES_MIN).then(|| {
            format!(
                "the file system of the data folder has {} inodes free, less than {INODES_MIN}",
                stat.f_favail
            )
        })
    }
}

//! What a replica gets from the machine that it runs on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rstmdb::replica::Host;
use rstmdb_raft_store::{FileSystem, MemFs};

use crate::settings::DATA_DIR;
use crate::trace;

/// What wall clocks show at the start, in milliseconds.
const WALL_BEGINS_MS: i64 = 1_700_000_000_000;

/// The wall clock and the disk of a machine.
pub(super) struct SimHost {
    pub wall_ms: Arc<AtomicI64>,
    pub disk: MemFs,
}

/// The right wall-clock time, in milliseconds.
#[must_use]
pub fn right_ms() -> i64 {
    WALL_BEGINS_MS + i64::try_from(trace::now().as_millis()).unwrap_or_default()
}

impl Host for SimHost {
    fn now_ms(&self) -> u64 {
        let wall = right_ms() + self.wall_ms.load(Ordering::Relaxed);
        u64::try_from(wall).unwrap_or_default()
    }

    fn block(&self, work: &mut dyn FnMut()) {
        work();
    }

    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(Path::new(DATA_DIR)).ok()
    }
}

//! The options that may change while the replica runs.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rstmdb_engine::Limits;

use super::{CompactionOptions, Options};

/// The options that may change while the replica runs. They begin as [`Options`] says.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// The engine's limits. Only a leader decides, and the log holds what it decided. So nodes whose limits differ for a
    /// while still have equal states.
    pub limits: Limits,
    /// Snapshots and retention.
    pub compaction: CompactionOptions,
    /// Free disk space, in bytes, below which writes and entries are refused; 0 never refuses.
    pub free_bytes_min: u64,
    /// How long a request waits for a leader before its client gets `NO_LEADER`.
    pub leader_wait: Duration,
    /// Whether a leader raises the feature level as soon as every member understands a higher one.
    pub raises_level: bool,
    /// How many firings of timers a leader has in flight at most.
    pub timers_in_flight: usize,
}

impl From<&Options> for Tuning {
    fn from(options: &Options) -> Self {
        Self {
            limits: options.limits.clone(),
            compaction: options.compaction.clone(),
            free_bytes_min: options.free_bytes_min,
            leader_wait: options.leader_wait,
            raises_level: options.raises_level,
            timers_in_flight: options.timers_in_flight,
        }
    }
}

/// The [`Tuning`] that is in force. Each part of the replica asks for it anew whenever it needs a value.
pub(crate) struct Tuned(RwLock<Arc<Tuning>>);

impl Tuned {
    pub(crate) fn new(options: &Options) -> Self {
        Self(RwLock::new(Arc::new(options.into())))
    }

    /// What is in force now.
    pub(crate) fn now(&self) -> Arc<Tuning> {
        self.0.read().clone()
    }

    pub(crate) fn set(&self, tuning: Tuning) {
        *self.0.write() = Arc::new(tuning);
    }
}

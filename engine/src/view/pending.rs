//! The entries that a leader has decided and that are not applied yet.

use super::overlay::Overlay;
use crate::fact::Entry;
use crate::machine::Compiled;
use crate::state::BrokenInvariant;

/// The entries in flight, by the offsets predicted for them.
#[derive(Default)]
pub struct Pending {
    pub(crate) overlay: Overlay,
    pub(crate) last_time_ms: u64,
}

impl Pending {
    /// Nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a decided entry at its predicted offset, with the machines it defines; entries come in
    /// ascending order.
    pub fn push(&mut self, entry: &Entry, compiled: &Compiled) {
        self.last_time_ms = self.last_time_ms.max(entry.time_ms);
        for fact in &entry.facts {
            self.overlay
                .push(fact, entry.index, entry.time_ms, compiled);
        }
    }

    /// Removes what was applied up to and including this offset.
    pub fn settle(&mut self, applied: u64) {
        self.overlay.settle(applied);
    }

    /// Checks what is held, after [`Pending::settle`] of this offset (0 when nothing was settled): it ascends, it is
    /// above that offset, and all of it will be removed once it is applied.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_invariants(&self, settled: u64) -> Result<(), BrokenInvariant> {
        self.overlay.check(settled)
    }

    /// Removes everything: the proposer starts again from the log's end.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.overlay.is_empty()
    }
}

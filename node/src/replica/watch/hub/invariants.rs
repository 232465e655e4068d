//! What holds of the hub between two steps. Apply, the task that examines and the watches may go on meanwhile.

use std::sync::atomic::Ordering;

use super::Hub;
use crate::replica::parts::invariants::{BrokenInvariant, assert_sound, ensure};

impl Hub {
    /// Checks all of the ring and all watches, and gives the offset up to which everything was dispatched.
    pub(crate) fn check_invariants(&self) -> Result<u64, BrokenInvariant> {
        self.check(true)
    }

    /// Checks in debug builds what takes little time. The caller holds none of the locks.
    pub(super) fn assert_sound(&self) {
        assert_sound(|| self.check(false).map(drop));
    }

    fn check(&self, whole: bool) -> Result<u64, BrokenInvariant> {
        // In this order: each only grows, and is never ahead of what is asked after it.
        let examined = self.examined.load(Ordering::Acquire);
        let examining = {
            let watches = self.watches.lock();
            watches.check(whole)?;
            let (count, len) = (self.watches(), watches.len());
            ensure(count == len, || {
                format!("{len} watches are registered and {count} counted")
            })?;
            watches.examining
        };
        let ring = self.ring.lock();
        ring.check(whole)?;
        let head = ring.head();
        ensure(examined <= examining && examining <= head, || {
            format!("{examined} was examined, then to {examining}, of {head} dispatched")
        })?;
        Ok(head)
    }
}

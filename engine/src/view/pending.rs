//! The entries that the leader has decided but not applied yet.

use super::overlay::Overlay;
use crate::fact::Entry;
use crate::machine::Compiled;
use crate::state::BrokenInvariant;

/// The entries in flight, by the offsets predicted for them.
#[derive(Default)]
pub struct PendingEntries {
    pub(crate) overlay: Overlay,
    pub(crate) last_time_ms: u64,
}

impl PendingEntries {
    /// Nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a decided entry at its predicted offset, with the machines it defines; entries come in
    /// ascending order.
    pub fn push(&mut self, entry: &Entry, compiled: &Compiled) {
        let last = self.overlay.last_offset();
        debug_assert!(
            last.is_none_or(|last| last < entry.index),
            "offset {} is predicted behind {last:?}",
            entry.index
        );
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

    /// Checks the entries after [`PendingEntries::settle`] of this offset (0 when nothing was settled): their
    /// offsets ascend, are above it, and each entry will be removed once it is applied.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Body, CreateInstance, DeleteInstance, Fact, Key};

    fn entry(index: u64, bodies: Vec<Body>) -> Entry {
        Entry {
            index,
            facts: bodies.into_iter().map(Fact::from).collect(),
            ..Entry::default()
        }
    }

    fn create(id: &str) -> Body {
        let key = Key {
            key: "k".to_owned(),
            ..Key::default()
        };
        Body::CreateInstance(CreateInstance {
            instance_id: id.to_owned(),
            key: Some(key),
            ..CreateInstance::default()
        })
    }

    fn delete(id: &str) -> Body {
        Body::DeleteInstance(DeleteInstance {
            instance_id: id.to_owned(),
            ..DeleteInstance::default()
        })
    }

    #[test]
    fn what_is_in_flight_is_removed_as_it_is_applied() {
        let (mut pending, compiled) = (PendingEntries::new(), Compiled::default());
        pending.push(&entry(5, vec![create("a"), create("b")]), &compiled);
        pending.push(&entry(6, vec![delete("a")]), &compiled);
        pending.push(&entry(7, vec![create("a"), delete("a")]), &compiled);
        assert_eq!(pending.check_invariants(4), Ok(()));
        for applied in 5..8 {
            pending.settle(applied);
            assert_eq!(pending.check_invariants(applied), Ok(()));
        }
        assert!(pending.is_empty());
    }

    #[test]
    fn what_is_not_above_what_was_applied_or_does_not_ascend_is_seen() {
        let (mut pending, compiled) = (PendingEntries::new(), Compiled::default());
        pending.push(&entry(5, vec![create("a")]), &compiled);
        assert!(pending.check_invariants(5).is_err());
        let low = entry(4, vec![create("b")]);
        pending.overlay.push(&low.facts[0], 4, 0, &compiled);
        assert!(pending.check_invariants(0).is_err());
    }

    #[test]
    fn what_would_stay_for_good_is_seen() {
        let (mut pending, compiled) = (PendingEntries::new(), Compiled::default());
        pending.push(&entry(5, vec![create("a")]), &compiled);
        pending.push(&entry(6, vec![create("b")]), &compiled);
        for item in pending.overlay.instances.values_mut() {
            item.offset += 1;
        }
        assert!(pending.check_invariants(4).is_err());
    }
}

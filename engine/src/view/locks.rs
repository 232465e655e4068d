//! Locks with the facts in flight over them.

use std::sync::Arc;

use super::overlay::Overlay;
use super::overlay::locks::LockInFlight;
use super::{View, planted};
use crate::fact::Fence;
use crate::state::locks::HeldLock;

impl View<'_> {
    /// A lock, if one holds it. Its time may be over.
    ///
    /// Facts in flight come in order and stay what they are, so each of them is looked at once.
    pub(crate) fn lock(self, name: &str) -> Option<Arc<HeldLock>> {
        let mut layers: Vec<&Overlay> = self.layers().collect();
        layers.reverse();
        let facts = layers.into_iter().filter_map(|layer| layer.locks.get(name));
        let facts: Vec<&LockInFlight> = facts
            .flatten()
            .filter(|fact| self.ahead(fact.offset))
            .collect();
        let known = facts.iter().rposition(|fact| fact.after.get().is_some());
        let mut lock = match known.and_then(|known| facts[known].after.get()) {
            Some(lock) => lock.clone(),
            None if self.state_shows() => self.state.locks.get(name).cloned(),
            None => None,
        };
        let rest = known.map_or(0, |known| known + 1);
        for fact in facts.into_iter().skip(rest) {
            let after = HeldLock::after(lock.as_deref(), &fact.changed, fact.offset, fact.time_ms);
            // A fact that does not fit is stale, and the decision that sees it is made again.
            if let Ok(after) = after {
                lock = after.map(Arc::new);
            }
            let _ = fact.after.set(lock.clone());
        }
        lock
    }

    /// Whether a fence holds at a time: the token is that of the lock, and the lock's time is not over.
    pub(crate) fn fence_holds(self, fence: &Fence, now_ms: u64) -> bool {
        let lock = self.lock(&fence.lock);
        let holds = lock.is_some_and(|lock| lock.is_held_with(fence.token, now_ms));
        holds || planted::ignores_fences()
    }

    /// How many locks are held, and how many owners wait, at most.
    pub(crate) fn lock_counts(self) -> (usize, usize) {
        let mut counts = match self.state_shows() {
            true => (self.state.locks.len(), self.state.locks.waiting()),
            false => (0, 0),
        };
        for facts in self.layers().flat_map(|layer| layer.locks.values()) {
            counts.0 += 1;
            let joins = facts.iter().filter(|fact| fact.changed.waiter.is_some());
            counts.1 += joins.count();
        }
        counts
    }
}

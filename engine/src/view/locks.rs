//! Locks with the facts in flight over them.

use std::sync::Arc;

use super::{View, planted};
use crate::fact::Fence;
use crate::state::locks::HeldLock;

impl View<'_> {
    /// A lock, if one holds it. Its time may be over.
    ///
    /// Facts in flight come in order and stay what they are, so each of them is worked out once.
    pub(crate) fn lock(self, name: &str) -> Option<Arc<HeldLock>> {
        let layers = self.layers().filter_map(|layer| layer.locks.get(name));
        let newest_first = layers.flat_map(|facts| facts.iter().rev());
        let (mut known, mut rest) = (None, Vec::new());
        for fact in newest_first.take_while(|fact| self.ahead(fact.offset)) {
            known = fact.after.get();
            if known.is_some() {
                break;
            }
            rest.push(fact);
        }
        let mut lock = match known {
            Some(lock) => lock.clone(),
            None if self.state_shows() => self.state.locks.get(name).cloned(),
            None => None,
        };
        for fact in rest.into_iter().rev() {
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
        for added in self.layers().map(|layer| layer.locks.added()) {
            counts.0 += added.locks;
            counts.1 += added.waiting;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Body, Entry, Fact, FlushAll, LockChanged, LockHolder, LockWaiter};
    use crate::machine::Compiled;
    use crate::{PendingEntries, State};

    fn changed(name: &str, prev_offset: u64, place: Option<u64>) -> Body {
        Body::LockChanged(LockChanged {
            name: name.to_owned(),
            prev_offset,
            holder: Some(LockHolder::default()),
            waiter: place.map(|place| LockWaiter {
                place,
                ..LockWaiter::default()
            }),
            ..LockChanged::default()
        })
    }

    #[test]
    fn only_what_makes_a_lock_or_a_place_counts_as_one() {
        let state = State::new();
        let mut pending = PendingEntries::new();
        let bodies = [
            changed("a", 0, None),
            changed("a", 1, Some(0)),
            // Renewed; asked again; another one.
            changed("a", 2, None),
            changed("a", 3, Some(2)),
            changed("b", 0, None),
            changed("a", 4, Some(0)),
        ];
        for (at, body) in bodies.into_iter().enumerate() {
            let entry = Entry {
                index: at as u64 + 1,
                facts: vec![Fact::from(body)],
                ..Entry::default()
            };
            pending.push(&entry, &Compiled::default());
            assert_eq!(pending.check_invariants(0), Ok(()));
        }
        let counts =
            |pending: &PendingEntries| View::new(&state).over(&pending.overlay).lock_counts();
        assert_eq!(counts(&pending), (2, 2));
        pending.settle(2);
        assert_eq!(pending.check_invariants(2), Ok(()));
        assert_eq!(counts(&pending), (1, 1));
        let flush = Entry {
            index: 7,
            facts: vec![Fact::from(Body::FlushAll(FlushAll {}))],
            ..Entry::default()
        };
        pending.push(&flush, &Compiled::default());
        assert_eq!(counts(&pending), (0, 0));
        pending.settle(7);
        assert!(pending.is_empty());
        assert_eq!(pending.check_invariants(7), Ok(()));
    }
}

//! Facts in flight about locks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use super::{Overlay, OverlayKey};
use crate::fact::LockChanged;
use crate::state::locks::HeldLock;
use crate::state::{BrokenInvariant, ensure};

/// A fact in flight of one lock.
pub(crate) struct LockInFlight {
    pub(in crate::view) offset: u64,
    pub(in crate::view) time_ms: u64,
    pub(in crate::view) changed: LockChanged,
    /// The lock behind this fact, once it was asked for.
    pub(in crate::view) after: OnceLock<Option<Arc<HeldLock>>>,
}

/// The facts in flight of one lock, in their order.
pub(crate) type LockFacts = VecDeque<LockInFlight>;

/// The facts in flight of all locks: what a lock is depends on what it was.
#[derive(Default)]
pub(crate) struct LocksInFlight {
    facts: BTreeMap<Arc<str>, LockFacts>,
    added: LocksAdded,
}

/// How much facts in flight may add to what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocksAdded {
    /// Locks that were free.
    pub(in crate::view) locks: usize,
    /// Owners that have had no place.
    pub(in crate::view) waiting: usize,
}

impl LocksAdded {
    fn by(changed: &LockChanged) -> Self {
        let is_new = changed.prev_offset == 0 && changed.holder.is_some();
        let joins = changed.waiter.as_ref().is_some_and(|it| it.place == 0);
        Self {
            locks: usize::from(is_new),
            waiting: usize::from(joins),
        }
    }

    fn add(&mut self, by: Self) {
        self.locks += by.locks;
        self.waiting += by.waiting;
    }

    fn take(&mut self, by: Self) {
        self.locks -= by.locks;
        self.waiting -= by.waiting;
    }
}

impl LocksInFlight {
    pub(in crate::view) fn added(&self) -> LocksAdded {
        self.added
    }

    pub(in crate::view) fn get(&self, name: &str) -> Option<&LockFacts> {
        self.facts.get(name)
    }

    /// How many locks have facts in flight.
    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    fn push(&mut self, name: Arc<str>, fact: LockInFlight) {
        self.added.add(LocksAdded::by(&fact.changed));
        self.facts.entry(name).or_default().push_back(fact);
    }

    fn settle(&mut self, name: &str, applied: u64) {
        let Some(facts) = self.facts.get_mut(name) else {
            return;
        };
        while let Some(fact) = facts.pop_front_if(|fact| fact.offset <= applied) {
            self.added.take(LocksAdded::by(&fact.changed));
        }
        if facts.is_empty() {
            self.facts.remove(name);
        }
    }

    /// Checks the counts.
    pub(super) fn check(&self) -> Result<(), BrokenInvariant> {
        let mut found = LocksAdded::default();
        for fact in self.facts.values().flatten() {
            found.add(LocksAdded::by(&fact.changed));
        }
        ensure(found == self.added, || {
            format!(
                "facts in flight count as {:?} and add {found:?}",
                self.added
            )
        })
    }
}

impl Overlay {
    pub(super) fn change_lock(&mut self, changed: &LockChanged, offset: u64, time_ms: u64) {
        let name: Arc<str> = Arc::from(changed.name.as_str());
        let fact = LockInFlight {
            offset,
            time_ms,
            changed: changed.clone(),
            after: OnceLock::new(),
        };
        self.locks.push(name.clone(), fact);
        self.touched.push_back((offset, OverlayKey::Lock(name)));
    }

    pub(super) fn settle_lock(&mut self, name: &str, applied: u64) {
        self.locks.settle(name, applied);
    }
}

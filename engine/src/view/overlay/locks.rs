//! Facts in flight about locks.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::{Overlay, OverlayKey};
use crate::fact::LockChanged;
use crate::state::locks::HeldLock;

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

impl Overlay {
    pub(super) fn change_lock(&mut self, changed: &LockChanged, offset: u64, time_ms: u64) {
        let name: Arc<str> = Arc::from(changed.name.as_str());
        let facts = self.locks.entry(name.clone()).or_default();
        facts.push_back(LockInFlight {
            offset,
            time_ms,
            changed: changed.clone(),
            after: OnceLock::new(),
        });
        self.touched.push_back((offset, OverlayKey::Lock(name)));
    }

    pub(super) fn settle_lock(&mut self, name: &str, applied: u64) {
        let Some(facts) = self.locks.get_mut(name) else {
            return;
        };
        while facts.pop_front_if(|fact| fact.offset <= applied).is_some() {}
        if facts.is_empty() {
            self.locks.remove(name);
        }
    }
}

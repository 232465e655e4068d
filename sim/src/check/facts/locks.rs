//! What facts say of locks, and of writes under them.

use rstmdb_engine::fact::{Body, Entry, LockChanged};

use super::{EntryFault, Facts};
use crate::check::locks::LockAccount;

impl Facts {
    /// The locks.
    #[must_use]
    pub fn locks(&self) -> &LockAccount {
        &self.locks
    }

    /// Why an entry must not take effect, if it names a lock that its client has lost, or changes a lock that has changed
    /// since it was decided.
    pub(super) fn locks_misfit(&self, entry: &Entry) -> Option<EntryFault> {
        let changes = entry.facts.iter().filter_map(|fact| match &fact.body {
            Some(Body::LockChanged(changed)) => self.lock_misfit(changed),
            _ => None,
        });
        self.fence_misfit(entry).or(changes.last())
    }

    fn fence_misfit(&self, entry: &Entry) -> Option<EntryFault> {
        let fence = entry.meta.as_ref()?.fence.as_ref()?;
        let time_ms = self.time_ms.max(entry.time_ms);
        let holds = self.locks.honours(fence, time_ms);
        (!holds).then(|| format!("{fence:?} does not hold at {time_ms}"))
    }

    fn lock_misfit(&self, changed: &LockChanged) -> Option<EntryFault> {
        let last = self.locks.last(&changed.name);
        let fits = last == changed.prev_offset;
        (!fits).then(|| format!("lock {} was changed at {last}", changed.name))
    }

    pub(super) fn count_fence(&mut self, entry: &Entry) {
        if entry.meta.as_ref().is_some_and(|meta| meta.fence.is_some()) {
            self.locks.count_fenced();
        }
    }
}

//! Planted bugs that show whether the tests find them. They are compiled only with the feature `planted-bugs`, and each is
//! off until a test turns it on.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static FENCES_IGNORED: AtomicBool = AtomicBool::new(false);
#[cfg(feature = "planted-bugs")]
static MACHINES_IN_USE_DELETED: AtomicBool = AtomicBool::new(false);

/// From now on decisions and [`State::apply`](crate::State::apply) take writes whose fence does not hold, in every state
/// of this process.
#[cfg(feature = "planted-bugs")]
pub fn ignore_fences() {
    FENCES_IGNORED.store(true, Ordering::Relaxed);
}

/// From now on decisions and [`State::apply`](crate::State::apply) delete machines that instances have, in every state of
/// this process.
#[cfg(feature = "planted-bugs")]
pub fn delete_machines_in_use() {
    MACHINES_IN_USE_DELETED.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(super) fn ignores_fences() -> bool {
    FENCES_IGNORED.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(super) const fn ignores_fences() -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub(super) fn deletes_machines_in_use() -> bool {
    MACHINES_IN_USE_DELETED.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(super) const fn deletes_machines_in_use() -> bool {
    false
}

//! Planted bugs of the chain, which show whether the tests find them. They are compiled only with the feature
//! `planted-bugs`, and are off until a test turns one on.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static STALE_LEFT_OUT: AtomicBool = AtomicBool::new(false);
#[cfg(feature = "planted-bugs")]
static HEADS_LOST: AtomicBool = AtomicBool::new(false);

/// From now on stale entries do not go into the chain, in every state of this process.
#[cfg(feature = "planted-bugs")]
pub fn leave_stale_entries_out() {
    STALE_LEFT_OUT.store(true, Ordering::Relaxed);
}

/// From now on a state that is loaded from a snapshot has lost the head of its chain.
#[cfg(feature = "planted-bugs")]
pub fn lose_heads_of_snapshots() {
    HEADS_LOST.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn leaves_stale_entries_out() -> bool {
    STALE_LEFT_OUT.load(Ordering::Relaxed)
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn loses_heads_of_snapshots() -> bool {
    HEADS_LOST.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn leaves_stale_entries_out() -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn loses_heads_of_snapshots() -> bool {
    false
}

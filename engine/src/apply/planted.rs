//! A bug to test the tests with: compiled in with the feature `planted-bugs` only, and even then off
//! until it is asked for.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static STALE_EVENTS_APPLIED: AtomicBool = AtomicBool::new(false);

/// From now on [`State::apply`](crate::State::apply) takes events that were decided on something
/// that is no longer so, in every state of this process.
#[cfg(feature = "planted-bugs")]
pub fn apply_stale_events() {
    STALE_EVENTS_APPLIED.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn applies_stale_events() -> bool {
    STALE_EVENTS_APPLIED.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn applies_stale_events() -> bool {
    false
}

//! A planted bug that shows whether the tests find it. It is compiled only with the feature `planted-bugs`,
//! and is off until a test turns it on.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static STALE_EVENTS_APPLIED: AtomicBool = AtomicBool::new(false);

/// From now on [`State::apply`](crate::State::apply) takes events whose premises no longer hold, in every
/// state of this process.
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

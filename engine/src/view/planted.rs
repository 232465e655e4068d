//! A planted bug that shows whether the tests find it. It is compiled only with the feature `planted-bugs`,
//! and is off until a test turns it on.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static FENCES_IGNORED: AtomicBool = AtomicBool::new(false);

/// From now on decisions and [`State::apply`](crate::State::apply) take writes whose fence does not hold, in every state
/// of this process.
#[cfg(feature = "planted-bugs")]
pub fn ignore_fences() {
    FENCES_IGNORED.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(super) fn ignores_fences() -> bool {
    FENCES_IGNORED.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(super) const fn ignores_fences() -> bool {
    false
}

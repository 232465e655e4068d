//! Planted bugs of timers that show whether the tests find them. They are compiled only with the feature `planted-bugs`,
//! and each is off until a test turns it on.

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "planted-bugs")]
static FIRES_EARLY: AtomicBool = AtomicBool::new(false);
#[cfg(feature = "planted-bugs")]
static FIRES_AGAIN: AtomicBool = AtomicBool::new(false);
#[cfg(feature = "planted-bugs")]
static REARMS: AtomicBool = AtomicBool::new(false);

/// From now on a timer fires when it is told to, also before its time.
#[cfg(feature = "planted-bugs")]
pub fn fire_early() {
    FIRES_EARLY.store(true, Ordering::Relaxed);
}

/// From now on a timer that has fired already fires when it is told to, while its instance is in the same state.
#[cfg(feature = "planted-bugs")]
pub fn fire_again() {
    FIRES_AGAIN.store(true, Ordering::Relaxed);
}

/// From now on every transition to the same state arms the timers of that state again.
#[cfg(feature = "planted-bugs")]
pub fn rearm_on_self_transitions() {
    REARMS.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn fires_early() -> bool {
    FIRES_EARLY.load(Ordering::Relaxed)
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn fires_again() -> bool {
    FIRES_AGAIN.load(Ordering::Relaxed)
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn rearms() -> bool {
    REARMS.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn fires_early() -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn fires_again() -> bool {
    false
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn rearms() -> bool {
    false
}

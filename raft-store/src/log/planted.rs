//! A bug to test the tests with: compiled in with the feature `planted-bugs` only, and even then off
//! until it is asked for.

use std::time::Duration;

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the writer then leaves work lying.
pub(crate) const HELD_BACK: Duration = Duration::from_millis(20);

#[cfg(feature = "planted-bugs")]
static ACKNOWLEDGES_EARLY: AtomicBool = AtomicBool::new(false);

/// From now on every log of this process reports entries as durable when it receives them, and writes
/// them up to 20 ms later. A writer without a clock leaves them until it is asked for something else.
#[cfg(feature = "planted-bugs")]
pub fn acknowledge_before_write() {
    ACKNOWLEDGES_EARLY.store(true, Ordering::Relaxed);
}

#[cfg(feature = "planted-bugs")]
pub(crate) fn acknowledges_early() -> bool {
    ACKNOWLEDGES_EARLY.load(Ordering::Relaxed)
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn acknowledges_early() -> bool {
    false
}

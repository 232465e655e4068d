//! A planted bug that shows whether the tests find it. It is compiled only with the feature `planted-bugs`,
//! and is off until a test turns it on.

use std::time::Duration;

#[cfg(feature = "planted-bugs")]
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the writer then delays its work.
pub(crate) const HELD_BACK: Duration = Duration::from_millis(20);

#[cfg(feature = "planted-bugs")]
static ACKNOWLEDGES_EARLY: AtomicBool = AtomicBool::new(false);

/// From now on every log of this process reports entries as durable when it receives them, and writes them up
/// to 20 ms later. A writer without a clock writes them with the next request.
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

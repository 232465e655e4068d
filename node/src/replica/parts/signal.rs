//! Something that changes again and again, and the tasks that wait for its next change.
//!
//! The tasks are woken in the order in which they began to wait. tokio's watch channel wakes in a random order: a
//! simulation that used one could not be repeated.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts changes, and wakes the tasks that wait for the next one.
#[derive(Default)]
pub(crate) struct Signal {
    count: AtomicU64,
    changed: Notify,
}

impl Signal {
    /// How many changes there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Counts one more change. The caller has made the change before.
    pub(crate) fn change(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Returns once there were more changes than `count`.
    pub(crate) async fn past(&self, count: u64) {
        let mut changed = pin!(self.changed.notified());
        loop {
            // Registered before the check, so that no change falls between the two.
            changed.as_mut().enable();
            if self.count() != count {
                return;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_change_that_came_before_the_wait_is_not_missed() {
        let signal = Signal::default();
        let count = signal.count();
        signal.change();
        assert!(signal.past(count).now_or_never().is_some());
        assert!(signal.past(signal.count()).now_or_never().is_none());
    }
}

//! History that the log lacks because a snapshot has replaced it, and the tasks that wait until it is fetched.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::signal::Signal;

/// Whether history is missing.
pub(crate) struct BackfilledLog {
    /// What may still be missing; `None` if nothing is. Only the task that fetches waits for this.
    missing: watch::Sender<Option<Missing>>,
    /// All other tasks wait for this.
    moved: Signal,
    calls: AtomicU64,
}

/// A part of the history that other nodes may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    /// The lowest offset that is wanted.
    pub from: u64,
    /// The number of the call of [`BackfilledLog::fetch`] that has asked for it.
    number: u64,
}

impl BackfilledLog {
    pub(crate) fn new() -> Self {
        Self {
            missing: watch::Sender::new(None),
            moved: Signal::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// Asks for the history from `from` on, which may be missing because a snapshot has replaced the log.
    pub(crate) fn fetch(&self, from: u64) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.missing.send_replace(Some(Missing { from, number }));
        self.moved.change();
    }

    /// Shows what is missing, now and after each change; for the one task that fetches it.
    pub(crate) fn missing(&self) -> watch::Receiver<Option<Missing>> {
        self.missing.subscribe()
    }

    /// Whether history is being fetched.
    pub(crate) fn is_fetching(&self) -> bool {
        self.missing.borrow().is_some()
    }

    /// Returns `true` when more history has come, or no more will come. Returns `false` at once when `offset` (0: the
    /// earliest that will be available) is not being fetched.
    pub(crate) async fn progress(&self, offset: u64) -> bool {
        let moves = self.moved.count();
        let is_coming = self
            .missing
            .borrow()
            .is_some_and(|missing| offset == 0 || offset >= missing.from);
        if is_coming {
            self.moved.past(moves).await;
        }
        is_coming
    }

    /// More history has come.
    pub(crate) fn advanced(&self) {
        self.moved.change();
    }

    /// All available history of `missing` has come; another snapshot may have come meanwhile.
    pub(crate) fn done(&self, missing: &Missing) {
        self.missing.send_if_modified(|current| {
            let is_done = current.is_some_and(|current| current.number == missing.number);
            if is_done {
                *current = None;
            }
            is_done
        });
        self.moved.change();
    }
}

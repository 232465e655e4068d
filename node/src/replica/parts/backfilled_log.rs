//! What the log lacks of its history because a snapshot has replaced it, and what waits for that to be fetched.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::signal::Signal;

/// Whether history is missing.
pub(crate) struct BackfilledLog {
    /// What may still be missing; `None`: nothing is. Only the task that fetches waits for it.
    missing: watch::Sender<Option<Missing>>,
    /// Everybody else waits for this.
    moved: Signal,
    calls: AtomicU64,
}

/// A part of the history that others may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    /// The lowest offset that is wanted.
    pub from: u64,
    /// Which of all calls of [`BackfilledLog::fetch`] this was.
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

    /// BackfilledLog from `from` on may be missing, because a snapshot has replaced the log: fetch it.
    pub(crate) fn fetch(&self, from: u64) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.missing.send_replace(Some(Missing { from, number }));
        self.moved.change();
    }

    /// Tells the one task that fetches what is missing, now and whenever that changes.
    pub(crate) fn missing(&self) -> watch::Receiver<Option<Missing>> {
        self.missing.subscribe()
    }

    /// Whether history is being fetched.
    pub(crate) fn is_fetching(&self) -> bool {
        self.missing.borrow().is_some()
    }

    /// Returns when more has come, or nothing more will; at once when `offset` (0: the earliest
    /// that there will be) is not being fetched, with `false`.
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

    /// More has come.
    pub(crate) fn advanced(&self) {
        self.moved.change();
    }

    /// All that there is of what was `missing` has come; another snapshot may have come meanwhile.
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

//! Log lines about changes of the applied state that operators must know.

use std::sync::atomic::{AtomicBool, Ordering};

use rstmdb_engine::State;

/// The newest states that log lines have reported.
#[derive(Default)]
pub(super) struct Notices {
    paused: AtomicBool,
}

impl Notices {
    /// Looks at the state after something was applied or installed.
    pub(super) fn look(&self, state: &State) {
        let paused = state.is_paused();
        if self.paused.swap(paused, Ordering::Relaxed) == paused {
            return;
        }
        let automation = state.automation();
        let (since_ms, reason, by) = (automation.since_ms, automation.reason, automation.by);
        if paused {
            tracing::warn!(
                since_ms,
                reason,
                by,
                "AUTOMATION IS PAUSED: the database does nothing by itself until `rstmdb-cli automation resume`"
            );
        } else {
            tracing::info!(since_ms, reason, by, "automation runs again");
        }
    }
}

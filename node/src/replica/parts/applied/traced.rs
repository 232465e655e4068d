//! The entries in flight whose requests are traced, so that the log and apply can say how far each has come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::replica::types::trace::{Stage, Traced};

/// The records by the offset that was predicted for each entry. While no traced entry is in flight, each call costs one
/// load. Bounded by what the proposer has in flight.
#[derive(Default)]
pub(crate) struct TracedEntries {
    count: AtomicUsize,
    waiting: Mutex<VecDeque<(u64, Traced)>>,
}

impl TracedEntries {
    /// Keeps the record of the entry that is predicted at `offset`, behind those kept before. Called before the entry is
    /// handed to Raft.
    pub(crate) fn keep(&self, offset: u64, trace: Traced) {
        let mut waiting = self.waiting.lock();
        waiting.push_back((offset, trace));
        self.count.store(waiting.len(), Ordering::Release);
    }

    /// The log has all entries up to `offset`.
    pub(crate) fn flushed(&self, offset: u64) {
        self.reached(offset, Stage::Flushed);
    }

    /// All entries up to `offset` have reached this stage.
    pub(crate) fn reached(&self, offset: u64, stage: Stage) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let waiting = self.waiting.lock();
        let up_to = waiting.iter().take_while(|(at, _)| *at <= offset);
        up_to.for_each(|(_, trace)| trace.reached(stage));
    }

    /// All entries up to `offset` are applied, so nothing more is recorded of them.
    pub(crate) fn applied(&self, offset: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut done = Vec::new();
        {
            let mut waiting = self.waiting.lock();
            while let Some((_, trace)) = waiting.pop_front_if(|(at, _)| *at <= offset) {
                done.push(trace);
            }
            self.count.store(waiting.len(), Ordering::Release);
        }
        done.iter().for_each(|trace| trace.reached(Stage::Applied));
    }

    /// Forgets everything: nothing is in flight any more.
    pub(crate) fn forget(&self) {
        let mut waiting = self.waiting.lock();
        self.count.store(0, Ordering::Release);
        let forgotten = std::mem::take(&mut *waiting);
        drop(waiting);
        drop(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::replica::types::trace::RequestTrace;

    #[derive(Debug, Default)]
    struct Noted(Mutex<Vec<Stage>>);

    impl RequestTrace for Noted {
        fn reached(&self, stage: Stage) {
            self.0.lock().push(stage);
        }

        fn took_effect(&self, _: u64) {}

        fn trace_id(&self) -> &str {
            ""
        }

        fn traceparent(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn entries_are_told_of_stages_up_to_their_offset_and_forgotten_once_applied() {
        let (first, second) = (Arc::new(Noted::default()), Arc::new(Noted::default()));
        let entries = TracedEntries::default();
        entries.keep(3, first.clone());
        entries.keep(5, second.clone());
        entries.reached(4, Stage::Flushed);
        entries.applied(4);
        entries.reached(9, Stage::Flushed);
        assert_eq!(*first.0.lock(), [Stage::Flushed, Stage::Applied]);
        assert_eq!(*second.0.lock(), [Stage::Flushed]);
        assert_eq!(Arc::strong_count(&first), 1);
        entries.forget();
        entries.applied(9);
        assert_eq!(*second.0.lock(), [Stage::Flushed]);
        assert_eq!(Arc::strong_count(&second), 1);
    }
}

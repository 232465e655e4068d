//! What a watch delivers.

use std::sync::Arc;

use rstmdb_engine::fact::{ApplyEvent, Entry};

use super::hub::WatchFact;

/// One event of a watch. Cheap to clone: it borrows from the log entry it came from.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// The log index of the entry.
    pub offset: u64,
    pub(super) entry: Arc<Entry>,
    pub(super) fact: usize,
}

impl WatchEvent {
    /// What the watch is told. A watch makes an event only of a fact for which this is something.
    #[must_use]
    pub fn told(&self) -> Option<WatchFact<'_>> {
        WatchFact::of(self.entry.facts.get(self.fact)?)
    }

    /// The fact, if it is an event: instance, event, states, payload and new context.
    #[must_use]
    pub fn event(&self) -> Option<&ApplyEvent> {
        match self.told()? {
            WatchFact::Event(event) => Some(event),
            WatchFact::Created(_)
            | WatchFact::Deleted(_)
            | WatchFact::Spent(_)
            | WatchFact::Flushed => None,
        }
    }

    /// The entry, for who asked, when and why.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

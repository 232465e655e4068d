//! What a watch delivers.

use std::sync::Arc;

use bytes::Bytes;
use rstmdb_engine::fact::{ApplyEvent, Entry};

use super::hub::event_of;

/// One event of a watch. Cheap to clone: it borrows from the log entry it came from.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// The log index of the entry.
    pub offset: u64,
    pub(super) entry: Arc<Entry>,
    pub(super) fact: usize,
}

impl WatchEvent {
    /// The fact: instance, event, states, payload and new context.
    #[must_use]
    pub fn fact(&self) -> &ApplyEvent {
        match event_of(&self.entry.facts[self.fact]) {
            Some(event) => event,
            // `Watch` makes a `WatchEvent` only of facts for which `event_of` is `Some`,
            // and an entry behind an `Arc` does not change.
            None => unreachable!("a watch event is made of an apply_event fact"),
        }
    }

    /// The event's payload, if it had one.
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.fact().payload.as_ref()
    }
}

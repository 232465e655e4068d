//! The idempotency table: which keys were used, at which offsets, and the part of a retry's answer that is kept in
//! memory.
//!
//! Bounded by time, by number and by bytes, oldest first, all as the entry says (the leader's
//! configuration), so every node forgets the same keys at the same offset. Each entry removes at
//! most [`FORGOTTEN_PER_ENTRY_MAX`]: a lowered bound never makes one apply take seconds. So a key's age
//! decides whether it counts, not its presence in the table. Its offset decides whether it belongs to the
//! present life of its instance (`View::key`). So the deletion of an instance with many keys need not touch
//! them.

pub(super) mod key_record;

use imbl::OrdMap;

use super::table::Table;
use crate::fact::KeyBounds;
use key_record::{KeyParts, KeyRecord};

/// More than one entry can add, so the table always shrinks back to its bounds.
const FORGOTTEN_PER_ENTRY_MAX: usize = 256;

#[derive(Clone)]
pub(crate) struct IdempotencyKeys {
    table: Table<KeyRecord>,
    /// Oldest first, by the place that each was given.
    pub(super) queue: OrdMap<u64, KeyRecord>,
    pub(super) next_place: u64,
    bytes: u64,
}

/// Whether a key that was used at `time_ms` still counts at `now_ms`.
pub(crate) fn remembered(time_ms: u64, now_ms: u64, retention_ms: u64) -> bool {
    now_ms < time_ms.saturating_add(retention_ms)
}

impl IdempotencyKeys {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(),
            queue: OrdMap::new(),
            next_place: 0,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// What all of them cost, by [`KeyRecord::cost`].
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&KeyRecord> {
        self.table.get(name)
    }

    /// Remembers; returns the record, and the forgotten one of the same key, if it was still there.
    pub(crate) fn insert(
        &mut self,
        parts: &KeyParts<'_>,
        buffer: &mut Vec<u8>,
    ) -> (KeyRecord, Option<KeyRecord>) {
        let record = KeyRecord::new(parts, self.next_place, buffer);
        self.next_place += 1;
        self.bytes += record.cost();
        self.queue.insert(record.place(), record.clone());
        let replaced = self.table.insert(record.clone());
        if let Some(replaced) = &replaced {
            self.queue.remove(&replaced.place());
            self.bytes -= replaced.cost();
        }
        (record, replaced)
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<KeyRecord> {
        let removed = self.table.remove(name)?;
        self.queue.remove(&removed.place());
        self.bytes -= removed.cost();
        Some(removed)
    }

    /// Removes the keys beyond the bounds.
    pub(crate) fn forget(&mut self, bounds: KeyBounds, now_ms: u64) -> Vec<KeyRecord> {
        let mut forgotten = Vec::new();
        while forgotten.len() < FORGOTTEN_PER_ENTRY_MAX {
            let Some((_, oldest)) = self.queue.get_min() else {
                break;
            };
            let too_many = self.len() as u64 > bounds.keys_max;
            let too_large = bounds.bytes_max != 0 && self.bytes > bounds.bytes_max;
            let too_old = !remembered(oldest.time_ms(), now_ms, bounds.retention_ms);
            if !(too_many || too_large || too_old) {
                break;
            }
            let oldest = oldest.clone();
            self.remove(oldest.name());
            forgotten.push(oldest);
        }
        forgotten
    }

    /// Oldest first, from a place on: a snapshot goes through it piece by piece.
    pub(crate) fn since(&self, place: u64) -> impl Iterator<Item = &KeyRecord> {
        self.queue.range(place..).map(|(_, record)| record)
    }
}

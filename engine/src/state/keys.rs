//! The idempotency table: which keys were used, and what the first call was answered.
//!
//! Bounded by time and by number, oldest first, both as the entry says (the leader's
//! configuration), so every node forgets the same keys at the same offset. Each entry removes at
//! most [`FORGOTTEN_PER_ENTRY_MAX`]: a lowered bound never makes one apply take seconds. Whether a key
//! counts is therefore asked by its age, not by its presence.

use std::sync::Arc;

use imbl::Vector;

use super::instance::Instance;
use super::table::{Keyed, Table};
use crate::fact::{CreateInstance, Key, KeyBounds};

/// More than one entry can add, so the table always shrinks back to its bounds.
const FORGOTTEN_PER_ENTRY_MAX: usize = 256;

/// What a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// CREATE_INSTANCE with an id.
    Create(&'a str),
    /// CREATE_INSTANCE without one.
    CreateOf(&'a str),
    Apply(&'a str),
    Delete(&'a str),
}

impl<'a> Scope<'a> {
    pub(crate) fn of_create(create: &'a CreateInstance, key: &Key) -> Self {
        match key.of_machine {
            true => Self::CreateOf(&create.machine),
            false => Self::Create(&create.instance_id),
        }
    }
}

/// Operation, scope and key as one unambiguous name.
pub(crate) fn key_name(scope: Scope<'_>, key: &str) -> Box<[u8]> {
    let (tag, owner) = match scope {
        Scope::Create(id) => (b'c', id),
        Scope::CreateOf(machine) => (b'm', machine),
        Scope::Apply(id) => (b'a', id),
        Scope::Delete(id) => (b'd', id),
    };
    let mut name = Vec::with_capacity(5 + owner.len() + key.len());
    name.push(tag);
    name.extend_from_slice(&(owner.len() as u32).to_le_bytes());
    name.extend_from_slice(owner.as_bytes());
    name.extend_from_slice(key.as_bytes());
    name.into_boxed_slice()
}

/// The result of the first call.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The instance as it was right after.
    Created(Instance),
    /// The instance as it was right after, and the state it came from.
    Applied { after: Instance, from: u16 },
    /// The id of what is no more.
    Deleted(Arc<str>),
}

#[derive(Clone, Debug)]
pub(crate) struct KeyRecord {
    pub(crate) name: Box<[u8]>,
    pub(crate) params_hash: u64,
    pub(crate) time_ms: u64,
    pub(crate) offset: u64,
    pub(crate) outcome: Outcome,
}

impl Keyed for KeyRecord {
    fn key(&self) -> &[u8] {
        &self.name
    }
}

#[derive(Clone)]
pub(crate) struct Keys {
    table: Table<Arc<KeyRecord>>,
    /// Oldest first; may still hold records that a later use of the same key replaced.
    queue: Vector<Arc<KeyRecord>>,
}

/// Whether a key of that time still counts.
pub(crate) fn remembered(time_ms: u64, now_ms: u64, retention_ms: u64) -> bool {
    now_ms < time_ms.saturating_add(retention_ms)
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(),
            queue: Vector::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<KeyRecord>> {
        self.table.get(name)
    }

    /// Remembers; returns the forgotten record of the same key, if it was still there.
    pub(crate) fn insert(&mut self, record: Arc<KeyRecord>) -> Option<Arc<KeyRecord>> {
        self.queue.push_back(record.clone());
        self.table.insert(record)
    }

    /// Removes what the bounds no longer cover.
    pub(crate) fn forget(&mut self, bounds: KeyBounds, now_ms: u64) -> Vec<Arc<KeyRecord>> {
        let mut forgotten = Vec::new();
        for _ in 0..FORGOTTEN_PER_ENTRY_MAX {
            let Some(oldest) = self.queue.front() else {
                break;
            };
            let replaced = !self.is_current(oldest);
            let too_many = self.table.len() as u64 > bounds.keys_max;
            let too_old = !remembered(oldest.time_ms, now_ms, bounds.retention_ms);
            if !(replaced || too_many || too_old) {
                break;
            }
            if let Some(oldest) = self.queue.pop_front()
                && !replaced
            {
                self.table.remove(&oldest.name);
                forgotten.push(oldest);
            }
        }
        forgotten
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.queue.iter().filter(|record| self.is_current(record))
    }

    /// The records of a part of the queue: a snapshot goes through it piece by piece.
    pub(crate) fn queue(&self) -> &Vector<Arc<KeyRecord>> {
        &self.queue
    }

    pub(crate) fn is_current(&self, record: &Arc<KeyRecord>) -> bool {
        self.table
            .get(&record.name)
            .is_some_and(|current| Arc::ptr_eq(current, record))
    }
}

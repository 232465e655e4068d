//! The idempotency table: which keys were used, where, and the little that a retry is told from memory.
//!
//! Bounded by time, by number and by bytes, oldest first, all as the entry says (the leader's
//! configuration), so every node forgets the same keys at the same offset. Each entry removes at
//! most [`FORGOTTEN_PER_ENTRY_MAX`]: a lowered bound never makes one apply take seconds. Whether a key
//! counts is therefore asked by its age, not by its presence; and by its offset, whether it is of the life
//! that its instance has now (`View::key`): a deletion of an instance with many keys touches none of them.

use imbl::OrdMap;

use super::key_record::{KeyRecord, Parts};
use super::table::Table;
use crate::fact::{Body, CreateInstance, Fact, Key, KeyBounds};

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

    /// The key of a fact, and what it belongs to.
    fn of_fact(fact: &'a Fact) -> Option<(Self, &'a Key)> {
        match fact.body.as_ref()? {
            Body::CreateInstance(create) => {
                let key = create.key.as_ref()?;
                Some((Self::of_create(create, key), key))
            }
            Body::ApplyEvent(apply) => Some((Self::Apply(&apply.instance_id), apply.key.as_ref()?)),
            Body::DeleteInstance(delete) => {
                Some((Self::Delete(&delete.instance_id), delete.key.as_ref()?))
            }
            Body::PutMachine(_) | Body::FlushAll(_) => None,
        }
    }
}

const CREATE: u8 = b'c';
const CREATE_OF: u8 = b'm';
const APPLY: u8 = b'a';
const DELETE: u8 = b'd';
/// The operation's letter and the owner's length.
const NAME_HEAD_BYTES: usize = 5;

/// Operation, scope and key as one unambiguous name.
pub(crate) fn key_name(scope: Scope<'_>, key: &str) -> Box<[u8]> {
    let (tag, owner) = match scope {
        Scope::Create(id) => (CREATE, id),
        Scope::CreateOf(machine) => (CREATE_OF, machine),
        Scope::Apply(id) => (APPLY, id),
        Scope::Delete(id) => (DELETE, id),
    };
    let mut name = Vec::with_capacity(NAME_HEAD_BYTES + owner.len() + key.len());
    name.push(tag);
    name.extend_from_slice(&(owner.len() as u32).to_le_bytes());
    name.extend_from_slice(owner.as_bytes());
    name.extend_from_slice(key.as_bytes());
    name.into_boxed_slice()
}

/// The name of a fact's key, where it has one.
pub(super) fn name_in(fact: &Fact) -> Option<Box<[u8]>> {
    Scope::of_fact(fact).map(|(scope, key)| key_name(scope, &key.key))
}

/// The instance a key of this name belongs to; None for one of a machine, and for what is no name.
pub(super) fn instance_in(name: &[u8]) -> Option<&str> {
    let owner = owner_in(name)?;
    (name[0] != CREATE_OF).then_some(owner)
}

fn owner_in(name: &[u8]) -> Option<&str> {
    let (head, rest) = name.split_at_checked(NAME_HEAD_BYTES)?;
    let bytes = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    std::str::from_utf8(rest.get(..bytes as usize)?).ok()
}

/// Whether [`key_name`] could have made it.
pub(super) fn is_name(name: &[u8]) -> bool {
    owner_in(name).is_some() && [CREATE, CREATE_OF, APPLY, DELETE].contains(&name[0])
}

pub(super) fn is_of_delete(name: &[u8]) -> bool {
    name.first() == Some(&DELETE)
}

pub(super) fn is_of_create(name: &[u8]) -> bool {
    matches!(name.first(), Some(&(CREATE | CREATE_OF)))
}

#[derive(Clone)]
pub(crate) struct Keys {
    table: Table<KeyRecord>,
    /// Oldest first, by the place that each was given.
    queue: OrdMap<u64, KeyRecord>,
    next_place: u64,
    bytes: u64,
}

/// Whether a key of that time still counts.
pub(crate) fn remembered(time_ms: u64, now_ms: u64, retention_ms: u64) -> bool {
    now_ms < time_ms.saturating_add(retention_ms)
}

impl Keys {
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
        parts: &Parts<'_>,
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

    /// Removes what the bounds no longer cover.
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

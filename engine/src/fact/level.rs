//! Feature levels: which version of the program can read what.
//!
//! A node cannot read a fact that its program does not know, and it loses a field that it does not know without
//! noticing; the copies would then differ. So the cluster has a *feature level*, which is replicated. The leader
//! writes nothing that needs more than the level, and raises the level only once every member understands more.
//!
//! [`SCHEMA`] is the one table of what belongs to which level. A field of `fact.proto` or `record.proto` that is not in
//! it fails a test.

mod schema;

use std::fmt;

use super::{Entry, Message};

pub use schema::{Row, SCHEMA, SNAPSHOT_SCHEMA};

/// The level of programs that knew no feature levels.
pub const FIRST: u32 = 1;
/// The highest level that this program understands.
pub const CURRENT: u32 = 2;

/// What a request can ask for and not every program understands. A row of [`SCHEMA`] is about bytes. A feature is about
/// their meaning, which may be new although the bytes are old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Headers, reason, correlation and causation of a write.
    Meta,
    /// The hash chain over applied entries.
    Chain,
    /// Pausing and resuming automation.
    Automation,
    /// Setting and resuming timers.
    Timers,
    /// Locks, and writes with a fence.
    Locks,
    /// Creating an instance in a state of its own.
    Import,
    /// Deleting versions of a machine.
    DeleteMachine,
    /// Definitions that say `"format": 2`.
    Format2,
    /// Emitted names, and the states passed on the way.
    Emits,
    /// Instance ids, event ids and keys that are longer than a name.
    LongIds,
    /// The machine and the last state of a deleted instance.
    DeletedState,
    /// Deleting an instance only if it has not changed.
    ConditionalDelete,
}

impl Feature {
    /// The level that it needs.
    #[must_use]
    pub const fn level(self) -> u32 {
        match self {
            Self::Meta
            | Self::Chain
            | Self::Automation
            | Self::Timers
            | Self::Locks
            | Self::Import
            | Self::DeleteMachine
            | Self::Format2
            | Self::Emits
            | Self::LongIds
            | Self::DeletedState
            | Self::ConditionalDelete => 2,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Meta => "metadata (headers, reason, correlation_id, causation_id)",
            Self::Chain => "the hash chain",
            Self::Automation => "AUTOMATION",
            Self::Timers => "TIMER_SET",
            Self::Locks => "a lock",
            Self::Import => "initial_state",
            Self::DeleteMachine => "DELETE_MACHINE",
            Self::Format2 => "a definition of format 2",
            Self::Emits => "emit",
            Self::DeletedState => "the last state of a deleted instance",
            Self::ConditionalDelete => "expected_wal_offset of DELETE_INSTANCE",
            Self::LongIds => "an id or key of more than 256 bytes",
        })
    }
}

/// The level that an entry needs to be read whole, by the fields that it holds. For checks: it encodes the entry.
#[must_use]
pub fn needed_by(entry: &Entry) -> u32 {
    needed(&entry.encode_to_vec(), "Entry", SCHEMA)
}

/// The level that a snapshot record needs to be read whole, by the fields that it holds.
#[must_use]
pub fn needed_by_record(record: &[u8]) -> u32 {
    needed(record, "Record", SNAPSHOT_SCHEMA)
}

/// The highest level of all fields in encoded bytes. A field without a row needs more than this program understands, and
/// so do bytes that are no message.
fn needed(bytes: &[u8], message: &str, schema: &[Row]) -> u32 {
    let mut level = FIRST;
    let mut rest = bytes;
    while !rest.is_empty() {
        let found = take_field(&mut rest).and_then(|(number, value)| {
            let row = schema
                .iter()
                .find(|row| row.message == message && row.number == number)?;
            let held = match (row.holds, value) {
                (Some(holds), Some(value)) => needed(value, holds, schema),
                _ => FIRST,
            };
            Some(held.max(row.level))
        });
        let Some(found) = found else {
            return CURRENT + 1;
        };
        level = level.max(found);
    }
    level
}

/// Takes the next field of a message: its number, and its bytes where it has a length.
fn take_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let tag = prost::encoding::decode_varint(rest).ok()?;
    let number = u32::try_from(tag >> 3).ok()?;
    let value = match tag & 7 {
        0 => {
            prost::encoding::decode_varint(rest).ok()?;
            None
        }
        1 => {
            take(rest, 8)?;
            None
        }
        2 => {
            let length = prost::encoding::decode_varint(rest).ok()?;
            Some(take(rest, usize::try_from(length).ok()?)?)
        }
        5 => {
            take(rest, 4)?;
            None
        }
        _ => return None,
    };
    Some((number, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests;

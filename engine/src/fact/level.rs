//! Feature levels: which version of the program can read what.
//!
//! A node cannot read a fact that its program does not know, and it loses a field that it does not know without
//! noticing; the copies would then differ. So the cluster has a *feature level*, which is replicated. The leader
//! writes nothing that needs more than the level, and raises the level only once every member understands more.
//!
//! [`SCHEMA`] is the one table of what belongs to which level. A field of `fact.proto` or `record.proto` that is not in
//! it fails a test.

use std::fmt;

use super::{Entry, Message};

/// The level of programs that knew no feature levels.
pub const FIRST: u32 = 1;
/// The highest level that this program understands.
pub const CURRENT: u32 = 2;

/// A field of the log or of snapshots, and the first level at which it may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The message that has it, as the schema names it.
    pub message: &'static str,
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'static str,
    /// The first level at which it may be written.
    pub level: u32,
    /// The message that it holds, where it holds one whose fields have rows of their own.
    pub holds: Option<&'static str>,
}

const fn row(message: &'static str, number: u32, name: &'static str, level: u32) -> Row {
    Row {
        message,
        number,
        name,
        level,
        holds: None,
    }
}

const fn holding(
    message: &'static str,
    number: u32,
    name: &'static str,
    level: u32,
    holds: &'static str,
) -> Row {
    Row {
        message,
        number,
        name,
        level,
        holds: Some(holds),
    }
}

/// What entries of the log hold: `fact.proto`. Rows of fields that the schema does not have yet keep their numbers
/// free.
pub const SCHEMA: &[Row] = &[
    row("Entry", 1, "index", 1),
    row("Entry", 2, "time_ms", 1),
    row("Entry", 3, "actor", 1),
    holding("Entry", 4, "key_bounds", 1, "KeyBounds"),
    holding("Entry", 5, "facts", 1, "Fact"),
    holding("Entry", 6, "meta", 2, "Meta"),
    row("KeyBounds", 1, "retention_ms", 1),
    row("KeyBounds", 2, "keys_max", 1),
    row("KeyBounds", 3, "bytes_max", 1),
    row("KeyBounds", 4, "of_lives", 1),
    holding("Fact", 1, "put_machine", 1, "PutMachine"),
    holding("Fact", 2, "create_instance", 1, "CreateInstance"),
    holding("Fact", 3, "apply_event", 1, "ApplyEvent"),
    holding("Fact", 4, "delete_instance", 1, "DeleteInstance"),
    holding("Fact", 5, "flush_all", 1, "FlushAll"),
    // It is what raises the level, so it is written at the level before. Only nodes that understand it get it.
    holding("Fact", 6, "set_level", 1, "SetLevel"),
    holding("Fact", 7, "set_automation", 2, "SetAutomation"),
    holding("Fact", 8, "timer_spent", 2, "TimerSpent"),
    holding("Fact", 9, "set_timers", 2, "SetTimers"),
    row("Key", 1, "key", 1),
    row("Key", 2, "params_hash", 1),
    row("Key", 3, "of_machine", 1),
    row("PutMachine", 1, "machine", 1),
    row("PutMachine", 2, "version", 1),
    row("PutMachine", 3, "definition", 1),
    row("PutMachine", 4, "checksum", 1),
    row("PutMachine", 5, "format", 2),
    row("CreateInstance", 1, "instance_id", 1),
    row("CreateInstance", 2, "machine", 1),
    row("CreateInstance", 3, "version", 1),
    row("CreateInstance", 4, "state", 1),
    row("CreateInstance", 5, "ctx", 1),
    row("CreateInstance", 6, "prev_offset", 1),
    holding("CreateInstance", 7, "key", 1, "Key"),
    row("CreateInstance", 8, "emits", 2),
    row("CreateInstance", 9, "via", 2),
    holding("CreateInstance", 10, "timers", 2, "Timers"),
    row("ApplyEvent", 1, "instance_id", 1),
    row("ApplyEvent", 2, "machine", 1),
    row("ApplyEvent", 3, "version", 1),
    row("ApplyEvent", 4, "event", 1),
    row("ApplyEvent", 5, "from_state", 1),
    row("ApplyEvent", 6, "to_state", 1),
    row("ApplyEvent", 7, "ctx", 1),
    row("ApplyEvent", 8, "payload", 1),
    row("ApplyEvent", 9, "event_id", 1),
    row("ApplyEvent", 10, "prev_offset", 1),
    holding("ApplyEvent", 11, "key", 1, "Key"),
    row("ApplyEvent", 12, "emits", 2),
    row("ApplyEvent", 13, "via", 2),
    holding("ApplyEvent", 14, "timers", 2, "Timers"),
    holding("ApplyEvent", 15, "fired", 2, "Fired"),
    row("Timers", 1, "entry", 2),
    holding("Timers", 2, "armed", 2, "Timer"),
    row("Timers", 3, "shift_ms", 2),
    row("Timers", 4, "minute_ms", 2),
    row("Timers", 5, "firings", 2),
    row("Timers", 6, "suspended", 2),
    row("Timer", 1, "name", 2),
    row("Timer", 2, "due_ms", 2),
    row("Timer", 3, "refusals", 2),
    row("Fired", 1, "name", 2),
    row("Fired", 2, "due_ms", 2),
    row("Fired", 3, "entry", 2),
    row("TimerSpent", 1, "instance_id", 2),
    row("TimerSpent", 2, "prev_offset", 2),
    holding("TimerSpent", 3, "fired", 2, "Fired"),
    row("TimerSpent", 4, "event", 2),
    row("TimerSpent", 5, "code", 2),
    row("TimerSpent", 6, "message", 2),
    holding("TimerSpent", 7, "timers", 2, "Timers"),
    row("TimerSpent", 8, "machine", 2),
    row("TimerSpent", 9, "version", 2),
    row("TimerSpent", 10, "state", 2),
    row("SetTimers", 1, "instance_id", 2),
    row("SetTimers", 2, "prev_offset", 2),
    holding("SetTimers", 3, "timers", 2, "Timers"),
    row("SetTimers", 4, "machine", 2),
    row("SetTimers", 5, "version", 2),
    row("SetTimers", 6, "state", 2),
    row("DeleteInstance", 1, "instance_id", 1),
    row("DeleteInstance", 2, "prev_offset", 1),
    row("DeleteInstance", 3, "keep_id", 1),
    holding("DeleteInstance", 4, "key", 1, "Key"),
    // The state before the fact has these too. They are here so that watches need not look them up.
    row("DeleteInstance", 5, "machine", 2),
    row("DeleteInstance", 6, "version", 2),
    row("DeleteInstance", 7, "from_state", 2),
    holding("DeleteInstance", 8, "fired", 2, "Fired"),
    row("SetLevel", 1, "level", 1),
    row("SetAutomation", 1, "paused", 2),
    row("SetAutomation", 2, "reason", 2),
    row("SetAutomation", 3, "skip_overdue", 2),
    row("SetAutomation", 4, "shift_timers", 2),
    holding("Meta", 1, "headers", 2, "Header"),
    row("Meta", 2, "reason", 2),
    row("Meta", 3, "correlation_id", 2),
    row("Meta", 4, "causation_id", 2),
    row("Header", 1, "name", 2),
    row("Header", 2, "value", 2),
];

/// What snapshots hold: `record.proto`, with the names of its messages.
pub const SNAPSHOT_SCHEMA: &[Row] = &[
    holding("Record", 1, "header", 1, "Header"),
    holding("Record", 2, "machine", 1, "Machine"),
    holding("Record", 3, "instances", 1, "Instances"),
    holding("Record", 4, "used_ids", 1, "UsedIds"),
    holding("Record", 5, "keys", 1, "Keys"),
    holding("Record", 6, "footer", 1, "Footer"),
    holding("Record", 7, "timers", 2, "Timers"),
    holding("Timers", 1, "items", 2, "InstanceTimers"),
    row("InstanceTimers", 1, "id", 2),
    row("InstanceTimers", 2, "entry", 2),
    holding("InstanceTimers", 3, "armed", 2, "Timer"),
    row("InstanceTimers", 4, "minute_ms", 2),
    row("InstanceTimers", 5, "firings", 2),
    row("InstanceTimers", 6, "suspended", 2),
    row("Timer", 1, "name", 2),
    row("Timer", 2, "kept_ms", 2),
    row("Timer", 3, "refusals", 2),
    row("Header", 1, "format", 1),
    row("Header", 2, "last_applied", 1),
    row("Header", 3, "last_time_ms", 1),
    row("Header", 4, "stale_offsets", 1),
    row("Header", 5, "instances", 1),
    row("Header", 6, "stale_known_from", 1),
    row("Header", 7, "level", 2),
    holding("Header", 9, "chain", 2, "Chain"),
    row("Chain", 1, "first", 2),
    row("Chain", 2, "last", 2),
    row("Chain", 3, "head", 2),
    holding("Chain", 4, "marks", 2, "Mark"),
    row("Mark", 1, "offset", 2),
    row("Mark", 2, "head", 2),
    holding("Header", 8, "automation", 2, "Automation"),
    row("Automation", 1, "paused", 2),
    row("Automation", 2, "since_ms", 2),
    row("Automation", 3, "reason", 2),
    row("Automation", 4, "by", 2),
    row("Automation", 5, "shift_ms", 2),
    row("Automation", 6, "skip_below_ms", 2),
    row("Machine", 1, "machine", 1),
    row("Machine", 2, "version", 1),
    row("Machine", 3, "definition", 1),
    row("Machine", 4, "format", 2),
    holding("Instances", 1, "items", 1, "Instance"),
    row("Instance", 1, "id", 1),
    row("Instance", 2, "machine", 1),
    row("Instance", 3, "state", 1),
    row("Instance", 4, "ctx", 1),
    row("Instance", 5, "created_ms", 1),
    row("Instance", 6, "updated_ms", 1),
    row("Instance", 7, "last_offset", 1),
    row("Instance", 8, "last_event_id", 1),
    row("Instance", 9, "created_offset", 1),
    holding("UsedIds", 1, "items", 1, "UsedId"),
    row("UsedId", 1, "id", 1),
    row("UsedId", 2, "last_offset", 1),
    holding("Keys", 1, "items", 1, "Key"),
    row("Key", 1, "name", 1),
    row("Key", 2, "params_hash", 1),
    row("Key", 3, "time_ms", 1),
    row("Key", 4, "offset", 1),
    holding("Key", 5, "after", 1, "After"),
    row("Key", 6, "deleted", 1),
    holding("Key", 7, "brief", 1, "Brief"),
    row("Brief", 1, "machine", 1),
    row("Brief", 2, "from_state", 1),
    row("Brief", 3, "to_state", 1),
    row("Brief", 4, "is_last", 1),
    row("Brief", 5, "instance_id", 1),
    holding("After", 1, "instance", 1, "Instance"),
    row("After", 2, "same_as", 1),
    row("After", 3, "from_state", 1),
    row("Footer", 1, "instances", 1),
    row("Footer", 2, "used_ids", 1),
    row("Footer", 3, "keys", 1),
    row("Footer", 4, "digest_high", 1),
    row("Footer", 5, "digest_low", 1),
    row("Footer", 6, "timers", 2),
];

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
    /// Definitions that say `"format": 2`.
    Format2,
    /// Emitted names, and the states passed on the way.
    Emits,
    /// Instance ids, event ids and keys that are longer than a name.
    LongIds,
    /// The machine and the last state of a deleted instance.
    DeletedState,
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
            | Self::Format2
            | Self::Emits
            | Self::LongIds
            | Self::DeletedState => 2,
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
            Self::Format2 => "a definition of format 2",
            Self::Emits => "emit",
            Self::DeletedState => "the last state of a deleted instance",
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

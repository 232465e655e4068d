//! What is answered; the node turns it into RCP's JSON.
//!
//! A reply of a write carries its own offset: in a batch, an operation whose idempotency key was
//! seen before answers with the offset of the first call.

use std::sync::Arc;

use bytes::Bytes;

use crate::definition::Warning;

/// The answer to a command or a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A machine version is defined.
    PutMachine {
        /// The machine's name.
        machine: Arc<str>,
        /// Its version.
        version: u32,
        /// SHA-256 of the stored definition's text, in hex.
        checksum: Arc<str>,
        /// False when the same definition was there already.
        created: bool,
        /// What the definition's author should look at.
        warnings: Arc<[Warning]>,
    },
    /// An instance was created.
    Created {
        /// The instance's id.
        instance_id: Arc<str>,
        /// The initial state.
        state: Arc<str>,
        /// The offset of its creation.
        wal_offset: u64,
    },
    /// An event moved an instance.
    Applied {
        /// The state before.
        from_state: Arc<str>,
        /// The state after.
        to_state: Arc<str>,
        /// The whole context after.
        ctx: Bytes,
        /// False when an idempotency key replays the first call's result.
        applied: bool,
        /// The event's id, where one was given.
        event_id: Option<Arc<str>>,
        /// The offset of the event.
        wal_offset: u64,
    },
    /// An instance was deleted.
    Deleted {
        /// The instance's id.
        instance_id: Arc<str>,
        /// The offset of the deletion.
        wal_offset: u64,
    },
    /// Everything was removed.
    Flushed {
        /// How many instances there were.
        instances_removed: u64,
        /// How many machine versions there were.
        machines_removed: u64,
    },
    /// One instance.
    Instance(InstanceView),
    /// A page of instances.
    Instances {
        /// The page, by id.
        items: Vec<InstanceSummary>,
        /// How many match in all.
        total: u64,
        /// Whether more follow this page.
        has_more: bool,
    },
    /// One machine.
    Machine {
        /// The machine's name.
        machine: Arc<str>,
        /// Its version.
        version: u32,
        /// The definition's text, as put.
        definition: Bytes,
        /// SHA-256 of that text, in hex.
        checksum: Arc<str>,
    },
    /// A page of machines.
    Machines {
        /// The page, by name.
        items: Vec<MachineSummary>,
    },
    /// The replies to the operations of a batch, in their order.
    Batch(Vec<Reply>),
}

/// One instance, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Its id.
    pub instance_id: Arc<str>,
    /// Its machine's name.
    pub machine: Arc<str>,
    /// Its machine's version.
    pub version: u32,
    /// Its current state.
    pub state: Arc<str>,
    /// Its context, JSON text.
    pub ctx: Bytes,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// When it last changed, Unix milliseconds.
    pub updated_ms: u64,
    /// The id of its last event, where one was given.
    pub last_event_id: Option<Arc<str>>,
    /// The offset of its last fact.
    pub last_wal_offset: u64,
}

/// One instance in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSummary {
    /// Its id.
    pub id: Arc<str>,
    /// Its machine's name.
    pub machine: Arc<str>,
    /// Its machine's version.
    pub version: u32,
    /// Its current state.
    pub state: Arc<str>,
    /// When it was created, Unix milliseconds.
    pub created_ms: u64,
    /// When it last changed, Unix milliseconds.
    pub updated_ms: u64,
    /// The offset of its last fact.
    pub last_wal_offset: u64,
}

/// One machine in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSummary {
    /// Its name.
    pub machine: Arc<str>,
    /// Its versions, ascending.
    pub versions: Vec<u32>,
}

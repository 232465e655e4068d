//! What is answered; the node turns it into RCP's JSON.
//!
//! A reply of a write carries its own offset: in a batch, an operation whose idempotency key was
//! seen before answers with the offset of the first call.

mod asked;
mod locks;
mod timers;

use std::sync::Arc;

use bytes::Bytes;

use super::refusal::Refusal;
use crate::fact::{Body, Entry, NO_OFFSET};
use crate::machine::definition::Warning;

pub use asked::{AllowedEvent, AllowedEvents, AlwaysTried};
pub use locks::{LockExpiry, LockReply, LockView};
pub use timers::{Firing, TimerListed, TimerPlace, TimerView};

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
    /// Versions of a machine were deleted.
    MachineDeleted {
        /// The machine's name.
        machine: Arc<str>,
        /// The versions, ascending.
        versions: Vec<u32>,
        /// The offset of the deletion.
        wal_offset: u64,
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
    /// An idempotency key repeats an event whose context is not at hand: [`Reply::complete`] finds it in the
    /// log. If the log no longer has it, the client gets what this reply holds.
    Replayed {
        /// The instance's id.
        instance_id: Arc<str>,
        /// The key.
        idempotency_key: Arc<str>,
        /// The state before.
        from_state: Arc<str>,
        /// The state after.
        to_state: Arc<str>,
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
    /// The feature level is, or was raised to, `to`.
    LevelSet {
        /// The level before.
        from: u32,
        /// The level now.
        to: u32,
    },
    /// The state of automation now.
    Automation {
        /// Whether it is paused.
        paused: bool,
        /// Since when, Unix milliseconds; 0 when it was never paused.
        since_ms: u64,
        /// Why; may be empty.
        reason: Arc<str>,
        /// The offset of the fact that set it so; `None` when nothing was changed.
        wal_offset: Option<u64>,
    },
    /// The timers of an instance, as they were set.
    TimersSet {
        /// The instance's id.
        instance_id: Arc<str>,
        /// Its timers now.
        timers: Vec<TimerView>,
        /// Whether this call has changed something. False also when the key says that an earlier one has.
        applied: bool,
        /// The offset of the fact that set them; `None` when nothing was changed.
        wal_offset: Option<u64>,
    },
    /// What became of a timer.
    Fired(Firing),
    /// A page of timers, in the order in which they are due.
    Timers {
        /// The page.
        items: Vec<TimerListed>,
        /// Behind which the next page begins, if there is one.
        next: Option<TimerPlace>,
        /// How many timers there are, of all machines.
        armed: u64,
        /// How many of them are overdue; counted up to [`TIMERS_OVERDUE_COUNTED_MAX`].
        ///
        /// [`TIMERS_OVERDUE_COUNTED_MAX`]: crate::limits::TIMERS_OVERDUE_COUNTED_MAX
        overdue: u64,
    },
    /// About locks.
    Lock(LockReply),
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
        /// SHA-256 of the definition's text, in hex.
        checksum: Arc<str>,
        /// The format as which the definition is read.
        format: u32,
        /// What the definition's author should look at; known of format 2 only.
        warnings: Arc<[Warning]>,
    },
    /// A page of machines.
    Machines {
        /// The page, by name.
        items: Vec<MachineSummary>,
    },
    /// What the events of an instance's state would do.
    AllowedEvents(AllowedEvents),
    /// The replies to the operations of a batch, in their order.
    Batch(Vec<Reply>),
    /// What a command would answer and do.
    DryRun(Box<Trial>),
    /// In a dry run: an operation that stands alone. With an entry: the command; the entry says what its client gives up.
    Refused(Box<Refusal>),
}

impl Reply {
    /// The last offset of the log that [`Reply::complete`] asks for; none where nothing is missing.
    pub fn incomplete_to(&self) -> Option<u64> {
        match self {
            Self::Replayed { wal_offset, .. } => Some(*wal_offset).filter(|at| *at != NO_OFFSET),
            Self::DryRun(trial) => trial.reply.incomplete_to(),
            Self::Batch(replies) => replies.iter().filter_map(Self::incomplete_to).max(),
            _ => None,
        }
    }

    /// Gives repeated events their contexts, from the entries that `entry` finds by their offsets, until these
    /// contexts have more than `bytes` in sum. Subtracts what they have.
    pub fn complete(&mut self, bytes: &mut usize, entry: &mut dyn FnMut(u64) -> Option<Entry>) {
        if let Self::Batch(replies) = self {
            for reply in replies {
                reply.complete(bytes, entry);
            }
            return;
        }
        if let Self::DryRun(trial) = self {
            return trial.reply.complete(bytes, entry);
        }
        let Self::Replayed {
            instance_id,
            idempotency_key,
            from_state,
            to_state,
            event_id,
            wal_offset,
        } = self
        else {
            return;
        };
        if *bytes == 0 {
            return;
        }
        let found = entry(*wal_offset);
        let Some(ctx) = found.and_then(|entry| ctx_in(&entry, instance_id, idempotency_key)) else {
            return;
        };
        *bytes = bytes.saturating_sub(ctx.len());
        *self = Self::Applied {
            from_state: from_state.clone(),
            to_state: to_state.clone(),
            ctx,
            applied: false,
            event_id: event_id.take(),
            wal_offset: *wal_offset,
        };
    }
}

/// The context that the event with this key left; the last one, if the instance had several lives in the entry.
pub fn ctx_in(entry: &Entry, instance_id: &str, key: &str) -> Option<Bytes> {
    entry.facts.iter().rev().find_map(|fact| match &fact.body {
        Some(Body::ApplyEvent(apply))
            if apply.instance_id == *instance_id
                && apply.key.as_ref().is_some_and(|used| used.key == *key) =>
        {
            Some(apply.ctx.clone())
        }
        _ => None,
    })
}

/// What a command would answer and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The answer. An offset that it does not have is [`NO_OFFSET`].
    pub reply: Reply,
    /// The id of the instance was drawn for this answer only.
    pub id_drawn: bool,
    /// An idempotency key is known, and the reply is the first call's answer.
    pub replayed: bool,
    /// What it would do to its instance; `None` if it is about none.
    pub would: Option<Would>,
}

/// What a command would do to its instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Would {
    /// The fields of the context that get a new value, in their order.
    pub set: Vec<String>,
    /// The fields of the context that go.
    pub unset: Vec<String>,
    /// Timers that are set or moved.
    pub armed: Vec<String>,
    /// Timers that go.
    pub disarmed: Vec<String>,
    /// What it emits.
    pub emits: Vec<String>,
    /// The states that it passes without an event.
    pub via: Vec<String>,
    /// The context of the instance that it creates.
    pub ctx: Option<Bytes>,
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
    /// Its timers, by name.
    pub timers: Vec<TimerView>,
    /// Too many of its timers have fired in a minute: none fires until they are resumed.
    pub timers_suspended: bool,
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
    /// The format of its highest version.
    pub format: u32,
    /// How many warnings its highest version has; 0 in format 1.
    pub warning_count: usize,
}

//! What a client asks for, as owned plain data.

mod locks;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::refusal::Refusal;
use super::reply::TimerPlace;
use crate::fact::Header;

pub use locks::{AcquireLock, ExpireLock, ListLocks, LockCommand, ReleaseLock, RenewLock};

/// A request that may change the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Define a version of a machine.
    PutMachine(PutMachine),
    /// Delete versions of a machine.
    DeleteMachine(DeleteMachine),
    /// Create an instance.
    CreateInstance(CreateInstance),
    /// Apply an event to an instance.
    ApplyEvent(ApplyEvent),
    /// Delete an instance.
    DeleteInstance(DeleteInstance),
    /// Remove everything.
    FlushAll,
    /// Raise the feature level. The leader submits it only once every member understands the level.
    SetLevel {
        /// The level.
        level: u32,
    },
    /// Pause automation, or let it run.
    SetAutomation(SetAutomation),
    /// Set, move, disarm or resume the timers of an instance.
    SetTimers(SetTimers),
    /// Fire a timer. Only the leader submits it, for itself.
    FireTimer(FireTimer),
    /// Acquire, renew, release or expire a lock.
    Lock(LockCommand),
    /// Several operations that take effect at one offset, or not at all.
    Batch(Vec<BatchOp>),
    /// Tell what a command would do, and do nothing.
    DryRun(Box<DryRun>),
}

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// A command.
    Whole(Command),
    /// Operations one after the other, each of which takes effect or is refused on its own. One that its node has
    /// refused already keeps its place.
    EachAlone(Vec<Result<BatchOp, Refusal>>),
}

/// A part of what is asked for.
#[derive(Clone, Copy, Debug)]
pub enum AskedPart<'a> {
    /// It may write.
    Write(&'a Command),
    /// It looks something up.
    Read(&'a Query),
}

impl<'a> From<&'a BatchOp> for AskedPart<'a> {
    fn from(op: &'a BatchOp) -> Self {
        match op {
            BatchOp::Write(command) => Self::Write(command),
            BatchOp::Read(query) => Self::Read(query),
        }
    }
}

impl DryRun {
    /// Its operations, in their order.
    pub fn parts(&self) -> impl Iterator<Item = AskedPart<'_>> {
        let (single, batch, alone) = match self {
            Self::Whole(Command::Batch(ops)) => (None, &ops[..], &[][..]),
            Self::Whole(command) => (Some(AskedPart::Write(command)), &[][..], &[][..]),
            Self::EachAlone(ops) => (None, &[][..], &ops[..]),
        };
        let alone = alone.iter().filter_map(|op| op.as_ref().ok());
        let ops = batch.iter().chain(alone).map(AskedPart::from);
        single.into_iter().chain(ops)
    }
}

/// One operation of an atomic batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOp {
    /// A write; a nested batch and FLUSH_ALL are refused.
    Write(Command),
    /// A read, which sees the operations before it.
    Read(Query),
}

/// Define a version of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutMachine {
    /// The machine's name.
    pub machine: String,
    /// The version, from 1.
    pub version: u32,
    /// The definition: JSON text, kept byte for byte.
    pub definition: Bytes,
    /// SHA-256 of the definition's text in hex, checked when given.
    pub checksum: Option<String>,
}

/// Delete a version of a machine, or all of them. Refused while an instance has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteMachine {
    /// The machine's name.
    pub machine: String,
    /// The version; all of them if absent.
    pub version: Option<u32>,
}

/// Create an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateInstance {
    /// The instance's id.
    pub instance_id: String,
    /// False when the node generated the id: an idempotency key then belongs to the machine.
    pub id_given: bool,
    /// The machine's name.
    pub machine: String,
    /// The machine's version; 0: the highest.
    pub version: u32,
    /// The first context, a JSON object; `{}` when absent.
    pub initial_ctx: Option<Bytes>,
    /// Makes a retry take effect once.
    pub idempotency_key: Option<String>,
    /// For an import: the state and the times that the instance has in another system.
    pub import: Option<Box<Import>>,
}

/// The state and the times that an imported instance has in another system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The state in which it is created, without any event or `always`. Nothing is emitted.
    pub state: String,
    /// When it was created there, Unix milliseconds. If absent, it counts as created when it was changed last.
    pub created_ms: Option<u64>,
    /// When it was changed last there, Unix milliseconds. If absent, this is the time of the decision.
    pub updated_ms: Option<u64>,
}

/// Apply an event to an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyEvent {
    /// The instance's id.
    pub instance_id: String,
    /// The event's name.
    pub event: String,
    /// A JSON object whose top-level keys replace those of the context; null counts as absent.
    pub payload: Option<Bytes>,
    /// Refuse unless the instance is in this state.
    pub expected_state: Option<String>,
    /// Refuse unless this is the offset of the instance's last fact.
    pub expected_wal_offset: Option<u64>,
    /// A name for this event, kept with the instance.
    pub event_id: Option<String>,
    /// Makes a retry take effect once.
    pub idempotency_key: Option<String>,
    /// A JSON object: what becomes of the timers of the state that the event leads to, by their names.
    pub timers: Option<Bytes>,
}

/// Delete an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteInstance {
    /// The instance's id.
    pub instance_id: String,
    /// Refuse unless this is the offset of the instance's last fact.
    pub expected_wal_offset: Option<u64>,
    /// Makes a retry take effect once.
    pub idempotency_key: Option<String>,
}

/// Pause automation, or let it run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetAutomation {
    /// Whether it is to be paused.
    pub paused: bool,
    /// Why, for people.
    pub reason: Option<String>,
    /// Only when it is resumed: actions that became due during the pause do not happen.
    pub skip_overdue: bool,
    /// Only when it is resumed: all future times move by the length of the pause.
    pub shift_timers: bool,
}

/// Set, move, disarm or resume the timers of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetTimers {
    /// The instance's id.
    pub instance_id: String,
    /// A JSON object: what becomes of the timers of its state, by their names.
    pub timers: Option<Bytes>,
    /// Let them fire again after too many have.
    pub resume: bool,
    /// Refuse unless the instance is in this state.
    pub expected_state: Option<String>,
    /// Refuse unless this is the offset of the instance's last fact.
    pub expected_wal_offset: Option<u64>,
    /// Makes a retry take effect once.
    pub idempotency_key: Option<String>,
}

/// A timer whose time has come: its instance, the offset of the entry into the state, its name, and its time tell it
/// from every other.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FireTimer {
    /// The instance's id.
    pub instance_id: String,
    /// The offset of the fact that entered the state.
    pub entry: u64,
    /// The timer's name.
    pub name: String,
    /// When it is due, Unix milliseconds.
    pub due_ms: u64,
}

/// A page of timers, in the order in which they are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListTimers {
    /// Only those of instances of this machine (any version).
    pub machine: Option<String>,
    /// Only those that are due before this time, Unix milliseconds.
    pub due_before_ms: Option<u64>,
    /// Only those that do not fire because too many of their instance have; by instance. Otherwise only those that do.
    pub suspended: bool,
    /// At most this many: 100 when absent, never more than 1000.
    pub limit: Option<u64>,
    /// Only those behind this one.
    pub after: Option<TimerPlace>,
    /// The log's time for a decision at this moment, Unix milliseconds, for the number of those that are overdue. The
    /// last time in the log counts if it is later.
    pub now_ms: u64,
}

/// A request that only reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One instance.
    GetInstance {
        /// The instance's id.
        instance_id: String,
    },
    /// A page of instances, by id.
    ListInstances(ListInstances),
    /// A page of timers.
    ListTimers(ListTimers),
    /// One lock.
    GetLock {
        /// The lock's name.
        name: String,
        /// The log's time: a lock that has expired by then is free. [`Query::ask_as`] sets it.
        now_ms: u64,
    },
    /// A page of locks, by name.
    ListLocks(ListLocks),
    /// What each event of an instance's state would do.
    AllowedEvents {
        /// The instance's id.
        instance_id: String,
        /// A JSON object with a payload by event; null counts as absent.
        payloads: Option<Bytes>,
        /// What the client would say about the write.
        headers: Vec<Header>,
        /// Who asks. Not looked at within a batch, which has an actor and a time of its own.
        asker: Asker,
    },
    /// One machine's definition.
    GetMachine {
        /// The machine's name.
        machine: String,
        /// The highest version when absent.
        version: Option<u32>,
    },
    /// A page of machines, by name.
    ListMachines {
        /// At most this many; all when absent.
        limit: Option<u64>,
        /// How many to pass over first.
        offset: Option<u64>,
    },
}

/// Who asks, and when: what a guard of format 2 may name besides the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Empty without authentication.
    pub actor: Arc<str>,
    /// The log's time for a decision at this moment, Unix milliseconds. The last time in the log counts if it is later.
    pub now_ms: u64,
}

impl Query {
    /// Says who asks, and when.
    pub fn ask_as(&mut self, actor: &Arc<str>, now_ms: impl FnOnce() -> u64) {
        match self {
            Self::AllowedEvents { asker, .. } => {
                *asker = Asker {
                    actor: actor.clone(),
                    now_ms: now_ms(),
                };
            }
            Self::ListTimers(list) => list.now_ms = now_ms(),
            // The time of the log says whether a lock has expired. The clock of the node that is asked may be wrong.
            Self::GetLock { .. }
            | Self::ListLocks(_)
            | Self::GetInstance { .. }
            | Self::ListInstances(_)
            | Self::GetMachine { .. }
            | Self::ListMachines { .. } => {}
        }
    }

    /// Whether it lists instances or machines: it reads more than what it names.
    pub fn lists(&self) -> bool {
        matches!(
            self,
            Self::ListInstances(_)
                | Self::ListMachines { .. }
                | Self::ListTimers(_)
                | Self::ListLocks(_)
        )
    }

    /// Whether it is answered with what it names, as it is: at once.
    pub fn is_light(&self) -> bool {
        matches!(
            self,
            Self::GetInstance { .. } | Self::GetMachine { .. } | Self::GetLock { .. }
        )
    }
}

/// A page of instances, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListInstances {
    /// Only instances of this machine (any version).
    pub machine: Option<String>,
    /// Only instances in this state.
    pub state: Option<String>,
    /// At most this many: 100 when absent, never more than 1000.
    pub limit: Option<u64>,
    /// How many matches to pass over first.
    pub offset: Option<u64>,
    /// Only ids after this one.
    pub after: Option<String>,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutMachine(put) => write!(f, "put machine {} v{}", put.machine, put.version),
            Self::DeleteMachine(delete) => {
                write!(f, "delete machine {}", delete.machine)?;
                delete
                    .version
                    .map_or(Ok(()), |version| write!(f, " v{version}"))
            }
            Self::CreateInstance(create) => write!(
                f,
                "create {} of {} v{}",
                create.instance_id, create.machine, create.version
            ),
            Self::ApplyEvent(apply) => write!(f, "apply {} to {}", apply.event, apply.instance_id),
            Self::DeleteInstance(delete) => write!(f, "delete {}", delete.instance_id),
            Self::FlushAll => f.write_str("flush all"),
            Self::SetLevel { level } => write!(f, "raise the feature level to {level}"),
            Self::SetAutomation(set) => f.write_str(match set.paused {
                true => "pause automation",
                false => "resume automation",
            }),
            Self::SetTimers(set) => write!(f, "set timers of {}", set.instance_id),
            Self::FireTimer(fire) => write!(
                f,
                "fire {} of {}, due at {}",
                fire.name, fire.instance_id, fire.due_ms
            ),
            Self::Lock(lock) => write!(f, "{lock}"),
            Self::Batch(ops) => write!(f, "batch of {}", ops.len()),
            Self::DryRun(asked) => match &**asked {
                DryRun::Whole(command) => write!(f, "dry run of {command}"),
                DryRun::EachAlone(ops) => write!(f, "dry run of {} alone", ops.len()),
            },
        }
    }
}

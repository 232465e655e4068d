//! Why a command or a query is refused: a value with everything that the client gets.

mod details;
mod guards;
mod locks;
mod offset;

use serde_json::{Value, json};

use crate::fact::level::Feature;
use crate::machine::definition::DefinitionFault;
use crate::machine::guard::Tried;

pub(crate) use guards::GuardTexts;
use guards::with_errors;
pub use locks::LockRefusal;
use offset::Offset;

/// A refusal. Its `Display` is for people: it names the field, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not valid.
    #[error("{message}")]
    BadRequest {
        /// The field at fault, where there is one.
        field: Option<String>,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// There is no such machine, or no such version of it.
    #[error("machine {machine:?}{} is not defined", .version.map(|v| format!(" version {v}")).unwrap_or_default())]
    MachineNotFound {
        /// The name asked for.
        machine: String,
        /// The version asked for.
        version: Option<u32>,
    },
    /// The version is defined, differently.
    #[error(
        "machine {machine:?} version {version} is already defined differently; put a new version"
    )]
    MachineVersionExists {
        /// The machine's name.
        machine: String,
        /// The version.
        version: u32,
    },
    /// The machine has as many versions as is allowed.
    #[error(
        "machine {machine:?} already has {versions} versions; at most {versions_max} are allowed (storage.max_machine_versions)"
    )]
    MachineVersionLimitExceeded {
        /// The machine's name.
        machine: String,
        /// How many it has. More than the limit if that was lowered.
        versions: u64,
        /// The limit.
        versions_max: u32,
    },
    /// Instances have the versions that are to be deleted.
    #[error("machine {machine:?} is in use: {}; delete these instances first", in_use(.used))]
    MachineInUse {
        /// The machine's name.
        machine: String,
        /// The versions in use, each with how many instances have it.
        used: Vec<(u32, u64)>,
    },
    /// There is no such instance, or it was deleted.
    #[error("instance {instance_id:?} does not exist")]
    InstanceNotFound {
        /// The id asked for.
        instance_id: String,
    },
    /// The client may not do this.
    #[error("this needs the verb {verb}{}, which no role of this client has", of_machine(.machine.as_deref()))]
    Forbidden {
        /// What it would have to be allowed.
        verb: &'static str,
        /// The machine, if it is about one.
        machine: Option<String>,
    },
    /// The id is taken.
    #[error("instance {instance_id:?} already exists, or existed and ids must not be used again")]
    InstanceExists {
        /// The id asked for.
        instance_id: String,
    },
    /// The machine has no transition for this event from this state.
    #[error("event {event:?} is not possible in state {current_state:?}")]
    InvalidTransition {
        /// The instance's state.
        current_state: String,
        /// The event asked for.
        event: String,
    },
    /// There are transitions, but no guard holds.
    #[error("no guard of event {event:?} in state {current_state:?} holds; tried: {}", with_errors(.guards, .errors, *.guards_left_out))]
    GuardFailed {
        /// The instance's state.
        current_state: String,
        /// The event asked for.
        event: String,
        /// The texts of the first guards tried, in order; the beginnings of long ones.
        guards: Vec<String>,
        /// So many more were tried.
        guards_left_out: usize,
        /// For each guard the reason why it has no value, if it has none; format 2 only.
        errors: Vec<Option<String>>,
        /// What the first of them have read.
        tried: Box<[Tried]>,
    },
    /// A definition of format 2 has faults.
    #[error("definition: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    DefinitionFaults {
        /// The faults, each with its place.
        faults: Vec<DefinitionFault>,
    },
    /// An expression that must have a value has none.
    #[error("{place}: {why}")]
    ExpressionFailed {
        /// Where the expression is in the definition.
        place: String,
        /// Why it has no value.
        why: String,
    },
    /// The expressions of one decision take too many steps.
    #[error("{place}: {why}")]
    ExpressionLimit {
        /// Where the limit was reached.
        place: String,
        /// The limit.
        why: String,
    },
    /// A payload or a context does not fit its schema.
    #[error("the {of} does not fit its schema: {}{why} ({rule})", if .path.is_empty() { String::new() } else { format!("at {path}: ") })]
    SchemaFailed {
        /// What does not fit: `payload` or `context`.
        of: &'static str,
        /// The value's place, as a JSON pointer; empty for the whole.
        path: String,
        /// The schema's keyword.
        rule: String,
        /// What is wrong.
        why: String,
    },
    /// The instance is not in the expected state.
    #[error("expected state {expected_state:?}, but the instance is in {actual_state:?}")]
    StateConflict {
        /// What the client expected.
        expected_state: String,
        /// What is.
        actual_state: String,
    },
    /// The instance's last fact is not at the expected offset.
    #[error(
        "expected wal_offset {expected_wal_offset}, but the instance's last is {}", Offset(*.actual_wal_offset)
    )]
    OffsetConflict {
        /// What the client expected.
        expected_wal_offset: u64,
        /// What is.
        actual_wal_offset: u64,
    },
    /// The idempotency key was used with other parameters.
    #[error(
        "idempotency_key {idempotency_key:?} was already used with other parameters, at wal_offset {}", Offset(*.actual_wal_offset)
    )]
    KeyConflict {
        /// The key.
        idempotency_key: String,
        /// Where it was used first.
        actual_wal_offset: u64,
    },
    /// This node is too old to decide with this definition.
    #[error("this node cannot evaluate machine {machine:?} version {version}: {reason}")]
    MachineNotUnderstood {
        /// The machine's name.
        machine: String,
        /// Its version.
        version: u32,
        /// What it does not understand.
        reason: String,
    },
    /// The request needs a feature that not every member of the cluster may understand.
    #[error(
        "{what} needs feature level {needed}, and the cluster is at {current}{}",
        held_back(.held_back_by)
    )]
    FeatureLevel {
        /// What was asked for.
        what: String,
        /// The level that it needs.
        needed: u32,
        /// The cluster's level.
        current: u32,
        /// The members that do not understand the level, as far as the leader knows. Empty: all do, so it can be
        /// raised.
        held_back_by: Vec<u64>,
    },
    /// It is about a lock.
    #[error(transparent)]
    Lock(#[from] LockRefusal),
    /// An operation of an atomic batch is refused, so all of it is.
    #[error("operation {index} of the batch: {refusal}")]
    InBatch {
        /// The operation's position, from 0.
        index: usize,
        /// Why it is refused.
        refusal: Box<Refusal>,
    },
}

impl Refusal {
    /// Refuses what needs more than the cluster's feature level.
    ///
    /// # Errors
    /// [`Refusal::FeatureLevel`].
    pub fn unless_reached(current: u32, feature: Feature) -> Result<(), Self> {
        if feature.level() <= current {
            return Ok(());
        }
        Err(Self::FeatureLevel {
            what: feature.to_string(),
            needed: feature.level(),
            current,
            held_back_by: Vec::new(),
        })
    }

    /// Says which members do not understand the level that the request needs, if that is why it is refused.
    pub fn name_holders(&mut self, holders: impl FnOnce(u32) -> Vec<u64>) {
        match self {
            Self::FeatureLevel {
                needed,
                held_back_by,
                ..
            } => *held_back_by = holders(*needed),
            Self::InBatch { refusal, .. } => refusal.name_holders(holders),
            _ => {}
        }
    }

    /// Refuses what a client may not do with this machine.
    pub fn forbidden(verb: &'static str, machine: &str) -> Self {
        Self::Forbidden {
            verb,
            machine: Some(machine.to_owned()),
        }
    }

    pub(crate) fn bad(field: &str, message: impl Into<String>) -> Self {
        Self::BadRequest {
            field: Some(field.to_owned()),
            message: message.into(),
        }
    }

    /// RCP's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest { .. } | Self::DefinitionFaults { .. } => "BAD_REQUEST",
            Self::ExpressionFailed { .. } => "EXPRESSION_FAILED",
            Self::ExpressionLimit { .. } => "EXPRESSION_LIMIT",
            Self::SchemaFailed { .. } => "SCHEMA_FAILED",
            Self::MachineNotFound { .. } => "MACHINE_NOT_FOUND",
            Self::MachineVersionExists { .. } => "MACHINE_VERSION_EXISTS",
            Self::MachineVersionLimitExceeded { .. } => "MACHINE_VERSION_LIMIT_EXCEEDED",
            Self::MachineInUse { .. } => "MACHINE_IN_USE",
            Self::InstanceNotFound { .. } => "INSTANCE_NOT_FOUND",
            Self::InstanceExists { .. } => "INSTANCE_EXISTS",
            Self::Forbidden { .. } => "FORBIDDEN",
            Self::InvalidTransition { .. } => "INVALID_TRANSITION",
            Self::GuardFailed { .. } => "GUARD_FAILED",
            Self::StateConflict { .. } | Self::OffsetConflict { .. } | Self::KeyConflict { .. } => {
                "CONFLICT"
            }
            Self::MachineNotUnderstood { .. } => "INTERNAL_ERROR",
            Self::FeatureLevel { .. } => "FEATURE_LEVEL",
            Self::Lock(lock) => lock.code(),
            Self::InBatch { refusal, .. } => refusal.code(),
        }
    }

    /// RCP's error details, a JSON object.
    pub fn details(&self) -> Value {
        match self {
            Self::BadRequest { field: None, .. } => json!({}),
            Self::BadRequest {
                field: Some(field), ..
            } => json!({ "field": field }),
            Self::MachineNotFound {
                machine,
                version: None,
            } => json!({ "machine": machine }),
            Self::MachineNotFound { machine, version } => {
                json!({ "machine": machine, "version": version })
            }
            Self::MachineVersionExists { machine, version }
            | Self::MachineNotUnderstood {
                machine, version, ..
            } => json!({ "machine": machine, "version": version }),
            Self::MachineVersionLimitExceeded {
                machine,
                versions,
                versions_max,
            } => {
                json!({ "machine": machine, "versions": versions, "versions_max": versions_max })
            }
            Self::MachineInUse { machine, used } => details::in_use(machine, used),
            Self::InstanceNotFound { instance_id } | Self::InstanceExists { instance_id } => {
                json!({ "instance_id": instance_id })
            }
            Self::Forbidden { verb, machine } => details::forbidden(verb, machine.as_deref()),
            Self::InvalidTransition {
                current_state,
                event,
            } => json!({ "current_state": current_state, "event": event }),
            Self::GuardFailed { .. }
            | Self::DefinitionFaults { .. }
            | Self::ExpressionFailed { .. }
            | Self::ExpressionLimit { .. }
            | Self::SchemaFailed { .. } => self.evaluation_details(),
            Self::StateConflict { .. } | Self::OffsetConflict { .. } | Self::KeyConflict { .. } => {
                self.conflict_details()
            }
            Self::FeatureLevel {
                needed,
                current,
                held_back_by,
                ..
            } => json!({ "needed": needed, "current": current, "held_back_by": held_back_by }),
            Self::Lock(lock) => lock.details(),
            Self::InBatch { index, refusal } => {
                let mut details = refusal.details();
                details["index"] = json!(index);
                details
            }
        }
    }
}

/// The field of the details of `GUARD_FAILED` with what the guards have read.
pub const TRIED: &str = "tried";

fn of_machine(machine: Option<&str>) -> String {
    machine.map_or_else(String::new, |machine| format!(" on machine {machine:?}"))
}

fn in_use(used: &[(u32, u64)]) -> String {
    let counts = used.iter().map(|(version, instances)| match instances {
        1 => format!("1 instance has version {version}"),
        instances => format!("{instances} instances have version {version}"),
    });
    counts.collect::<Vec<_>>().join(", ")
}

fn held_back(nodes: &[u64]) -> String {
    if nodes.is_empty() {
        return "; every member understands it: raise the level with `rstmdb-cli cluster finalize-upgrade`".to_owned();
    }
    let nodes: Vec<String> = nodes.iter().map(u64::to_string).collect();
    format!(
        "; upgrade node {} first, then raise the level with `rstmdb-cli cluster finalize-upgrade`",
        nodes.join(", ")
    )
}

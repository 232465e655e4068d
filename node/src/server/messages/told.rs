//! For simulations: turns the answer of a leader back into the types of the engine, which the checkers compare.

mod locks;

use std::borrow::Cow;

use bytes::Bytes;
use rstmdb_engine::fact::NO_OFFSET;
use rstmdb_engine::reply::{TimerView, Trial, Would};
use rstmdb_engine::{BatchOp, Command, DryRun, Query, Refusal, Reply};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::ErrorBody;
use rstmdb_rcp::message::asking::{
    self, ApplyEventDryRun, CreateInstanceDryRun, DeleteInstanceDryRun,
};
use rstmdb_rcp::message::batch::BatchResult;
use rstmdb_rcp::message::instance::timers::{Timer, TimerSetResult};
use rstmdb_rcp::message::instance::{
    ApplyEventResult, CreateInstanceResult, DeleteInstanceResult, GetInstanceResult,
};
use rstmdb_rcp::message::machine::{DeleteMachineResult, PutMachineResult};
use rstmdb_rcp::message::storage::FlushAllResult;
use rstmdb_rcp::message::storage::automation::AutomationResult;
use serde::Deserialize;
use serde_json::Value;

use crate::replica::{Done, Error, Replied};

/// The outcome of `command` as if the node that got it from its client had decided it. A value that no client gets,
/// such as the time at which an instance was created, is empty. An answer that this function does not handle stays as
/// it is.
///
/// # Errors
/// Those of `outcome`.
pub fn told(command: &Command, outcome: Result<Done, Error>) -> Result<Done, Error> {
    match outcome {
        Ok(Done {
            reply: Replied::ByLeader(relayed),
            offset,
        }) => {
            let text = relayed.pieces().collect::<Vec<_>>().concat();
            let reply = reply(command, &text).map_or(Replied::ByLeader(relayed), Replied::Here);
            Ok(Done { reply, offset })
        }
        Err(Error::RefusedByLeader(refused)) => {
            Err(refusal(&refused.error)
                .map_or_else(|| Error::RefusedByLeader(refused), Error::Refused))
        }
        outcome => outcome,
    }
}

fn read<'a, R: Deserialize<'a>>(text: &'a [u8]) -> Option<R> {
    serde_json::from_slice(text).ok()
}

fn reply(command: &Command, text: &[u8]) -> Option<Reply> {
    Some(match command {
        Command::PutMachine(_) | Command::DeleteMachine(_) => machine(command, text)?,
        Command::CreateInstance(_) => {
            let created: CreateInstanceResult<'_> = read(text)?;
            Reply::Created {
                instance_id: (*created.instance_id).into(),
                state: (*created.state).into(),
                wal_offset: created.wal_offset,
            }
        }
        Command::ApplyEvent(apply) => {
            let key = apply.idempotency_key.as_deref();
            event(&apply.instance_id, key, &read(text)?)
        }
        Command::DeleteInstance(_) => {
            let deleted: DeleteInstanceResult<'_> = read(text)?;
            Reply::Deleted {
                instance_id: (*deleted.instance_id).into(),
                wal_offset: deleted.wal_offset,
            }
        }
        Command::FlushAll => {
            let flushed: FlushAllResult = read(text)?;
            Reply::Flushed {
                instances_removed: flushed.instances_removed,
                machines_removed: flushed.machines_removed,
            }
        }
        Command::SetAutomation(_) => {
            let set: AutomationResult<'_> = read(text)?;
            Reply::Automation {
                paused: set.automation == "paused",
                since_ms: set.since.unwrap_or_default(),
                reason: set.reason.as_deref().unwrap_or_default().into(),
                wal_offset: set.wal_offset,
            }
        }
        Command::SetTimers(_) => timers_set(read(text)?),
        Command::Lock(command) => Reply::Lock(locks::reply(command, text)?),
        // The leader submits them to itself.
        Command::SetLevel { .. } | Command::FireTimer(_) => return None,
        Command::Batch(ops) => batch(ops, text)?,
        Command::DryRun(asked) => match &**asked {
            DryRun::Whole(command) => Reply::DryRun(Box::new(trial(command, text)?)),
            DryRun::EachAlone(_) => return None,
        },
    })
}

fn machine(command: &Command, text: &[u8]) -> Option<Reply> {
    Some(match command {
        Command::PutMachine(_) => {
            let put: PutMachineResult<'_> = read(text)?;
            Reply::PutMachine {
                machine: (*put.machine).into(),
                version: put.version,
                checksum: (*put.stored_checksum).into(),
                created: put.created,
                warnings: Vec::new().into(),
            }
        }
        Command::DeleteMachine(_) => {
            let deleted: DeleteMachineResult<'_> = read(text)?;
            Reply::MachineDeleted {
                machine: (*deleted.machine).into(),
                versions: deleted.versions,
                wal_offset: deleted.wal_offset.unwrap_or(NO_OFFSET),
            }
        }
        _ => return None,
    })
}

/// A leader's reply to a command. A batch's operations are not compared.
fn trial(command: &Command, text: &[u8]) -> Option<Trial> {
    let offset = |offset: Option<u64>| offset.unwrap_or(NO_OFFSET);
    let (reply, replayed, would) = match command {
        Command::ApplyEvent(apply) => {
            let done: ApplyEventDryRun<'_> = read(text)?;
            let (replayed, would) = (done.replayed, would_of(done.would));
            let done = ApplyEventResult {
                from_state: done.from_state,
                to_state: done.to_state,
                ctx: done.ctx,
                wal_offset: offset(done.wal_offset),
                applied: done.applied,
                event_id: done.event_id,
            };
            let key = apply.idempotency_key.as_deref();
            (event(&apply.instance_id, key, &done), replayed, would)
        }
        Command::CreateInstance(create) => {
            let done: CreateInstanceDryRun<'_> = read(text)?;
            let id = done.instance_id.as_deref().unwrap_or(&create.instance_id);
            let reply = Reply::Created {
                instance_id: id.into(),
                state: (*done.state).into(),
                wal_offset: offset(done.wal_offset),
            };
            let would = Would {
                ctx: done.ctx.map(|ctx| ctx.get().to_owned().into()),
                ..would_of(done.would)
            };
            (reply, done.replayed, would)
        }
        Command::DeleteInstance(_) => {
            let done: DeleteInstanceDryRun<'_> = read(text)?;
            let reply = Reply::Deleted {
                instance_id: (*done.instance_id).into(),
                wal_offset: offset(done.wal_offset),
            };
            (reply, done.replayed, would_of(done.would))
        }
        _ => return None,
    };
    let draws_id = matches!(command, Command::CreateInstance(create) if !create.id_given);
    Some(Trial {
        reply,
        id_drawn: draws_id && !replayed,
        replayed,
        would: Some(would),
    })
}

fn would_of(would: asking::Would<'_>) -> Would {
    let names = |names: Vec<Cow<'_, str>>| names.into_iter().map(Cow::into_owned).collect();
    Would {
        set: names(would.set),
        unset: names(would.unset),
        armed: names(would.armed),
        disarmed: names(would.disarmed),
        emits: names(would.emits),
        via: names(would.via),
        ctx: None,
    }
}

fn batch(ops: &[BatchOp], text: &[u8]) -> Option<Reply> {
    let done: BatchResult<'_> = read(text)?;
    let replies = ops.iter().zip(done.results).map(|(op, item)| {
        let result = item.result?;
        match op {
            BatchOp::Write(command) => reply(command, result.get().as_bytes()),
            BatchOp::Read(query) => found(query, result.get().as_bytes()),
        }
    });
    Some(Reply::Batch(replies.collect::<Option<_>>()?))
}

fn event(instance_id: &str, key: Option<&str>, done: &ApplyEventResult<'_>) -> Reply {
    let (from_state, to_state) = ((*done.from_state).into(), (*done.to_state).into());
    let event_id = done.event_id.as_deref().map(Into::into);
    match done.ctx.get() {
        "null" => Reply::Replayed {
            instance_id: instance_id.into(),
            idempotency_key: key.unwrap_or_default().into(),
            from_state,
            to_state,
            event_id,
            wal_offset: done.wal_offset,
        },
        ctx => Reply::Applied {
            from_state,
            to_state,
            ctx: Bytes::copy_from_slice(ctx.as_bytes()),
            applied: done.applied,
            event_id,
            wal_offset: done.wal_offset,
        },
    }
}

fn found(query: &Query, text: &[u8]) -> Option<Reply> {
    let Query::GetInstance { instance_id } = query else {
        return None;
    };
    let found: GetInstanceResult<'_> = read(text)?;
    Some(Reply::Instance(rstmdb_engine::InstanceView {
        instance_id: instance_id.as_str().into(),
        machine: (*found.machine).into(),
        version: found.version,
        state: (*found.state).into(),
        ctx: Bytes::copy_from_slice(found.ctx.get().as_bytes()),
        created_ms: 0,
        updated_ms: 0,
        last_event_id: found.last_event_id.as_deref().map(Into::into),
        last_wal_offset: found.last_wal_offset,
        timers: timers(found.timers),
        timers_suspended: found.timers_suspended,
    }))
}

fn timers_set(set: TimerSetResult<'_>) -> Reply {
    Reply::TimersSet {
        instance_id: (*set.instance_id).into(),
        timers: timers(set.timers),
        applied: set.applied,
        wal_offset: set.wal_offset,
    }
}

fn timers(timers: Vec<Timer<'_>>) -> Vec<TimerView> {
    let timers = timers.into_iter().map(|timer| TimerView {
        name: (*timer.name).into(),
        event: timer.event.as_deref().map(Into::into),
        due_ms: timer.due_at,
        refusals: timer.refusals,
    });
    timers.collect()
}

/// Reads the code and the details, not the message, which is for people only.
fn refusal(error: &ErrorBody) -> Option<Refusal> {
    let details = error.details.as_ref()?;
    let index = details.get("index").and_then(Value::as_u64);
    let refusal = single_refusal(&error.code, details)?;
    Some(match index {
        Some(index) => Refusal::InBatch {
            index: usize::try_from(index).ok()?,
            refusal: Box::new(refusal),
        },
        None => refusal,
    })
}

fn single_refusal(code: &Code, details: &Value) -> Option<Refusal> {
    let text = |field: &str| Some(details.get(field)?.as_str()?.to_owned());
    let offset = |field: &str| details.get(field)?.as_u64();
    let number = |field: &str| u32::try_from(offset(field)?).ok();
    Some(match code {
        Code::LockHeld | Code::LockLost | Code::QuotaExceeded => {
            return locks::refusal(code, details);
        }
        Code::MachineNotFound => Refusal::MachineNotFound {
            machine: text("machine")?,
            version: number("version"),
        },
        Code::MachineVersionExists => Refusal::MachineVersionExists {
            machine: text("machine")?,
            version: number("version")?,
        },
        Code::MachineVersionLimitExceeded => Refusal::MachineVersionLimitExceeded {
            machine: text("machine")?,
            versions: offset("versions")?,
            versions_max: number("versions_max")?,
        },
        Code::MachineInUse => Refusal::MachineInUse {
            machine: text("machine")?,
            used: used(details.get("versions")?)?,
        },
        Code::InstanceNotFound => Refusal::InstanceNotFound {
            instance_id: text("instance_id")?,
        },
        Code::InstanceExists => Refusal::InstanceExists {
            instance_id: text("instance_id")?,
        },
        Code::InvalidTransition => Refusal::InvalidTransition {
            current_state: text("current_state")?,
            event: text("event")?,
        },
        Code::Conflict if details.get("expected_state").is_some() => Refusal::StateConflict {
            expected_state: text("expected_state")?,
            actual_state: text("actual_state")?,
        },
        Code::Conflict if details.get("expected_wal_offset").is_some() => Refusal::OffsetConflict {
            expected_wal_offset: offset("expected_wal_offset")?,
            actual_wal_offset: offset("actual_wal_offset")?,
        },
        Code::Conflict => Refusal::KeyConflict {
            idempotency_key: text("idempotency_key")?,
            actual_wal_offset: offset("actual_wal_offset")?,
        },
        _ => return evaluation_refusal(code, details),
    })
}

/// Versions of a machine, each with how many instances have it.
fn used(versions: &Value) -> Option<Vec<(u32, u64)>> {
    let versions = versions.as_array()?.iter().map(|it| {
        let version = u32::try_from(it.get("version")?.as_u64()?).ok()?;
        Some((version, it.get("instances")?.as_u64()?))
    });
    versions.collect()
}

/// What the parts of a definition refuse.
fn evaluation_refusal(code: &Code, details: &Value) -> Option<Refusal> {
    let text = |field: &str| Some(details.get(field)?.as_str()?.to_owned());
    Some(match code {
        Code::GuardFailed => Refusal::GuardFailed {
            current_state: text("current_state")?,
            event: text("event")?,
            guards: serde_json::from_value(details.get("guards")?.clone()).ok()?,
            guards_left_out: match details.get("guards_left_out") {
                Some(count) => usize::try_from(count.as_u64()?).ok()?,
                None => 0,
            },
            errors: match details.get("errors") {
                Some(errors) => serde_json::from_value(errors.clone()).ok()?,
                None => Vec::new(),
            },
            tried: Box::default(),
        },
        Code::ExpressionFailed => Refusal::ExpressionFailed {
            place: text("place")?,
            why: text("why")?,
        },
        Code::ExpressionLimit => Refusal::ExpressionLimit {
            place: text("place")?,
            why: text("why")?,
        },
        Code::SchemaFailed => Refusal::SchemaFailed {
            of: match details.get("of")?.as_str()? {
                "payload" => "payload",
                _ => "context",
            },
            path: text("path")?,
            rule: text("rule")?,
            why: text("why")?,
        },
        _ => return None,
    })
}

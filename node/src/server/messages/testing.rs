//! For tests and simulations, whose clients have commands and no requests: makes the request for a command.

use bytes::{BufMut, Bytes, BytesMut};
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{BatchOp, Command, CreateInstance, DryRun, ListTimers, LockCommand, Query};

use super::json::{self, ObjectWriter};
use super::meta;
use super::op::Op;
pub use super::told::told;
use crate::replica::{ClientRequest, Submission};

impl From<Command> for Submission {
    fn from(command: Command) -> Self {
        Self::from((command, None))
    }
}

impl From<(Command, Option<Meta>)> for Submission {
    fn from((command, meta): (Command, Option<Meta>)) -> Self {
        let (mut params, mut new_ids) = (BytesMut::new(), Vec::new());
        let op = write_command(&mut params, &command, meta.as_ref(), &mut new_ids);
        let sent = ClientRequest {
            op: match command {
                Command::DryRun(_) => op.dry_run_name(),
                _ => op.name(),
            },
            params: params.freeze(),
            new_ids,
        };
        Self {
            command,
            meta: meta.map(Box::new),
            sent,
            trace: None,
        }
    }
}

fn optional_str(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        object.str(name, value);
    }
}

fn optional_int(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<u64>) {
    if let Some(value) = value {
        object.int(name, value);
    }
}

fn optional_raw(object: &mut ObjectWriter<'_>, name: &'static str, value: Option<&Bytes>) {
    if let Some(value) = value {
        object.raw(name, value);
    }
}

/// Writes the parameters.
fn write_command(
    out: &mut BytesMut,
    command: &Command,
    meta: Option<&Meta>,
    new_ids: &mut Vec<String>,
) -> Op {
    let mut params = ObjectWriter::begin(out);
    let op = write_params(&mut params, command, new_ids);
    if let Some(meta) = meta {
        meta::write_said(&mut params, meta);
    }
    params.end();
    op
}

fn write_automation(params: &mut ObjectWriter<'_>, set: &rstmdb_engine::SetAutomation) {
    params.str("set", if set.paused { "paused" } else { "running" });
    optional_str(params, "reason", set.reason.as_deref());
    for (name, is_set) in [
        ("skip_overdue", set.skip_overdue),
        ("shift_timers", set.shift_timers),
    ] {
        if is_set {
            params.flag(name, true);
        }
    }
}

fn write_timers(params: &mut ObjectWriter<'_>, set: &rstmdb_engine::SetTimers) -> Op {
    params.str("instance_id", &set.instance_id);
    optional_raw(params, "timers", set.timers.as_ref());
    if set.resume {
        params.flag("resume", true);
    }
    optional_str(params, "expected_state", set.expected_state.as_deref());
    optional_int(params, "expected_wal_offset", set.expected_wal_offset);
    optional_str(params, "idempotency_key", set.idempotency_key.as_deref());
    Op::TimerSet
}

fn write_lock(params: &mut ObjectWriter<'_>, lock: &LockCommand) -> Op {
    params.str("name", lock.name());
    match lock {
        LockCommand::Acquire(acquire) => {
            params
                .str("owner", &acquire.owner)
                .int("ttl_ms", acquire.ttl_ms);
            optional_int(params, "wait_ms", acquire.wait_ms);
            Op::LockAcquire
        }
        LockCommand::Renew(renew) => {
            params.int("token", renew.token);
            optional_int(params, "ttl_ms", renew.ttl_ms);
            Op::LockRenew
        }
        LockCommand::Release(release) => {
            params.int("token", release.token);
            Op::LockRelease
        }
        LockCommand::Expire(_) => unreachable!("no client asks for it"),
    }
}

fn write_creation(
    params: &mut ObjectWriter<'_>,
    create: &CreateInstance,
    new_ids: &mut Vec<String>,
) -> Op {
    match create.id_given {
        true => drop(params.str("instance_id", &create.instance_id)),
        false => new_ids.push(create.instance_id.clone()),
    }
    params
        .str("machine", &create.machine)
        .int("version", u64::from(create.version));
    optional_raw(params, "initial_ctx", create.initial_ctx.as_ref());
    let key = create.idempotency_key.as_deref();
    optional_str(params, "idempotency_key", key);
    if let Some(import) = &create.import {
        params.str("initial_state", &import.state);
        optional_int(params, "created_at", import.created_ms);
        optional_int(params, "updated_at", import.updated_ms);
    }
    Op::CreateInstance
}

fn write_params(params: &mut ObjectWriter<'_>, command: &Command, new_ids: &mut Vec<String>) -> Op {
    match command {
        Command::PutMachine(put) => {
            params
                .str("machine", &put.machine)
                .int("version", u64::from(put.version))
                .raw("definition", &put.definition);
            optional_str(params, "checksum", put.checksum.as_deref());
            Op::PutMachine
        }
        Command::DeleteMachine(delete) => {
            params.str("machine", &delete.machine);
            optional_int(params, "version", delete.version.map(u64::from));
            if delete.version.is_none() {
                params.flag("all_versions", true);
            }
            Op::DeleteMachine
        }
        Command::CreateInstance(create) => write_creation(params, create, new_ids),
        Command::ApplyEvent(apply) => {
            params
                .str("instance_id", &apply.instance_id)
                .str("event", &apply.event);
            optional_raw(params, "payload", apply.payload.as_ref());
            let state = apply.expected_state.as_deref();
            optional_str(params, "expected_state", state);
            let offset = apply.expected_wal_offset;
            optional_int(params, "expected_wal_offset", offset);
            optional_str(params, "event_id", apply.event_id.as_deref());
            optional_raw(params, "timers", apply.timers.as_ref());
            let key = apply.idempotency_key.as_deref();
            optional_str(params, "idempotency_key", key);
            Op::ApplyEvent
        }
        Command::DeleteInstance(delete) => {
            params.str("instance_id", &delete.instance_id);
            optional_int(params, "expected_wal_offset", delete.expected_wal_offset);
            let key = delete.idempotency_key.as_deref();
            optional_str(params, "idempotency_key", key);
            Op::DeleteInstance
        }
        Command::SetTimers(set) => write_timers(params, set),
        Command::Lock(lock) => write_lock(params, lock),
        Command::FlushAll => Op::FlushAll,
        Command::SetAutomation(set) => {
            write_automation(params, set);
            Op::Automation
        }
        Command::SetLevel { .. } | Command::FireTimer(_) => unreachable!("no client asks for it"),
        Command::Batch(ops) => {
            let out = params.str("mode", "atomic").key("ops");
            json::array(out, ops, usize::MAX, |out, op| write_step(out, op, new_ids));
            Op::Batch
        }
        Command::DryRun(asked) => write_dry_run(params, asked, new_ids),
    }
}

/// Writes the parameters of a dry run: those of the command, with one more.
fn write_dry_run(params: &mut ObjectWriter<'_>, asked: &DryRun, new_ids: &mut Vec<String>) -> Op {
    params.flag("dry_run", true);
    match asked {
        DryRun::Whole(command) => write_params(params, command, new_ids),
        DryRun::EachAlone(ops) => {
            let ops = ops.iter().filter_map(|op| op.as_ref().ok());
            let out = params.key("ops");
            json::array(out, ops, usize::MAX, |out, op| write_step(out, op, new_ids));
            Op::Batch
        }
    }
}

fn write_step(out: &mut BytesMut, step: &BatchOp, new_ids: &mut Vec<String>) {
    let mut params = BytesMut::new();
    let op = match step {
        BatchOp::Write(command) => write_command(&mut params, command, None, new_ids),
        BatchOp::Read(query) => write_query(&mut params, query),
    };
    let mut object = ObjectWriter::begin(out);
    object.str("op", op.name()).key("params").put_slice(&params);
    object.end();
}

fn write_timer_list(params: &mut ObjectWriter<'_>, list: &ListTimers) -> Op {
    optional_str(params, "machine", list.machine.as_deref());
    optional_int(params, "due_before", list.due_before_ms);
    if list.suspended {
        params.flag("suspended", true);
    }
    optional_int(params, "limit", list.limit);
    if let Some(after) = &list.after {
        let mut place = params.object("after");
        place
            .int("due_at", after.due_ms)
            .str("instance_id", &after.instance_id)
            .str("name", &after.name);
        place.end();
    }
    Op::TimerList
}

/// Writes the parameters of a query.
pub(super) fn write_query(out: &mut BytesMut, query: &Query) -> Op {
    let mut params = ObjectWriter::begin(out);
    let op = match query {
        Query::GetInstance { instance_id } => {
            params.str("instance_id", instance_id);
            Op::GetInstance
        }
        Query::AllowedEvents {
            instance_id,
            payloads,
            headers,
            asker: _,
        } => {
            params.str("instance_id", instance_id);
            optional_raw(&mut params, "payloads", payloads.as_ref());
            meta::write_headers(&mut params, headers);
            Op::AllowedEvents
        }
        Query::ListInstances(list) => {
            optional_str(&mut params, "machine", list.machine.as_deref());
            optional_str(&mut params, "state", list.state.as_deref());
            optional_int(&mut params, "limit", list.limit);
            optional_int(&mut params, "offset", list.offset);
            optional_str(&mut params, "after", list.after.as_deref());
            Op::ListInstances
        }
        Query::ListTimers(list) => write_timer_list(&mut params, list),
        Query::GetLock { name, now_ms: _ } => {
            params.str("name", name);
            Op::LockGet
        }
        Query::ListLocks(list) => {
            optional_str(&mut params, "prefix", list.prefix.as_deref());
            optional_int(&mut params, "limit", list.limit);
            optional_str(&mut params, "after", list.after.as_deref());
            Op::LockList
        }
        Query::GetMachine { machine, version } => {
            params.str("machine", machine);
            optional_int(&mut params, "version", version.map(u64::from));
            Op::GetMachine
        }
        Query::ListMachines { limit, offset } => {
            optional_int(&mut params, "limit", *limit);
            optional_int(&mut params, "offset", *offset);
            Op::ListMachines
        }
    };
    params.end();
    op
}

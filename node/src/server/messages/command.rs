//! From an operation and its parameters to a command or a query of the engine.
//!
//! A session reads the requests of its clients with this code, and a leader reads the requests that other nodes
//! forward. Nodes send a command to each other in no other form.

mod locks;
mod machines;

use std::cell::OnceCell;

use bytes::Bytes;
use rstmdb_engine::fact::Meta;
use rstmdb_engine::{
    ApplyEvent, BatchOp, Command, CreateInstance, DeleteInstance, DryRun, Import, Query,
    SetAutomation, SetTimers,
};
use rstmdb_rcp::Code;
use rstmdb_rcp::message::batch::{Batch, BatchMode};
use rstmdb_rcp::message::instance::timers::TimerSet;
use rstmdb_rcp::message::storage::automation::Automation;
use rstmdb_rcp::message::{ErrorBody, Params, ReadOptions, instance, storage};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::failure;
use super::look_up::{Beside, query};
use super::meta;
use super::op::Op;

/// The longest `payload`, `initial_ctx` or `definition` in bytes, inclusive.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// The parameters of a request, and the memory that keeps their text while the request is in work.
pub(crate) struct ParamsText<'a> {
    raw: &'a RawValue,
    kept: OnceCell<Bytes>,
}

impl<'a> ParamsText<'a> {
    /// Parameters that lie in a buffer with other requests. A part that is kept is copied once, because a slice would
    /// keep the whole buffer in memory.
    pub(crate) fn in_buffer(raw: &'a RawValue) -> Self {
        Self {
            raw,
            kept: OnceCell::new(),
        }
    }

    /// Parameters whose text has memory of its own. `None` if it is no JSON.
    pub(crate) fn owned(text: &'a Bytes) -> Option<Self> {
        let raw = serde_json::from_slice(text).ok()?;
        Some(Self {
            raw,
            kept: OnceCell::from(text.clone()),
        })
    }

    /// The parameters.
    pub(crate) fn raw(&self) -> &'a RawValue {
        self.raw
    }

    /// The whole text.
    pub(crate) fn kept(&self) -> &Bytes {
        let copy = || Bytes::copy_from_slice(self.raw.get().as_bytes());
        self.kept.get_or_init(copy)
    }

    /// A part of the text, without another copy.
    pub(crate) fn part(&self, part: &RawValue) -> Bytes {
        let (whole, part) = (self.raw.get(), part.get());
        let kept = self.kept();
        // A part that is not in the text, such as the empty object for absent parameters, is copied.
        let begin = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
        let here = begin.and_then(|begin| kept.get(begin..begin.saturating_add(part.len())));
        here.map_or_else(
            || Bytes::copy_from_slice(part.as_bytes()),
            |here| kept.slice_ref(here),
        )
    }

    fn read<P: Params<'a>>(&self) -> Result<P, ErrorBody> {
        read(self.raw)
    }

    fn document(&self, field: &str, json: &RawValue) -> Result<Bytes, ErrorBody> {
        let bytes = json.get().len();
        if bytes > DOCUMENT_BYTES_MAX {
            let problem = format!("at most {DOCUMENT_BYTES_MAX} bytes, got {bytes} bytes");
            return Err(failure::bad_request(&format!("params.{field}"), &problem));
        }
        Ok(self.part(json))
    }
}

/// Reads parameters.
pub(crate) fn read<'a, P: Params<'a>>(params: &'a RawValue) -> Result<P, ErrorBody> {
    P::read(params).map_err(ErrorBody::from)
}

/// The ids of the instances that a request creates without naming them. The node that has the client makes them. It
/// sends them along with the request, so every leader that gets the request decides the same command.
#[derive(Default)]
pub(crate) struct NewIds {
    sent: std::vec::IntoIter<String>,
    /// This node makes the ids.
    pub(crate) made: Vec<String>,
}

impl NewIds {
    /// Another node has made these ids.
    pub(crate) fn sent(ids: Vec<String>) -> Self {
        Self {
            sent: ids.into_iter(),
            made: Vec::new(),
        }
    }

    fn next(&mut self) -> String {
        self.sent.next().unwrap_or_else(|| {
            let id = Uuid::new_v4().to_string();
            self.made.push(id.clone());
            id
        })
    }
}

/// A command, and what the client says about it.
#[derive(Debug, PartialEq)]
pub(crate) struct AskedCommand {
    /// The command.
    pub(crate) command: Command,
    /// What the client says.
    pub(crate) meta: Option<Box<Meta>>,
}

/// The command that a request asks for. `None` for operations that are no commands.
pub(crate) fn command(
    op: Op,
    params: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Option<Result<AskedCommand, ErrorBody>> {
    match op {
        Op::Batch => Some(whole_batch(params, ids)),
        Op::FlushAll => Some(flush_all(params)),
        Op::DeleteMachine => Some(machines::delete(params)),
        Op::Automation => set_automation(params.raw).transpose(),
        Op::LockAcquire | Op::LockRenew | Op::LockRelease => Some(locks::command(op, params.raw)),
        op => single(op, params.raw, params, ids),
    }
}

fn asked_or_done(dry_run: bool, command: Command, meta: Option<Box<Meta>>) -> AskedCommand {
    let command = match dry_run {
        true => Command::DryRun(Box::new(DryRun::Whole(command))),
        false => command,
    };
    AskedCommand { command, meta }
}

/// The command of one instance or machine. `params` lies in `text`.
fn single(
    op: Op,
    params: &RawValue,
    text: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Option<Result<AskedCommand, ErrorBody>> {
    Some(match op {
        Op::PutMachine => machines::put(params),
        Op::CreateInstance => create_instance(params, text, ids),
        Op::DeleteInstance => delete_instance(params),
        Op::ApplyEvent => apply_event(params, text),
        Op::TimerSet => timer_set(params, text),
        _ => return None,
    })
}

/// `None` where the request only asks for the state of automation.
fn set_automation(params: &RawValue) -> Result<Option<AskedCommand>, ErrorBody> {
    let params: Automation<'_> = read(params)?;
    let Some(set) = params.set else {
        return Ok(None);
    };
    let command = Command::SetAutomation(SetAutomation {
        paused: set == "paused",
        reason: params.meta.reason.clone().map(Into::into),
        skip_overdue: params.skip_overdue.unwrap_or_default(),
        shift_timers: params.shift_timers.unwrap_or_default(),
    });
    // The fact has the reason already.
    let says_more = rstmdb_rcp::message::meta::Meta {
        reason: None,
        ..params.meta.clone()
    };
    let meta = match says_more.is_empty() {
        true => None,
        false => meta::of_params(params.meta),
    };
    Ok(Some(AskedCommand { command, meta }))
}

fn flush_all(params: &ParamsText<'_>) -> Result<AskedCommand, ErrorBody> {
    let params: storage::FlushAll<'_> = params.read()?;
    let meta = meta::of_params(params.meta);
    Ok(asked_or_done(params.dry_run, Command::FlushAll, meta))
}

fn create_instance(
    params: &RawValue,
    text: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Result<AskedCommand, ErrorBody> {
    let params: instance::CreateInstance<'_> = read(params)?;
    let initial_ctx = params
        .initial_ctx
        .map(|ctx| text.document("initial_ctx", ctx));
    let (dry_run, meta) = (params.dry_run, meta::of_params(params.meta));
    let command = Command::CreateInstance(CreateInstance {
        id_given: params.instance_id.is_some(),
        initial_ctx: initial_ctx.transpose()?,
        instance_id: params.instance_id.map_or_else(|| ids.next(), Into::into),
        machine: params.machine.into_owned(),
        version: params.version,
        idempotency_key: params.idempotency_key.map(Into::into),
        import: params.initial_state.map(|state| {
            Box::new(Import {
                state: state.into_owned(),
                created_ms: params.created_at,
                updated_ms: params.updated_at,
            })
        }),
    });
    Ok(asked_or_done(dry_run, command, meta))
}

fn delete_instance(params: &RawValue) -> Result<AskedCommand, ErrorBody> {
    let params: instance::DeleteInstance<'_> = read(params)?;
    let (dry_run, meta) = (params.dry_run, meta::of_params(params.meta));
    let command = Command::DeleteInstance(DeleteInstance {
        instance_id: params.instance_id.into_owned(),
        expected_wal_offset: params.expected_wal_offset,
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    Ok(asked_or_done(dry_run, command, meta))
}

fn apply_event(params: &RawValue, text: &ParamsText<'_>) -> Result<AskedCommand, ErrorBody> {
    let params: instance::ApplyEvent<'_> = read(params)?;
    let payload = params
        .payload
        .map(|payload| text.document("payload", payload));
    let (dry_run, meta) = (params.dry_run, meta::of_params(params.meta));
    let command = Command::ApplyEvent(ApplyEvent {
        instance_id: params.instance_id.into_owned(),
        event: params.event.into_owned(),
        payload: payload.transpose()?,
        expected_state: params.expected_state.map(Into::into),
        expected_wal_offset: params.expected_wal_offset,
        event_id: params.event_id.map(Into::into),
        timers: timers(params.timers, text)?,
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    Ok(asked_or_done(dry_run, command, meta))
}

/// What becomes of timers.
fn timers(timers: Option<&RawValue>, text: &ParamsText<'_>) -> Result<Option<Bytes>, ErrorBody> {
    let timers = timers.map(|timers| text.document("timers", timers));
    timers.transpose()
}

fn timer_set(params: &RawValue, text: &ParamsText<'_>) -> Result<AskedCommand, ErrorBody> {
    let params: TimerSet<'_> = read(params)?;
    let command = Command::SetTimers(SetTimers {
        timers: timers(params.timers, text)?,
        instance_id: params.instance_id.into_owned(),
        resume: params.resume,
        expected_state: params.expected_state.map(Into::into),
        expected_wal_offset: params.expected_wal_offset,
        idempotency_key: params.idempotency_key.map(Into::into),
    });
    let meta = meta::of_params(params.meta);
    Ok(asked_or_done(params.dry_run, command, meta))
}

/// One operation of a batch.
pub(crate) enum BatchedOp {
    /// It may be submitted.
    Write(Op, AskedCommand),
    /// It looks something up.
    Read(Query, ReadOptions),
}

/// Understands one operation of a batch, whose parameters lie in `text`.
pub(crate) fn step(
    name: &str,
    params: &RawValue,
    text: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Result<BatchedOp, ErrorBody> {
    let forbidden = || {
        let problem = format!("{name} is not allowed inside a batch");
        ErrorBody::new(Code::BadRequest, problem)
    };
    let op = Op::from_name(name).ok_or_else(forbidden)?;
    if let Some(asked) = single(op, params, text, ids) {
        let asked = asked?;
        return match asked.command {
            Command::DryRun(_) => Err(failure::bad_request(
                "params.dry_run",
                "it holds for the whole batch, not for one operation: set it beside ops",
            )),
            _ => Ok(BatchedOp::Write(op, asked)),
        };
    }
    let look_up = query(op, params).ok_or_else(forbidden)??;
    if let Some(beside) = look_up.beside {
        let problem = match beside {
            Beside::Meta => {
                "metadata is read from the log, which no batch does: ask for it outside of the batch"
            }
            Beside::Layout => "no batch makes a layout: ask for it outside of the batch",
        };
        return Err(failure::bad_request("params.include", problem));
    }
    Ok(BatchedOp::Read(look_up.query, look_up.options))
}

/// The operations of an atomic batch.
pub(crate) fn atomic(
    batch: &Batch<'_>,
    text: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Result<Vec<BatchOp>, ErrorBody> {
    let steps = batch.ops.iter().enumerate();
    let ops = steps.map(|(index, op)| match step(&op.op, op.params, text, ids) {
        Ok(BatchedOp::Write(_, asked)) => match asked.meta {
            Some(own) => Err(failure::in_atomic_batch(meta::refuse_own(&own), index)),
            None => Ok(BatchOp::Write(asked.command)),
        },
        Ok(BatchedOp::Read(query, _)) => Ok(BatchOp::Read(query)),
        Err(error) => Err(failure::in_atomic_batch(error, index)),
    });
    ops.collect()
}

/// The question what a batch would do. It is one command, whatever the batch's mode is.
pub(crate) fn dry_run(
    batch: &Batch<'_>,
    text: &ParamsText<'_>,
    ids: &mut NewIds,
) -> Result<AskedCommand, ErrorBody> {
    let asked = match batch.mode {
        BatchMode::Atomic => DryRun::Whole(Command::Batch(atomic(batch, text, ids)?)),
        BatchMode::BestEffort => {
            let ops = batch.ops.iter();
            let ops = ops.map(|op| match step(&op.op, op.params, text, ids) {
                Ok(BatchedOp::Write(_, asked)) => match asked.meta {
                    Some(own) if own.fence.is_some() => {
                        Err(failure::refusal_of(&meta::refuse_fence_of_trial()))
                    }
                    _ => Ok(BatchOp::Write(asked.command)),
                },
                Ok(BatchedOp::Read(query, _)) => Ok(BatchOp::Read(query)),
                Err(error) => Err(failure::refusal_of(&error)),
            });
            DryRun::EachAlone(ops.collect())
        }
    };
    Ok(AskedCommand {
        command: Command::DryRun(Box::new(asked)),
        meta: meta::of_params(batch.meta.clone()),
    })
}

fn whole_batch(params: &ParamsText<'_>, ids: &mut NewIds) -> Result<AskedCommand, ErrorBody> {
    let batch: Batch<'_> = params.read()?;
    if batch.dry_run {
        return dry_run(&batch, params, ids);
    }
    match batch.mode {
        BatchMode::Atomic => Ok(AskedCommand {
            command: Command::Batch(atomic(&batch, params, ids)?),
            meta: meta::of_params(batch.meta),
        }),
        BatchMode::BestEffort => Err(failure::bad_request(
            "params.mode",
            "only an atomic batch is one command",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn understood(op: Op, text: &Bytes, ids: &mut NewIds) -> AskedCommand {
        let params = ParamsText::owned(text).unwrap();
        command(op, &params, ids).unwrap().unwrap()
    }

    #[test]
    fn a_document_is_a_part_of_the_text_and_no_copy() {
        let text = Bytes::from_static(
            br#"{"instance_id":"a","event":"E","payload":{"n": 1},"idempotency_key":"k"}"#,
        );
        let asked = understood(Op::ApplyEvent, &text, &mut NewIds::default());
        let Command::ApplyEvent(event) = asked.command else {
            panic!("an event");
        };
        let payload = event.payload.unwrap();
        assert_eq!(payload, r#"{"n": 1}"#);
        let within = text.as_ptr_range();
        assert!(within.contains(&payload.as_ptr()));

        let in_buffer: &RawValue = serde_json::from_slice(&text).unwrap();
        let params = ParamsText::in_buffer(in_buffer);
        assert_eq!(params.part(in_buffer), text);
        assert!(!within.contains(&params.part(in_buffer).as_ptr()));
        let elsewhere: &RawValue = serde_json::from_str("{}").unwrap();
        assert_eq!(params.part(elsewhere), "{}");
    }

    #[test]
    fn a_leader_creates_instances_under_the_ids_that_another_node_has_made() {
        let create = r#"{"op":"CREATE_INSTANCE","params":{"machine":"m","version":1}}"#;
        let text = Bytes::from(format!(r#"{{"mode":"atomic","ops":[{create},{create}]}}"#));
        let mut ids = NewIds::default();
        let first = understood(Op::Batch, &text, &mut ids);
        assert_eq!(ids.made.len(), 2);
        let mut sent = NewIds::sent(ids.made);
        assert_eq!(understood(Op::Batch, &text, &mut sent), first);
        assert!(sent.made.is_empty());
    }

    #[test]
    fn what_is_no_command_is_none() {
        let text = Bytes::from_static(b"{}");
        for op in Op::ALL {
            let params = ParamsText::owned(&text).unwrap();
            let is_command = command(*op, &params, &mut NewIds::default()).is_some();
            let expected = matches!(
                op,
                Op::PutMachine
                    | Op::CreateInstance
                    | Op::DeleteInstance
                    | Op::ApplyEvent
                    | Op::TimerSet
                    | Op::LockAcquire
                    | Op::LockRenew
                    | Op::LockRelease
                    | Op::FlushAll
                    | Op::DeleteMachine
                    | Op::Batch
            );
            assert_eq!(is_command, expected, "{op:?}");
        }
        assert!(ParamsText::owned(&Bytes::from_static(b"{")).is_none());
    }
}

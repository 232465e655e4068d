//! Estimates the cost of a decision with a few look-ups. Expensive commands are decided ahead, because all
//! other writes wait while the proposer decides.

use bytes::Bytes;

use crate::api::command::{AskedPart, Command, PutMachine, Query};
use crate::decide::instance::machine_of;
use crate::view::{Current, View};
use crate::{PendingEntries, State};

/// The base cost of an operation, in bytes read.
const OP_BYTES: usize = 2048;
/// The cost of compiling one byte of a definition, in bytes read.
const COMPILED_BYTES: usize = 16;

/// About how many bytes deciding this command would read or write: contexts, payloads, definitions and
/// guards. It reads none of them.
pub fn cost(state: &State, pending: &PendingEntries, command: &Command) -> usize {
    let view = View::new(state).over(&pending.overlay);
    match command {
        Command::Batch(ops) => of_parts(view, ops.iter().map(AskedPart::from)),
        Command::DryRun(asked) => of_parts(view, asked.parts()),
        Command::FlushAll
        | Command::DeleteMachine(_)
        | Command::SetLevel { .. }
        | Command::Lock(_) => 0,
        command => single(view, command, 0),
    }
}

/// Whether the command lists instances or machines: it reads more than what it names.
pub fn lists(command: &Command) -> bool {
    match command {
        Command::Batch(ops) => any_lists(ops.iter().map(AskedPart::from)),
        Command::DryRun(asked) => any_lists(asked.parts()),
        _ => false,
    }
}

pub(in crate::decide) fn any_lists<'a>(mut parts: impl Iterator<Item = AskedPart<'a>>) -> bool {
    parts.any(|part| matches!(part, AskedPart::Read(query) if query.lists()))
}

pub(in crate::decide) fn of_parts<'a>(
    view: View<'_>,
    parts: impl Iterator<Item = AskedPart<'a>>,
) -> usize {
    let mut carried = 0;
    let costs = parts.map(|part| match part {
        AskedPart::Write(command) => {
            let cost = single(view, command, carried);
            carried += documents(command);
            cost
        }
        AskedPart::Read(Query::AllowedEvents { instance_id, .. }) => {
            let read = |current: &Current<'_>| {
                let ctx = current.ctx().len();
                ctx + current.machine.guard_bytes(ctx + carried)
            };
            OP_BYTES + view.instance(instance_id).as_ref().map_or(0, read) + carried
        }
        AskedPart::Read(_) => OP_BYTES,
    });
    costs.sum()
}

/// `carried` counts the bytes of the batch's earlier operations. All of them may be in the context by now.
fn single(view: View<'_>, command: &Command, carried: usize) -> usize {
    let documents = documents(command);
    OP_BYTES
        + match command {
            Command::PutMachine(put) => (documents + defined(view, put)) * COMPILED_BYTES,
            Command::ApplyEvent(apply) => match view.instance(&apply.instance_id) {
                Some(current) => {
                    let read = documents + current.ctx().len() + carried;
                    read + current.machine.guard_bytes(read)
                }
                None => documents + carried,
            },
            Command::FireTimer(fire) => view.instance(&fire.instance_id).map_or(0, |current| {
                let read = current.ctx().len() + carried;
                read + current.machine.guard_bytes(read)
            }),
            Command::CreateInstance(create) => {
                let read = documents + carried;
                documents + machine_of(view, create).map_or(0, |it| it.creation_bytes(read))
            }
            _ => documents,
        }
}

/// Bytes of the definition that is there already: both are compared by value.
fn defined(view: View<'_>, put: &PutMachine) -> usize {
    let existing = view.machine(&put.machine, put.version);
    existing.map_or(0, |existing| existing.definition.len())
}

fn documents(command: &Command) -> usize {
    let bytes = |document: &Option<Bytes>| document.as_ref().map_or(0, Bytes::len);
    match command {
        Command::PutMachine(put) => put.definition.len(),
        Command::CreateInstance(create) => bytes(&create.initial_ctx),
        Command::ApplyEvent(apply) => bytes(&apply.payload) + bytes(&apply.timers),
        Command::SetTimers(set) => bytes(&set.timers),
        Command::DeleteInstance(_)
        | Command::DeleteMachine(_)
        | Command::FireTimer(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_)
        | Command::Lock(_)
        | Command::Batch(_)
        | Command::DryRun(_) => 0,
    }
}

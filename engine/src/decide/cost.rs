//! Estimates the cost of a decision with a few look-ups. Expensive commands are decided ahead, because all
//! other writes wait while the proposer decides.

use crate::api::command::{BatchOp, Command, PutMachine};
use crate::view::View;
use crate::{Pending, State};

/// The base cost of an operation, in bytes read.
const OP_BYTES: usize = 2048;
/// The cost of compiling one byte of a definition, in bytes read.
const COMPILED_BYTES: usize = 16;

/// About how many bytes deciding this command would read or write: contexts, payloads, definitions and
/// guards. It reads none of them.
pub fn cost(state: &State, pending: &Pending, command: &Command) -> usize {
    let view = View::new(state).over(&pending.overlay);
    match command {
        Command::Batch(ops) => batch(view, ops),
        Command::FlushAll | Command::SetLevel { .. } => 0,
        command => single(view, command, 0),
    }
}

/// Whether the command lists instances or machines: it reads more than what it names.
pub fn lists(command: &Command) -> bool {
    matches!(command, Command::Batch(ops) if batch_lists(ops))
}

pub(super) fn batch_lists(ops: &[BatchOp]) -> bool {
    ops.iter()
        .any(|op| matches!(op, BatchOp::Read(query) if query.lists()))
}

pub(super) fn batch(view: View<'_>, ops: &[BatchOp]) -> usize {
    let mut carried = 0;
    let costs = ops.iter().map(|op| match op {
        BatchOp::Write(command) => {
            let cost = single(view, command, carried);
            carried += documents(command);
            cost
        }
        BatchOp::Read(_) => OP_BYTES,
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
            Command::CreateInstance(create) => {
                let machine = view.machine(&create.machine, create.version);
                documents + machine.map_or(0, |machine| machine.creation_bytes(documents))
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
    let document = match command {
        Command::PutMachine(put) => Some(&put.definition),
        Command::CreateInstance(create) => create.initial_ctx.as_ref(),
        Command::ApplyEvent(apply) => apply.payload.as_ref(),
        Command::DeleteInstance(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_)
        | Command::Batch(_) => None,
    };
    document.map_or(0, |text| text.len())
}

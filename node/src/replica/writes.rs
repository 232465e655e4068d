//! What commands write to, and whether writing it twice is harmless.

use std::collections::HashSet;

use rstmdb_engine::{BatchOp, Command};

/// Whether deciding the command again is harmless if its first write is in the log after all:
/// with an idempotency key it takes effect once, and a machine's definition is the same again.
#[must_use]
pub fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::PutMachine(_) => true,
        Command::FlushAll => false,
        Command::CreateInstance(create) => create.idempotency_key.is_some(),
        Command::ApplyEvent(apply) => apply.idempotency_key.is_some(),
        Command::DeleteInstance(delete) => delete.idempotency_key.is_some(),
        Command::Batch(ops) => ops.iter().all(|op| match op {
            BatchOp::Write(command) => is_repeatable(command),
            BatchOp::Read(_) => true,
        }),
    }
}

/// Whether the command can change anything: a batch of reads cannot.
pub(crate) fn writes(command: &Command) -> bool {
    match command {
        Command::Batch(ops) => written(ops).next().is_some(),
        _ => true,
    }
}

/// What commands write to.
#[derive(Default)]
pub(crate) struct Touched {
    instances: HashSet<String>,
    everything: bool,
}

impl Touched {
    /// Takes what the command writes to.
    pub(crate) fn add(&mut self, command: &Command) {
        match instance_of(command) {
            Some(id) => drop(self.instances.insert(id.to_owned())),
            None => match command {
                Command::Batch(ops) => written(ops).for_each(|command| self.add(command)),
                _ => self.everything = true,
            },
        }
    }

    /// Whether the command writes to any of it.
    pub(crate) fn has_any_of(&self, command: &Command) -> bool {
        if self.everything {
            return true;
        }
        match instance_of(command) {
            Some(id) => self.instances.contains(id),
            None => match command {
                Command::Batch(ops) => written(ops).any(|command| self.has_any_of(command)),
                _ => !self.instances.is_empty(),
            },
        }
    }
}

/// The one instance that a command writes to.
fn instance_of(command: &Command) -> Option<&str> {
    match command {
        Command::CreateInstance(create) => Some(&create.instance_id),
        Command::ApplyEvent(apply) => Some(&apply.instance_id),
        Command::DeleteInstance(delete) => Some(&delete.instance_id),
        Command::PutMachine(_) | Command::FlushAll | Command::Batch(_) => None,
    }
}

fn written(ops: &[BatchOp]) -> impl Iterator<Item = &Command> {
    ops.iter().filter_map(|op| match op {
        BatchOp::Write(command) => Some(command),
        BatchOp::Read(_) => None,
    })
}

//! What commands write to, and whether writing it twice is harmless.

use std::collections::HashSet;

use rstmdb_engine::{AskedPart, BatchOp, Command, LockCommand, Query};

/// Whether deciding the command again is harmless if its first write is in the log after all. With an idempotency key
/// it takes effect once, and defining a machine again gives the same machine. A batch that also reads is not harmless:
/// it would read later state, and might be refused because of that although it took effect.
///
/// A creation or a deletion is not harmless either, because keys end with the life of the instance. If another client
/// deletes the instance after the first write, a second creation would make it anew. If another client creates it anew,
/// a second deletion would delete that one, too.
#[must_use]
pub fn is_repeatable(command: &Command) -> bool {
    is_keyed(command) && !(writes(command) && reads(command)) && !begins_or_ends_a_life(command)
}

/// Whether everything that the command writes has an idempotency key or may be repeated, so that its client may send it
/// again.
pub(crate) fn is_keyed(command: &Command) -> bool {
    match command {
        Command::PutMachine(_) => true,
        Command::FlushAll => false,
        // A repetition would delete what another client has put again meanwhile.
        Command::DeleteMachine(_) => false,
        // Only the leader that has submitted it decides it, and looks again at what is due.
        Command::FireTimer(_) => false,
        Command::Lock(lock) => match lock {
            // An owner that asks again gets the same token, or keeps its place.
            LockCommand::Acquire(_) | LockCommand::Renew(_) => true,
            LockCommand::Release(_) | LockCommand::Expire(_) => false,
        },
        // A level is raised once, and what is paused is paused once.
        Command::SetLevel { .. } | Command::SetAutomation(_) => true,
        Command::CreateInstance(create) => create.idempotency_key.is_some(),
        Command::ApplyEvent(apply) => apply.idempotency_key.is_some(),
        Command::DeleteInstance(delete) => delete.idempotency_key.is_some(),
        Command::SetTimers(set) => set.idempotency_key.is_some(),
        Command::Batch(ops) => written(ops).all(is_keyed),
        Command::DryRun(_) => true,
    }
}

fn begins_or_ends_a_life(command: &Command) -> bool {
    match command {
        Command::CreateInstance(_) | Command::DeleteInstance(_) | Command::FlushAll => true,
        Command::Batch(ops) => written(ops).any(begins_or_ends_a_life),
        Command::PutMachine(_)
        | Command::DeleteMachine(_)
        | Command::ApplyEvent(_)
        | Command::SetLevel { .. }
        | Command::SetAutomation(_)
        | Command::SetTimers(_)
        // One that deletes an instance ends its life. It is never repeated.
        | Command::FireTimer(_)
        | Command::Lock(_)
        | Command::DryRun(_) => false,
    }
}

fn reads(command: &Command) -> bool {
    let is_read = |op: &BatchOp| matches!(op, BatchOp::Read(_));
    matches!(command, Command::Batch(ops) if ops.iter().any(is_read))
}

/// Whether the command can change anything: a batch of reads cannot, nor can a dry run.
pub(crate) fn writes(command: &Command) -> bool {
    match command {
        Command::Batch(ops) => written(ops).next().is_some(),
        Command::DryRun(_) => false,
        _ => true,
    }
}

/// What commands write to.
#[derive(Default)]
pub(crate) struct TouchedInstances {
    instances: HashSet<String>,
    everything: bool,
}

impl TouchedInstances {
    /// Takes what the command writes to.
    pub(crate) fn add(&mut self, command: &Command) {
        match instance_of(command) {
            Some(id) => drop(self.instances.insert(id.to_owned())),
            None => match command {
                Command::Batch(ops) => written(ops).for_each(|command| self.add(command)),
                // They touch no instance and no machine.
                Command::SetLevel { .. } | Command::SetAutomation(_) | Command::Lock(_) => {}
                Command::DryRun(_) => {}
                _ => self.everything = true,
            },
        }
    }

    /// Whether the command writes to any of these, or reads one of them.
    pub(crate) fn has_any_of(&self, command: &Command) -> bool {
        if matches!(
            command,
            Command::SetLevel { .. } | Command::SetAutomation(_) | Command::Lock(_)
        ) {
            return false;
        }
        if self.everything {
            return true;
        }
        match instance_of(command) {
            Some(id) => self.instances.contains(id),
            None => match command {
                Command::Batch(ops) => ops.iter().map(AskedPart::from).any(|part| self.has(part)),
                Command::DryRun(asked) => asked.parts().any(|part| self.has(part)),
                _ => !self.instances.is_empty(),
            },
        }
    }

    fn has(&self, part: AskedPart<'_>) -> bool {
        match part {
            AskedPart::Write(command) => self.has_any_of(command),
            AskedPart::Read(
                Query::GetInstance { instance_id } | Query::AllowedEvents { instance_id, .. },
            ) => self.instances.contains(instance_id),
            AskedPart::Read(_) => !self.instances.is_empty(),
        }
    }
}

/// The one instance that a command writes to.
pub(crate) fn instance_of(command: &Command) -> Option<&str> {
    match command {
        Command::CreateInstance(create) => Some(&create.instance_id),
        Command::ApplyEvent(apply) => Some(&apply.instance_id),
        Command::DeleteInstance(delete) => Some(&delete.instance_id),
        Command::SetTimers(set) => Some(&set.instance_id),
        Command::FireTimer(fire) => Some(&fire.instance_id),
        Command::PutMachine(_)
        | Command::DeleteMachine(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_)
        | Command::Lock(_)
        | Command::Batch(_)
        | Command::DryRun(_) => None,
    }
}

fn written(ops: &[BatchOp]) -> impl Iterator<Item = &Command> {
    ops.iter().filter_map(|op| match op {
        BatchOp::Write(command) => Some(command),
        BatchOp::Read(_) => None,
    })
}

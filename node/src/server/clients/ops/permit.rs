//! Whether a client may do what it asks for: the one check, for RCP, for HTTP, and for each operation of a BATCH.
//!
//! The node that has the client checks its verbs, and the machines that the request names: tokens and roles are its own
//! configuration. The machine of an instance is checked where the instance is looked up; see
//! [`access`](crate::server::clients::access). A leader trusts the nodes that forward requests, as it does for the name
//! of the client.

use rstmdb_engine::{AskedPart, Command, DryRun, LockCommand, Query};
use rstmdb_rcp::message::ErrorBody;

use super::Job;
use crate::replica::Submission;
use crate::server::clients::access::{Access, Need, need};
use crate::server::config::Verb;
use crate::server::messages::failure;
use crate::server::messages::op::Op;

/// Refuses an operation that no role of the client allows on any machine.
pub(crate) fn of_op(access: &Access, op: Op) -> Result<(), ErrorBody> {
    match need(op) {
        Need::Verb(verb) => access.check(verb),
        Need::Nothing | Need::OfItsParts => Ok(()),
    }
}

/// Refuses what the client may not do with the machines that it names. Of a best-effort batch each operation is refused
/// alone; anything else is refused as a whole.
pub(crate) fn of_job(access: &Access, job: &mut Job) -> Result<(), ErrorBody> {
    match job {
        Job::Write(Submission { command, .. }, _) => of_command(access, command),
        Job::Read(query, _) | Job::ReadWith(_, query, _) => of_part(access, AskedPart::Read(query)),
        Job::ReadAll(queries) => of_parts(access, queries.iter().map(AskedPart::Read)),
        Job::BestEffort(steps) => {
            for step in steps {
                if let Ok(job) = step
                    && let Err(refused) = of_job(access, job)
                {
                    *step = Err(refused);
                }
            }
            Ok(())
        }
        Job::UnderFence(reads, _) => of_job(access, reads),
        Job::Watch(request) => {
            let mut named = request.machines();
            named.try_for_each(|machine| access.check_on(Verb::Watch, machine))
        }
        Job::WaitForLock(_)
        | Job::LogRead(_)
        | Job::Ancestors(_)
        | Job::SnapshotInstance(_)
        | Job::Compact { .. }
        | Job::Automation
        | Job::Clock { .. }
        | Job::RotateKey { .. }
        | Job::Reload
        | Job::Cluster(_)
        | Job::Backup(_)
        | Job::Audit(_)
        | Job::Answered(_) => Ok(()),
    }
}

fn of_command(access: &Access, command: &Command) -> Result<(), ErrorBody> {
    match command {
        Command::Batch(ops) => of_parts(access, ops.iter().map(AskedPart::from)),
        Command::DryRun(asked) => match &**asked {
            DryRun::Whole(command) => of_command(access, command),
            // Its answer would have to come from this node and from the leader, so it is refused as a whole.
            DryRun::EachAlone(_) => of_parts(access, asked.parts()),
        },
        command => of_part(access, AskedPart::Write(command)),
    }
}

fn of_parts<'a>(
    access: &Access,
    parts: impl Iterator<Item = AskedPart<'a>>,
) -> Result<(), ErrorBody> {
    for (index, part) in parts.enumerate() {
        of_part(access, part).map_err(|refused| failure::in_atomic_batch(refused, index))?;
    }
    Ok(())
}

/// One operation of the replicated state.
fn of_part(access: &Access, part: AskedPart<'_>) -> Result<(), ErrorBody> {
    let Target { op, machine, .. } = Target::of(part);
    let Need::Verb(verb) = need(op) else {
        return Ok(());
    };
    match machine {
        Some(machine) => access.check_on(verb, machine)?,
        None => access.check(verb)?,
    }
    match part {
        AskedPart::Write(Command::CreateInstance(create)) if create.import.is_some() => {
            access.check_on(Verb::Import, &create.machine)
        }
        _ => Ok(()),
    }
}

/// What one operation of the replicated state is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The operation.
    pub(crate) op: Op,
    /// The machine that it names.
    pub(crate) machine: Option<&'a str>,
    /// The instance or the lock that it names.
    pub(crate) instance: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// What this is about. Neither match has a wildcard: a command that is not here does not compile.
    fn of(part: AskedPart<'a>) -> Self {
        let (op, machine, instance) = match part {
            AskedPart::Write(command) => of_write(command),
            AskedPart::Read(query) => of_read(query),
        };
        Self {
            op,
            machine,
            instance,
        }
    }

    /// What each operation of this job is about, if it is about the replicated state.
    pub(crate) fn of_job(job: &'a Job) -> Vec<Self> {
        match job {
            Job::Write(Submission { command, .. }, _) => Self::of_command(command),
            Job::Read(query, _) | Job::ReadWith(_, query, _) => {
                vec![Self::of(AskedPart::Read(query))]
            }
            Job::ReadAll(queries) => {
                let parts = queries.iter().map(AskedPart::Read);
                parts.map(Self::of).collect()
            }
            Job::BestEffort(steps) => {
                let of_step = |step: &'a super::batch::BatchStep| match step {
                    Ok(job) => Self::of_job(job).pop(),
                    Err(_) => None,
                };
                let refused = Self {
                    op: Op::Batch,
                    machine: None,
                    instance: None,
                };
                let targets = steps.iter().map(|step| of_step(step).unwrap_or(refused));
                targets.collect()
            }
            Job::UnderFence(job, _) => Self::of_job(job),
            Job::WaitForLock(wait) => vec![Self {
                op: Op::LockAcquire,
                machine: None,
                instance: Some(wait.lock()),
            }],
            _ => Vec::new(),
        }
    }

    fn of_command(command: &'a Command) -> Vec<Self> {
        match command {
            Command::Batch(ops) => ops.iter().map(AskedPart::from).map(Self::of).collect(),
            Command::DryRun(asked) => asked.parts().map(Self::of).collect(),
            command => vec![Self::of(AskedPart::Write(command))],
        }
    }
}

type Named<'a> = (Op, Option<&'a str>, Option<&'a str>);

fn of_write(command: &Command) -> Named<'_> {
    match command {
        Command::PutMachine(put) => (Op::PutMachine, Some(&put.machine), None),
        Command::DeleteMachine(delete) => (Op::DeleteMachine, Some(&delete.machine), None),
        Command::CreateInstance(create) => (
            Op::CreateInstance,
            Some(&create.machine),
            Some(&create.instance_id),
        ),
        Command::ApplyEvent(apply) => (Op::ApplyEvent, None, Some(&apply.instance_id)),
        Command::DeleteInstance(delete) => (Op::DeleteInstance, None, Some(&delete.instance_id)),
        Command::SetTimers(set) => (Op::TimerSet, None, Some(&set.instance_id)),
        Command::FireTimer(fire) => (Op::TimerSet, None, Some(&fire.instance_id)),
        Command::FlushAll => (Op::FlushAll, None, None),
        Command::SetLevel { .. } => (Op::ClusterFinalizeUpgrade, None, None),
        Command::SetAutomation(_) => (Op::Automation, None, None),
        Command::Lock(lock) => {
            let op = match lock {
                LockCommand::Acquire(_) => Op::LockAcquire,
                LockCommand::Renew(_) => Op::LockRenew,
                LockCommand::Release(_) | LockCommand::Expire(_) => Op::LockRelease,
            };
            (op, None, Some(lock.name()))
        }
        Command::Batch(_) | Command::DryRun(_) => (Op::Batch, None, None),
    }
}

fn of_read(query: &Query) -> Named<'_> {
    match query {
        Query::GetInstance { instance_id } => (Op::GetInstance, None, Some(instance_id)),
        Query::AllowedEvents { instance_id, .. } => (Op::AllowedEvents, None, Some(instance_id)),
        Query::ListInstances(list) => (Op::ListInstances, list.machine.as_deref(), None),
        Query::ListTimers(list) => (Op::TimerList, list.machine.as_deref(), None),
        Query::GetLock { name, .. } => (Op::LockGet, None, Some(name)),
        Query::ListLocks(_) => (Op::LockList, None, None),
        Query::GetMachine { machine, .. } => (Op::GetMachine, Some(machine), None),
        Query::ListMachines { .. } => (Op::ListMachines, None, None),
    }
}

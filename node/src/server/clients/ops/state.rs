//! What reads or writes one instance, machine or lock, and FLUSH_ALL: what each touches, and the request that a leader gets.
//!
//! Machines have no lane of their own in a connection's order: their operations are rare, so each counts as touching
//! everything.

pub(super) mod locks;
pub(super) mod snapshot_instance;
pub(super) mod traced;
mod with_layout;
mod with_meta;

use std::sync::Arc;

use rstmdb_engine::{AskedPart, Command, Query, Reach, Reply};
use rstmdb_rcp::message::{ErrorBody, ReadOptions};
use serde_json::value::RawValue;

use super::answer::fresh::fresh_recorded;
use super::answer::of_read;
use super::{Job, RequestPlan, RunningJob, touch};
use crate::replica::{ClientRequest, Submission, Traced};
use crate::server::clients::access::Client;
use crate::server::clients::order::{Access, Claim, ClaimTouch};
use crate::server::clients::shared::ServerShared;
use crate::server::messages::command::{AskedCommand, NewIds, ParamsText, command};
use crate::server::messages::look_up::{Beside, LookUp, query};
use crate::server::messages::op::Op;

/// An operation that writes. `None` if it does not.
pub(super) fn write(op: Op, params: &RawValue) -> Option<Result<RequestPlan, ErrorBody>> {
    let text = ParamsText::in_buffer(params);
    let mut ids = NewIds::default();
    let asked = command(op, &text, &mut ids)?;
    Some(asked.map(|asked| {
        let claim = claim_of(&asked.command);
        let sent = sent(op, &asked.command, &text, params, ids);
        locks::plan_of_waiting(&asked, &sent)
            .unwrap_or_else(|| RequestPlan::write(claim, submission(asked, sent)))
    }))
}

/// An operation that looks something up. `None` if it does not.
pub(super) fn read(op: Op, params: &RawValue) -> Option<Result<RequestPlan, ErrorBody>> {
    let found = query(op, params)?;
    Some(found.map(|look_up| {
        let LookUp {
            query,
            options,
            beside,
        } = look_up;
        let touch = touch_of_query(&query);
        let job = match beside {
            Some(beside) => Job::ReadWith(beside, query, options),
            None => Job::Read(query, options),
        };
        RequestPlan::read(touch, job)
    }))
}

/// Looks up with what was asked for beside it.
pub(super) fn start_with(
    beside: Beside,
    shared: &Arc<ServerShared>,
    asked: (Query, ReadOptions),
    reach: Option<Arc<Reach>>,
    trace: Option<Traced>,
) -> RunningJob {
    let shared = shared.clone();
    match beside {
        Beside::Meta => with_meta::start(shared, asked, reach, trace),
        Beside::Layout => with_layout::start(shared, asked, reach, trace),
    }
}

/// Looks it up, once the applied state is as fresh as the client asks for.
pub(super) fn look_up(
    shared: &Arc<ServerShared>,
    client: &Client,
    mut query: Query,
    options: ReadOptions,
    trace: Option<Traced>,
) -> RunningJob {
    let (shared, client) = (shared.clone(), client.clone());
    RunningJob::boxed(async move {
        fresh_recorded(&shared, options, trace).await?;
        query.ask_as(&client.actor, || shared.replica.now_ms());
        let reach = client.access.reading();
        of_read(
            shared
                .replica
                .look_up(&query, reach.map(|reach| &**reach))
                .await,
        )
    })
}

/// Looks all of it up at one moment.
pub(super) fn look_up_all(
    shared: &Arc<ServerShared>,
    queries: Vec<Query>,
    reach: Option<Arc<Reach>>,
    trace: Option<Traced>,
) -> RunningJob {
    let shared = shared.clone();
    RunningJob::boxed(async move {
        fresh_recorded(&shared, ReadOptions::default(), trace).await?;
        let replies = shared.replica.look_up_all(&queries, reach.as_deref()).await;
        of_read(replies.map(Reply::Batch))
    })
}

/// What the replica gets.
pub(super) fn submission(asked: AskedCommand, sent: ClientRequest) -> Submission {
    let AskedCommand { command, meta } = asked;
    Submission {
        command,
        meta,
        sent,
        trace: None,
    }
}

/// The request as a leader gets it; `params` lies in `text`.
pub(super) fn sent(
    op: Op,
    command: &Command,
    text: &ParamsText<'_>,
    params: &RawValue,
    ids: NewIds,
) -> ClientRequest {
    ClientRequest {
        op: match command {
            Command::DryRun(_) => op.dry_run_name(),
            command if imports(command) => op.import_name(),
            _ => op.name(),
        },
        params: text.part(params),
        new_ids: ids.made,
    }
}

/// Whether the command creates an instance in a state of its own.
fn imports(command: &Command) -> bool {
    let part_imports = |part: AskedPart<'_>| match part {
        AskedPart::Write(command) => imports(command),
        AskedPart::Read(_) => false,
    };
    match command {
        Command::CreateInstance(create) => create.import.is_some(),
        Command::Batch(ops) => ops.iter().map(AskedPart::from).any(part_imports),
        Command::DryRun(asked) => asked.parts().any(part_imports),
        _ => false,
    }
}

/// What a command touches. If a command takes long to decide, commands that touch other instances pass it. A write that
/// touches everything must not pass any command of its connection, so no other command of the connection is in work
/// beside it.
pub(super) fn claim_of(command: &Command) -> Claim {
    let touch = touch_of(command);
    let access = match touch {
        ClaimTouch::Everything => Access::Exclusive,
        _ => Access::Write,
    };
    Claim { touch, access }
}

pub(super) fn touch_of(command: &Command) -> ClaimTouch {
    match command {
        Command::CreateInstance(create) => touch(&create.instance_id),
        Command::ApplyEvent(apply) => touch(&apply.instance_id),
        Command::DeleteInstance(delete) => touch(&delete.instance_id),
        Command::SetTimers(set) => touch(&set.instance_id),
        Command::FireTimer(fire) => touch(&fire.instance_id),
        Command::Lock(lock) => touch_lock(lock.name()),
        Command::PutMachine(_)
        | Command::DeleteMachine(_)
        | Command::FlushAll
        | Command::SetLevel { .. }
        | Command::SetAutomation(_) => ClaimTouch::Everything,
        Command::Batch(ops) => merge(ops.iter().map(AskedPart::from).map(touch_of_part)),
        Command::DryRun(asked) => merge(asked.parts().map(touch_of_part)),
    }
}

fn touch_of_part(part: AskedPart<'_>) -> ClaimTouch {
    match part {
        AskedPart::Write(command) => touch_of(command),
        AskedPart::Read(query) => touch_of_query(query),
    }
}

pub(super) fn touch_of_query(query: &Query) -> ClaimTouch {
    match query {
        Query::GetInstance { instance_id } | Query::AllowedEvents { instance_id, .. } => {
            touch(instance_id)
        }
        Query::GetLock { name, .. } => touch_lock(name),
        Query::ListInstances(_)
        | Query::GetMachine { .. }
        | Query::ListMachines { .. }
        | Query::ListTimers(_)
        | Query::ListLocks(_) => ClaimTouch::Everything,
    }
}

/// A lock has a lane of its own. That of an instance may have the same number: the two then wait for each other.
pub(super) fn touch_lock(name: &str) -> ClaimTouch {
    touch(&format!("lock {name}"))
}

/// Everything that any of the operations touches.
pub(super) fn merge(touches: impl IntoIterator<Item = ClaimTouch>) -> ClaimTouch {
    let mut lanes = Vec::new();
    for touch in touches {
        match touch {
            ClaimTouch::Nothing => {}
            ClaimTouch::Instance(lane) => lanes.push(lane),
            ClaimTouch::Instances(more) => lanes.extend_from_slice(&more),
            ClaimTouch::Everything => return ClaimTouch::Everything,
        }
    }
    lanes.sort_unstable();
    lanes.dedup();
    ClaimTouch::Instances(lanes.into_boxed_slice())
}

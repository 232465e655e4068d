//! Which requests are traced, and what their records name.

use std::sync::Arc;
use std::time::Instant;

use rstmdb_engine::{Command, Query};

use crate::server::clients::ops::Job;
use crate::server::clients::shared::ServerShared;
use crate::server::logging::traces::{Record, Subject, TraceParent};
use crate::server::messages::op::Op;

/// The header of a write that says what the write belongs to.
const TRACEPARENT: &str = "traceparent";

/// Begins the record of a request, if it is to have one. `said` is what the request itself says it belongs to; otherwise
/// the headers of a write may say it. A watch has no record: it may last for ever.
pub(crate) fn begin(
    shared: &ServerShared,
    op: Op,
    job: &Job,
    said: Option<&str>,
    began: Instant,
) -> Option<Arc<Record>> {
    let traces = shared.traces.as_ref()?;
    if matches!(job, Job::Watch(_)) {
        return None;
    }
    let said = said.or_else(|| in_headers(job));
    let parent = said.and_then(TraceParent::parse);
    traces.begin(op.name(), parent.as_ref(), began, || subject(job))
}

fn in_headers(job: &Job) -> Option<&str> {
    let Job::Write(submission, _) = job else {
        return None;
    };
    let mut headers = submission.meta.as_ref()?.headers.iter();
    let header = headers.find(|header| header.name == TRACEPARENT)?;
    Some(&header.value)
}

fn subject(job: &Job) -> Subject {
    let (machine, instance_id) = match job {
        Job::Write(submission, _) => of_command(&submission.command),
        Job::Read(query, _) | Job::ReadWith(_, query, _) => of_query(query),
        _ => (None, None),
    };
    Subject {
        machine: machine.cloned(),
        instance_id: instance_id.cloned(),
    }
}

type Names<'a> = (Option<&'a String>, Option<&'a String>);

fn of_command(command: &Command) -> Names<'_> {
    match command {
        Command::CreateInstance(create) => (Some(&create.machine), Some(&create.instance_id)),
        Command::ApplyEvent(apply) => (None, Some(&apply.instance_id)),
        Command::DeleteInstance(delete) => (None, Some(&delete.instance_id)),
        Command::SetTimers(set) => (None, Some(&set.instance_id)),
        Command::PutMachine(put) => (Some(&put.machine), None),
        Command::DeleteMachine(delete) => (Some(&delete.machine), None),
        _ => (None, None),
    }
}

fn of_query(query: &Query) -> Names<'_> {
    match query {
        Query::GetInstance { instance_id } | Query::AllowedEvents { instance_id, .. } => {
            (None, Some(instance_id))
        }
        Query::GetMachine { machine, .. } => (Some(machine), None),
        Query::ListInstances(list) => (list.machine.as_ref(), None),
        _ => (None, None),
    }
}

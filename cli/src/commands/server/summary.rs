//! summary: what the server has, and what needs attention.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use futures_util::{StreamExt, TryStreamExt, stream};
use rstmdb_definitions::model::MachineModel;
use rstmdb_rcp::message::cluster::ClusterStatusResult;
use rstmdb_rcp::message::instance::timers::{TimerList, TimerListResult};
use rstmdb_rcp::message::instance::{ListInstances, ListInstancesResult};
use rstmdb_rcp::message::locks::{LockList, Locks};
use rstmdb_rcp::message::machine::{ListMachines, ListMachinesResult};
use rstmdb_rcp::message::op;
use rstmdb_rcp::message::session::{InfoResult, NoParams};
use rstmdb_rcp::message::storage::WalStatsResult;
use rstmdb_rcp::message::{Consistency, ReadOptions};

use crate::Error;
use crate::args::SummaryArgs;
use crate::render::overview::{
    self, LockCounts, LogExtent, MachineCounts, ServerFacts, StateCount, Summary, TimerCounts,
};
use crate::session::CliSession;

/// Requests in flight at a time.
const REQUESTS_MAX: usize = 32;
/// Most machines whose instances are counted.
const MACHINES_MAX: usize = 1000;
/// Most versions of a machine whose states are looked up, the highest first.
const VERSIONS_MAX: usize = 16;
/// Most locks, and most timers that do not fire, that are counted.
const COUNTED_MAX: u64 = 1000;

pub(in crate::commands) async fn run(session: &CliSession, args: SummaryArgs) -> Result<(), Error> {
    let info: InfoResult<'_> = session.ask(op::INFO, &NoParams {}).await?;
    let address = session.client().await?.address();
    let mut summary = Summary {
        server: ServerFacts {
            address,
            version: info.server_version.to_string(),
            node_id: info.cluster.as_ref().map(|cluster| cluster.node_id),
            role: info
                .cluster
                .as_ref()
                .map(|cluster| cluster.role.to_string()),
            uptime_secs: info.cluster.as_ref().map(|cluster| cluster.uptime_secs),
            connections: info.cluster.as_ref().map(|cluster| cluster.connections),
        },
        ..Summary::default()
    };
    let (machines, cluster, log, timers, locks) = tokio::join!(
        machines(session, &args),
        session.ask::<ClusterStatusResult<'static>>(op::CLUSTER_STATUS, &NoParams {}),
        session.ask::<WalStatsResult>(op::WAL_STATS, &NoParams {}),
        timers(session, &args),
        locks(session),
    );
    summary.cluster = summary.part("the cluster", cluster);
    if let Some((machines, left_out)) = summary.part("machines", machines) {
        summary.machines = machines;
        summary.machines_left_out = left_out;
    }
    summary.timers = summary.part("timers", timers);
    summary.locks = summary.part("locks", locks);
    let earliest = info.cluster.as_ref().map(|cluster| cluster.earliest_offset);
    summary.log = summary.part("the log", log).map(|log| LogExtent {
        earliest_offset: earliest,
        latest_offset: log.latest_offset,
        entries: log.entry_count,
        segments: log.segment_count,
        bytes: log.total_size_bytes,
    });
    summary.look();
    if session.out.for_programs() {
        return session.out.value(&summary);
    }
    let rows = match session.out.paint.wide {
        true => usize::MAX,
        false => usize::from(console::Term::stdout().size().0),
    };
    session.draw(|paint| overview::render(&summary, rows, paint))
}

/// What the answering node has applied: a summary is wanted most while something is wrong.
fn local() -> ReadOptions {
    ReadOptions {
        consistency: Some(Consistency::Local),
        ..ReadOptions::default()
    }
}

/// The machines, and how many of them were left out.
async fn machines(
    session: &CliSession,
    args: &SummaryArgs,
) -> Result<(Vec<MachineCounts>, usize), Error> {
    let params = ListMachines {
        read: local(),
        ..ListMachines::default()
    };
    let list: ListMachinesResult<'_> = session.ask(op::LIST_MACHINES, &params).await?;
    let wanted = list
        .items
        .into_iter()
        .filter(|item| args.machine.name().is_none_or(|name| name == item.machine));
    let mut wanted: Vec<_> = wanted.collect();
    let left_out = wanted.len().saturating_sub(MACHINES_MAX);
    wanted.truncate(MACHINES_MAX);
    let counted = wanted.into_iter().map(async |item| {
        let name = item.machine.into_owned();
        counted(session, name, item.versions).await
    });
    let machines = stream::iter(counted).buffered(REQUESTS_MAX).try_collect();
    Ok((machines.await?, left_out))
}

async fn counted(
    session: &CliSession,
    machine: String,
    versions: Vec<u32>,
) -> Result<MachineCounts, Error> {
    let instances = count(session, &machine, None).await?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut left = instances;
    for version in versions.iter().rev().take(VERSIONS_MAX) {
        // Most machines have the same states in each version.
        if left == 0 {
            break;
        }
        let model: MachineModel = session.model(&machine, *version, local()).await?;
        for state in model.states {
            if let Entry::Vacant(new) = counts.entry(state.name) {
                let found = count(session, &machine, Some(new.key())).await?;
                left = left.saturating_sub(found);
                new.insert(found);
            }
        }
    }
    let states = counts.into_iter().filter(|(_, count)| *count > 0);
    let mut states: Vec<StateCount> = states
        .map(|(state, count)| StateCount { state, count })
        .collect();
    states.sort_by_key(|it| std::cmp::Reverse(it.count));
    Ok(MachineCounts {
        machine,
        versions,
        instances,
        states,
    })
}

/// How many instances there are. The server keeps these counts, so no instance is looked at.
async fn count(session: &CliSession, machine: &str, state: Option<&str>) -> Result<u64, Error> {
    let params = ListInstances {
        machine: Some(machine.into()),
        state: state.map(Into::into),
        limit: Some(0),
        read: local(),
        ..ListInstances::default()
    };
    let list: ListInstancesResult<'_> = session.ask(op::LIST_INSTANCES, &params).await?;
    Ok(list.total)
}

async fn timers(session: &CliSession, args: &SummaryArgs) -> Result<TimerCounts, Error> {
    let machine = || args.machine.name().map(|name| name.to_owned().into());
    let params = TimerList {
        machine: machine(),
        limit: Some(1),
        read: local(),
        ..TimerList::default()
    };
    let list: TimerListResult<'_> = session.ask(op::TIMER_LIST, &params).await?;
    let params = TimerList {
        machine: machine(),
        suspended: true,
        limit: Some(COUNTED_MAX),
        read: local(),
        ..TimerList::default()
    };
    let suspended: TimerListResult<'_> = session.ask(op::TIMER_LIST, &params).await?;
    Ok(TimerCounts {
        armed: list.armed,
        overdue: list.overdue,
        suspended: suspended.timers.len() as u64,
        next_due_at: list.timers.first().map(|item| item.timer.due_at),
    })
}

async fn locks(session: &CliSession) -> Result<LockCounts, Error> {
    let params = LockList {
        limit: Some(COUNTED_MAX),
        read: local(),
        ..LockList::default()
    };
    let list: Locks<'_> = session.ask(op::LOCK_LIST, &params).await?;
    Ok(LockCounts {
        held: list.locks.len() as u64,
        waiting: list.locks.iter().map(|lock| lock.waiting).sum(),
        more: list.next.is_some(),
    })
}

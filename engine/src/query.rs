//! Queries, against the applied state or against a view with facts in flight.

mod allowed;
pub(crate) mod course;
mod list;
mod locks;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::command::{ListInstances, Query};
use crate::api::reply::{MachineSummary, Reply};
use crate::api::{Reach, check_id, check_name, check_ops};
use crate::machine::Machine;
use crate::machine::definition::Warning;
use crate::view::View;
use crate::{Refusal, State};

pub use locks::LockTurn;
pub use timers::DueSearch;

impl State {
    /// Answers a query from what is applied.
    pub fn query(&self, query: &Query) -> Result<Reply, Refusal> {
        self.query_for(None, query)
    }

    /// As [`State::query`], for a client that may be limited to some machines.
    pub fn query_for(&self, reach: Option<&Reach>, query: &Query) -> Result<Reply, Refusal> {
        let reply = self.query_within(reach, query, usize::MAX)?;
        reply.ok_or_else(|| Refusal::bad("limit", "there is more to look at than can be counted"))
    }

    /// Refuses a batch with too many queries.
    pub fn check_batch(queries: usize) -> Result<(), Refusal> {
        check_ops(queries)
    }

    /// Answers a query if that takes at most `steps` instances and machines. A listing may have to go through
    /// all of them.
    pub fn query_within(
        &self,
        reach: Option<&Reach>,
        query: &Query,
        steps: usize,
    ) -> Result<Option<Reply>, Refusal> {
        answer(
            View::new(self),
            reach,
            query,
            &mut StepBudget { left: steps },
        )
    }
}

/// How many instances and machines listings may still go through.
pub(crate) struct StepBudget {
    pub(crate) left: usize,
}

impl StepBudget {
    /// Takes this many; `None` when that is too much.
    pub(crate) fn take(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }
}

/// `None` when it takes too many steps.
pub(crate) fn answer(
    view: View<'_>,
    reach: Option<&Reach>,
    query: &Query,
    steps: &mut StepBudget,
) -> Result<Option<Reply>, Refusal> {
    match query {
        Query::GetInstance { instance_id } => {
            check_reach(view, reach, instance_id)?;
            get_instance(view, instance_id).map(Some)
        }
        Query::ListInstances(list) => {
            let list = list::Listing { list, reach };
            Ok(list::instances(view, list, steps))
        }
        Query::ListTimers(list) => timers::list(view, reach, list, steps),
        Query::AllowedEvents {
            instance_id,
            payloads,
            headers,
            asker,
        } => {
            check_reach(view, reach, instance_id)?;
            let asked = allowed::AskedEvents {
                payloads: payloads.as_ref(),
                headers,
                asker,
            };
            allowed::events(view, instance_id, &asked, steps)
        }
        Query::GetLock { name, now_ms } => locks::get(view, name, *now_ms).map(Some),
        Query::ListLocks(list) => locks::list(view, list, steps),
        Query::GetMachine { machine, version } => get_machine(view, machine, *version).map(Some),
        Query::ListMachines { limit, offset } => {
            let count = view.state.machines.len() + view.machines_in_flight();
            let listed = steps.take(count);
            Ok(listed.map(|()| list_machines(view, reach, *limit, *offset)))
        }
    }
}

/// Refuses to show an instance of a machine that is not the client's.
fn check_reach(view: View<'_>, reach: Option<&Reach>, id: &str) -> Result<(), Refusal> {
    match (reach, view.instance(id)) {
        (Some(reach), Some(current)) => reach.check(&reach.read, "read", &current.machine.name, id),
        _ => Ok(()),
    }
}

fn get_instance(view: View<'_>, instance_id: &str) -> Result<Reply, Refusal> {
    check_id("instance_id", instance_id)?;
    match view.instance(instance_id) {
        Some(current) => {
            let timers = view.timers(instance_id);
            Ok(Reply::Instance(current.view(timers.as_deref())))
        }
        None => Err(Refusal::InstanceNotFound {
            instance_id: instance_id.to_owned(),
        }),
    }
}

fn get_machine(view: View<'_>, name: &str, version: Option<u32>) -> Result<Reply, Refusal> {
    check_name("machine", name)?;
    version
        .or_else(|| view.versions(name).last().copied())
        .and_then(|version| view.machine(name, version))
        .map(|machine| Reply::Machine {
            machine: machine.name.clone(),
            version: machine.version,
            definition: machine.definition.clone(),
            checksum: machine.checksum.clone(),
            format: machine.format,
            warnings: warnings_of(machine),
        })
        .ok_or_else(|| Refusal::MachineNotFound {
            machine: name.to_owned(),
            version,
        })
}

/// Those of format 1 are told only to the client that puts the machine.
fn warnings_of(machine: &Machine) -> Arc<[Warning]> {
    match machine.format {
        1 => Arc::default(),
        _ => machine.warnings.clone(),
    }
}

fn list_machines(
    view: View<'_>,
    reach: Option<&Reach>,
    limit: Option<u64>,
    offset: Option<u64>,
) -> Reply {
    let mut all: BTreeMap<&Arc<str>, BTreeSet<u32>> = BTreeMap::new();
    if view.state_shows() {
        for (name, versions) in view.state.machines.names() {
            all.entry(name).or_default().extend(versions);
        }
    }
    for (name, version, is_there) in view.versions_in_flight() {
        let versions = all.entry(name).or_default();
        match is_there {
            true => versions.insert(version),
            false => versions.remove(&version),
        };
    }
    let is_shown = |name: &str| reach.is_none_or(|reach| reach.read.cover(name));
    all.retain(|name, versions| !versions.is_empty() && is_shown(name));
    let items = all
        .into_iter()
        .skip(size(offset.unwrap_or(0)))
        .take(size(limit.unwrap_or(u64::MAX)))
        .map(|(name, versions)| {
            let highest = versions
                .last()
                .and_then(|version| view.machine(name, *version));
            MachineSummary {
                machine: name.clone(),
                versions: versions.into_iter().collect(),
                format: highest.map_or(1, |machine| machine.format),
                warning_count: highest.map_or(0, |machine| warnings_of(machine).len()),
            }
        })
        .collect();
    Reply::Machines { items }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How many instances and machine versions the view shows.
pub(crate) fn counts(view: View<'_>) -> (u64, u64) {
    let mut machines = BTreeSet::new();
    if view.state_shows() {
        for (name, versions) in view.state.machines.names() {
            machines.extend(versions.map(|version| (name, version)));
        }
    }
    for (name, version, is_there) in view.versions_in_flight() {
        match is_there {
            true => machines.insert((name, version)),
            false => machines.remove(&(name, version)),
        };
    }
    (
        list::total(
            view,
            list::Listing {
                list: &ListInstances::default(),
                reach: None,
            },
        ),
        machines.len() as u64,
    )
}

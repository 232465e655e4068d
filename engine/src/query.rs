//! Queries, against the applied state or against a view with facts in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use crate::command::{ListInstances, Query};
use crate::limits::{LIST_ITEMS_DEFAULT, LIST_ITEMS_MAX, check_name};
use crate::reply::{InstanceSummary, MachineSummary, Reply};
use crate::view::{Current, View};
use crate::{Refusal, State};

impl State {
    /// Answers a query from what is applied.
    pub fn query(&self, query: &Query) -> Result<Reply, Refusal> {
        answer(View::new(self), query)
    }
}

pub(crate) fn answer(view: View<'_>, query: &Query) -> Result<Reply, Refusal> {
    match query {
        Query::GetInstance { instance_id } => get_instance(view, instance_id),
        Query::ListInstances(list) => Ok(list_instances(view, list)),
        Query::GetMachine { machine, version } => get_machine(view, machine, *version),
        Query::ListMachines { limit, offset } => Ok(list_machines(view, *limit, *offset)),
    }
}

fn get_instance(view: View<'_>, instance_id: &str) -> Result<Reply, Refusal> {
    check_name("instance_id", instance_id)?;
    match view.instance(instance_id) {
        Some(current) => Ok(Reply::Instance(current.view())),
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
        })
        .ok_or_else(|| Refusal::MachineNotFound {
            machine: name.to_owned(),
            version,
        })
}

fn list_machines(view: View<'_>, limit: Option<u64>, offset: Option<u64>) -> Reply {
    let mut all: BTreeMap<&Arc<str>, BTreeSet<u32>> = BTreeMap::new();
    if view.state_shows() {
        for (name, versions) in view.state.machines.names() {
            all.entry(name).or_default().extend(versions);
        }
    }
    for machine in view.machines_in_flight() {
        all.entry(&machine.name)
            .or_default()
            .insert(machine.version);
    }
    let items = all
        .into_iter()
        .skip(size(offset.unwrap_or(0)))
        .take(size(limit.unwrap_or(u64::MAX)))
        .map(|(name, versions)| MachineSummary {
            machine: name.clone(),
            versions: versions.into_iter().collect(),
        })
        .collect();
    Reply::Machines { items }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn list_instances(view: View<'_>, list: &ListInstances) -> Reply {
    let limit = size(list.limit.unwrap_or(LIST_ITEMS_DEFAULT).min(LIST_ITEMS_MAX));
    let total = total(view, list);
    let offset = list.offset.unwrap_or(0);
    // Without `after` the totals say when there is nothing more to look for.
    let left = match list.after {
        None => size(total.saturating_sub(offset)),
        Some(_) => usize::MAX,
    };
    let mut matches = ids(view, list.after.as_deref())
        .filter_map(|id| Some((id, view.instance(id)?)))
        .filter(|(_, current)| matches(current, list))
        .skip(if left == 0 { 0 } else { size(offset) });
    let items: Vec<InstanceSummary> = matches
        .by_ref()
        .take(limit.min(left))
        .map(|(id, current)| summary(id, &current))
        .collect();
    let has_more = match list.after {
        None => left > items.len(),
        Some(_) => matches.next().is_some(),
    };
    Reply::Instances {
        items,
        total,
        has_more,
    }
}

/// All ids after one, ascending: those applied and those in flight, some of which may be no more.
fn ids<'a>(view: View<'a>, after: Option<&str>) -> impl Iterator<Item = &'a str> {
    let from = match after {
        None => Bound::Unbounded,
        Some(after) => Bound::Excluded(after),
    };
    let applied = view
        .state_shows()
        .then(|| view.state.ids.range::<_, str>((from, Bound::Unbounded)));
    let mut in_flight = view.ids_in_flight();
    in_flight.retain(|id| after.is_none_or(|after| *id > after));
    Union {
        left: applied.into_iter().flatten().map(|id| &**id).peekable(),
        right: in_flight.into_iter().peekable(),
    }
}

/// Two ascending sequences as one, without repetition.
struct Union<A: Iterator, B: Iterator> {
    left: Peekable<A>,
    right: Peekable<B>,
}

impl<T: Ord, A: Iterator<Item = T>, B: Iterator<Item = T>> Iterator for Union<A, B> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let (Some(left), Some(right)) = (self.left.peek(), self.right.peek()) else {
            return self.left.next().or_else(|| self.right.next());
        };
        match left.cmp(right) {
            std::cmp::Ordering::Less => self.left.next(),
            std::cmp::Ordering::Greater => self.right.next(),
            std::cmp::Ordering::Equal => {
                self.right.next();
                self.left.next()
            }
        }
    }
}

fn matches(current: &Current<'_>, list: &ListInstances) -> bool {
    list.machine
        .as_deref()
        .is_none_or(|machine| *current.machine.name == *machine)
        && list
            .state
            .as_deref()
            .is_none_or(|state| **current.state_name() == *state)
}

/// The applied state's counters, corrected by what is in flight.
fn total(view: View<'_>, list: &ListInstances) -> u64 {
    let applied = View::new(view.state);
    let shows = view.state_shows();
    let mut total = match shows {
        true => view
            .state
            .machines
            .total(list.machine.as_deref(), list.state.as_deref()),
        false => 0,
    };
    let counts = |view: View<'_>, id: &str| {
        u64::from(
            view.instance(id)
                .is_some_and(|current| matches(&current, list)),
        )
    };
    for id in view.ids_in_flight() {
        if shows {
            total -= counts(applied, id);
        }
        total += counts(view, id);
    }
    total
}

fn summary(id: &str, current: &Current<'_>) -> InstanceSummary {
    InstanceSummary {
        id: Arc::from(id),
        machine: current.machine.name.clone(),
        version: current.machine.version,
        state: current.state_name().clone(),
        created_ms: current.created_ms,
        updated_ms: current.updated_ms,
        last_wal_offset: current.last_offset,
    }
}

/// How many instances and machine versions the view shows.
pub(crate) fn counts(view: View<'_>) -> (u64, u64) {
    let applied = match view.state_shows() {
        true => view.state.machines.len(),
        false => 0,
    };
    let machines = applied + view.machines_in_flight().count();
    (total(view, &ListInstances::default()), machines as u64)
}

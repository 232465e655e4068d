//! Pages of instances.
//!
//! A page is found by going through the ids in their order. If few of very many instances match, that would
//! look up each of them. It is then several times faster to scan the table in memory order and sort the
//! matches.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use super::{StepBudget, size};
use crate::api::Reach;
use crate::api::command::ListInstances;
use crate::api::reply::{InstanceSummary, Reply};
use crate::limits::{LIST_ITEMS_DEFAULT, LIST_ITEMS_MAX};
use crate::state::Instance;
use crate::view::{Current, View};

/// Looking an instance up by its id takes as long as passing over this many in the table.
const TABLE_SPEED: usize = 8;
/// With so few instances both ways are fast enough.
const FEW: usize = 4096;

/// What is listed, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    pub(super) list: &'a ListInstances,
    /// The machines of the client, if it is limited to some.
    pub(super) reach: Option<&'a Reach>,
}

impl Listing<'_> {
    /// Whether it lists instances of this machine.
    fn is_of(self, machine: &str) -> bool {
        let named = self.list.machine.as_deref();
        named.is_none_or(|named| named == machine)
            && self.reach.is_none_or(|reach| reach.read.cover(machine))
    }

    /// Whether it lists all instances there are.
    fn is_of_all(self) -> bool {
        self.list.machine.is_none() && self.list.state.is_none() && self.reach.is_none()
    }
}

/// A page, or `None` when finding it takes too many steps.
pub(super) fn instances(
    view: View<'_>,
    list: Listing<'_>,
    steps: &mut StepBudget,
) -> Option<Reply> {
    let limit = size(
        list.list
            .limit
            .unwrap_or(LIST_ITEMS_DEFAULT)
            .min(LIST_ITEMS_MAX),
    );
    let total = total(view, list);
    let offset = list.list.offset.unwrap_or(0);
    // Without `after`, the totals show when no further match can follow.
    let left = match list.list.after {
        None => size(total.saturating_sub(offset)),
        Some(_) => size(total),
    };
    let wanted = WantedPage {
        skip: size(offset),
        items: limit.min(left),
        one_more: list.list.after.is_some(),
    };
    let (items, has_more) = match wanted.items {
        0 if list.list.after.is_none() || left == 0 => (Vec::new(), left > 0),
        _ => page(view, list, &wanted, total, steps)?,
    };
    let has_more = match list.list.after {
        None => left > items.len(),
        Some(_) => has_more,
    };
    Some(Reply::Instances {
        items,
        total,
        has_more,
    })
}

struct WantedPage {
    /// Matches to pass over.
    skip: usize,
    /// Matches on the page.
    items: usize,
    /// Whether to look for a match behind the page.
    one_more: bool,
}

type ListPage = (Vec<InstanceSummary>, bool);

fn page(
    view: View<'_>,
    list: Listing<'_>,
    wanted: &WantedPage,
    total: u64,
    steps: &mut StepBudget,
) -> Option<ListPage> {
    let filtered = !list.is_of_all();
    let all = view.state.instances.len();
    if !filtered || all <= FEW || !view.state_shows() {
        return in_order(view, list, wanted, steps);
    }
    let through_table = all / TABLE_SPEED;
    let matches = wanted.skip.saturating_add(wanted.items).max(1);
    let expected = all.saturating_mul(matches) / size(total).max(1);
    if expected < through_table {
        let mut some = StepBudget {
            left: steps.left.min(through_table),
        };
        let before = some.left;
        let found = in_order(view, list, wanted, &mut some);
        steps.take(before - some.left)?;
        if found.is_some() {
            return found;
        }
    }
    steps.take(through_table)?;
    Some(from_table(view, list, wanted))
}

fn in_order(
    view: View<'_>,
    list: Listing<'_>,
    wanted: &WantedPage,
    steps: &mut StepBudget,
) -> Option<ListPage> {
    let unfiltered = list.is_of_all();
    let mut ids = ids(view, list.list.after.as_deref());
    let mut skip = wanted.skip;
    // Every applied id is of an instance. An id in flight may be of an instance that is deleted.
    if unfiltered && view.layers().all(|layer| layer.instances.is_empty()) && skip > 0 {
        steps.take(skip.min(view.state.instances.len()) / TABLE_SPEED)?;
        ids.nth(skip - 1);
        skip = 0;
    }
    let mut items = Vec::new();
    for id in ids {
        if items.len() == wanted.items && !wanted.one_more {
            break;
        }
        steps.take(1)?;
        let Some(current) = view.instance(id).filter(|current| matches(current, list)) else {
            continue;
        };
        if skip > 0 {
            skip -= 1;
        } else if items.len() == wanted.items {
            return Some((items, true));
        } else {
            items.push(summary(id, &current));
        }
    }
    Some((items, false))
}

fn from_table(view: View<'_>, list: Listing<'_>, wanted: &WantedPage) -> ListPage {
    let filter = ListFilter::new(view, list);
    let after = list.list.after.as_deref();
    let is_after = |id: &str| after.is_none_or(|after| id > after);
    let in_flight = view.ids_in_flight();
    let applied = view.state.instances.iter();
    let mut found: Vec<&str> = applied
        .filter(|instance| filter.matches(instance))
        .map(Instance::id)
        .filter(|id| is_after(id) && !in_flight.contains(id))
        .collect();
    found.extend(in_flight.iter().filter(|id| {
        let current = view.instance(id);
        is_after(id) && current.is_some_and(|current| matches(&current, list))
    }));
    let end = wanted.skip.saturating_add(wanted.items);
    let has_more = found.len() > end;
    if has_more {
        found.select_nth_unstable(end);
        found.truncate(end);
    }
    found.sort_unstable();
    let page = found.into_iter().skip(wanted.skip);
    let items = page.filter_map(|id| Some(summary(id, &view.instance(id)?)));
    (items.collect(), has_more)
}

/// What a listing asks for, in the numbers that applied instances hold.
struct ListFilter(Vec<Wants>);

/// What is wanted of one machine version.
#[derive(Clone, Copy)]
enum Wants {
    Nothing,
    All,
    State(u16),
}

impl ListFilter {
    fn new(view: View<'_>, list: Listing<'_>) -> Self {
        let machines = view.state.machines.living_by_number().map(|machine| {
            let Some(machine) = machine else {
                return Wants::Nothing;
            };
            match &list.list.state {
                _ if !list.is_of(&machine.name) => Wants::Nothing,
                None => Wants::All,
                Some(state) => machine
                    .state_number(state)
                    .map_or(Wants::Nothing, Wants::State),
            }
        });
        Self(machines.collect())
    }

    fn matches(&self, instance: &Instance) -> bool {
        match self.0.get(instance.machine() as usize) {
            None | Some(Wants::Nothing) => false,
            Some(Wants::All) => true,
            Some(Wants::State(number)) => instance.state() == *number,
        }
    }
}

/// All ids after one, ascending: those applied and those in flight, some of them of deleted instances.
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

fn matches(current: &Current<'_>, list: Listing<'_>) -> bool {
    list.is_of(&current.machine.name)
        && list
            .list
            .state
            .as_deref()
            .is_none_or(|state| **current.state_name() == *state)
}

/// The applied state's counters, corrected by what is in flight.
pub(super) fn total(view: View<'_>, list: Listing<'_>) -> u64 {
    let applied = View::new(view.state);
    let shows = view.state_shows();
    let mut total = match shows {
        true => view
            .state
            .machines
            .total(|machine| list.is_of(machine), list.list.state.as_deref()),
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

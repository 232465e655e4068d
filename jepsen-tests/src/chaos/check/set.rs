//! Listings of instances that are created and deleted. Each page with its total shows one moment of the log,
//! which is not older than the last change that a client knew of before it asked. So no created instance is
//! missing, and no deleted one comes back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::{Bound, Range};

use serde_json::Value;

use super::ops::{self, OpAction};
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "set";
/// The machine of the items.
const MACHINE: &str = "item";

/// The facts of every item there ever was, by id.
type SetItems<'a> = BTreeMap<&'a str, Vec<&'a TrueFact>>;

/// The set, as the log has it.
struct Set<'a> {
    items: SetItems<'a>,
    /// How many items there were from an offset on until the next one.
    sizes: Vec<(u64, u64)>,
}

/// Why a page does not show one moment of the log.
struct PageFault<'a> {
    problem: String,
    instance: Option<String>,
    facts: Vec<&'a TrueFact>,
}

/// Checks every page.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let entries: Vec<&HistoryEntry> = entries
        .iter()
        .filter(|entry| entry.workload == Workload::Set)
        .collect();
    if entries.is_empty() {
        return Vec::new();
    }
    let set = Set::of(truth);
    let asked = asked(&entries, truth);
    let mut ends: BinaryHeap<Reverse<(u64, u64, usize)>> = BinaryHeap::new();
    for (at, entry) in entries.iter().enumerate() {
        let offsets = ops::of(entry).into_iter().filter_map(|op| op.offset());
        ends.extend(offsets.map(|offset| Reverse((entry.ended, offset, at))));
    }
    let mut pages: Vec<(usize, &HistoryEntry)> = entries.iter().copied().enumerate().collect();
    pages.retain(|(_, entry)| entry.op == "LIST_INSTANCES");
    pages.sort_by_key(|(_, page)| page.begun);
    let mut tally = Tally::default();
    let mut floor: (u64, Option<usize>) = (0, None);
    for (at, page) in pages {
        tally.operations += 1;
        let Some(result) = page.result() else {
            continue;
        };
        tally.succeeded += 1;
        while let Some(Reverse((ended, offset, by))) = ends.peek().copied()
            && ended < page.begun
        {
            if offset > floor.0 {
                floor = (offset, Some(by));
            }
            ends.pop();
        }
        let known = floor.1.map(|by| entries[by]);
        match moment(page, result, &set, floor.0).and_then(|moment| {
            let is_asked = asked_by(&asked, moment) <= page.ended;
            let fault = || from_the_future(moment, truth);
            is_asked.then_some(moment).ok_or_else(fault)
        }) {
            Ok(moment) => ends.push(Reverse((page.ended, moment, at))),
            Err(fault) => tally.violation(Violation::new(
                fault.problem,
                fault.instance.as_deref(),
                known.into_iter().chain([page]),
                fault.facts,
            )),
        }
    }
    vec![tally.finish(NAME, Workload::Set.name())]
}

impl<'a> Set<'a> {
    fn of(truth: &'a Truth) -> Self {
        let mut items = SetItems::new();
        let mut sizes = vec![(0, 0)];
        let mut size: u64 = 0;
        for fact in truth.facts() {
            let is_item = fact.machine == MACHINE || items.contains_key(fact.instance.as_str());
            if !is_item {
                continue;
            }
            items.entry(&fact.instance).or_default().push(fact);
            match fact.kind {
                FactKind::Create => size += 1,
                FactKind::Delete => size = size.saturating_sub(1),
                FactKind::Event | FactKind::Spent | FactKind::Moved => {}
            }
            sizes.push((fact.offset, size));
        }
        Self { items, sizes }
    }

    /// The earliest offset of a range at which there were so many items.
    fn had(&self, size: u64, range: Range<u64>) -> Option<u64> {
        let first = self.sizes.partition_point(|(from, _)| *from <= range.start);
        let within = &self.sizes[first.saturating_sub(1)..];
        let mut within = within.iter().take_while(|(from, _)| *from < range.end);
        let found = within.find(|(_, had)| *had == size);
        found.map(|(from, _)| range.start.max(*from))
    }
}

/// For every offset of a creation or deletion: the time by which clients had asked for that change and all before it.
fn asked(entries: &[&HistoryEntry], truth: &Truth) -> Vec<(u64, u64)> {
    let mut begun: BTreeMap<u64, u64> = BTreeMap::new();
    for op in entries.iter().flat_map(|entry| ops::of(entry)) {
        let kind = match op.action {
            OpAction::Create { .. } => FactKind::Create,
            OpAction::Delete => FactKind::Delete,
            OpAction::Event { .. } | OpAction::Get => continue,
        };
        let mut facts = truth.of_instance(op.instance);
        if let Some(fact) = facts.find(|fact| fact.kind == kind) {
            let slot = begun.entry(fact.offset).or_insert(op.entry.begun);
            *slot = op.entry.begun.min(*slot);
        }
    }
    let mut latest = 0;
    begun
        .into_iter()
        .map(|(offset, begun)| {
            latest = latest.max(begun);
            (offset, latest)
        })
        .collect()
}

fn asked_by(asked: &[(u64, u64)], moment: u64) -> u64 {
    let upto = asked.partition_point(|(offset, _)| *offset <= moment);
    upto.checked_sub(1).map_or(0, |at| asked[at].1)
}

fn from_the_future(moment: u64, truth: &Truth) -> PageFault<'_> {
    let facts = truth.facts();
    let upto = facts.partition_point(|fact| fact.offset <= moment);
    PageFault {
        problem: format!("from the future: it shows offset {moment}, which was asked for later"),
        instance: None,
        facts: facts[..upto].last().into_iter().collect(),
    }
}

/// The earliest offset at which the log was as a page shows it, and not below `floor`.
fn moment<'a>(
    page: &HistoryEntry,
    result: &Value,
    set: &Set<'a>,
    floor: u64,
) -> Result<u64, PageFault<'a>> {
    let listed = listed(page, result)?;
    let mut moment = floor;
    let mut replaced: Option<(&str, &'a TrueFact)> = None;
    for (id, offset) in &listed {
        let facts = set.items.get(id).map_or(&[][..], Vec::as_slice);
        let after = facts.partition_point(|fact| fact.offset <= *offset);
        let shown = after.checked_sub(1).map(|at| facts[at]);
        if shown.is_none_or(|shown| shown.offset != *offset || shown.kind == FactKind::Delete) {
            return Err(PageFault {
                problem: format!(
                    "it lists it at offset {offset}, but it did not have that state there"
                ),
                instance: Some((*id).to_owned()),
                facts: shown.into_iter().collect(),
            });
        }
        moment = moment.max(*offset);
        if let Some(next) = facts.get(after)
            && replaced.is_none_or(|(_, earliest)| next.offset < earliest.offset)
        {
            replaced = Some((id, next));
        }
    }
    let until = replaced.map_or(u64::MAX, |(_, next)| next.offset);
    let complete = complete(page, result, &listed, &set.items, moment)?;
    if let Some((id, next)) = replaced
        && until <= complete.moments[0].start
    {
        return Err(PageFault {
            problem: format!(
                "it lists a version that offset {} had replaced, but it is not older than {}",
                next.offset, complete.moments[0].start
            ),
            instance: Some(id.to_owned()),
            facts: complete.missing.into_iter().chain([next]).collect(),
        });
    }
    let total = result["total"].as_u64().unwrap_or(u64::MAX);
    let moments = complete.moments.iter();
    let mut moments = moments.map(|moments| moments.start..moments.end.min(until));
    let found = moments.find_map(|moments| set.had(total, moments));
    found.ok_or_else(|| PageFault {
        problem: format!(
            "it gives a total of {total}, but the log never had that total while the rest of the page was \
             right, in {:?} before {until}",
            complete.moments
        ),
        instance: None,
        facts: complete.missing.into_iter().collect(),
    })
}

/// The items of a page, with offsets. Checks that ids ascend and follow the requested one.
fn listed<'v>(
    page: &'v HistoryEntry,
    result: &'v Value,
) -> Result<Vec<(&'v str, u64)>, PageFault<'static>> {
    let instances = result["instances"].as_array();
    let instances = instances.map_or(&[][..], Vec::as_slice);
    let mut listed: Vec<(&str, u64)> = Vec::with_capacity(instances.len());
    for instance in instances {
        let id = instance["id"].as_str().unwrap_or_default();
        let before = listed.last().map_or(page.param("after"), |last| last.0);
        if id <= before || instance["machine"].as_str() != Some(MACHINE) {
            return Err(PageFault {
                problem: format!(
                    "it lists {id:?} after {before:?}, or an item that was not asked for"
                ),
                instance: Some(id.to_owned()),
                facts: Vec::new(),
            });
        }
        let offset = instance["last_wal_offset"].as_u64().unwrap_or_default();
        listed.push((id, offset));
    }
    Ok(listed)
}

/// The offsets at which the page lacks no existing item.
struct Complete<'a> {
    /// Ascending, and at least one.
    moments: Vec<Range<u64>>,
    /// The item that the first of them had to wait for.
    missing: Option<&'a TrueFact>,
}

/// The offsets from `moment` on at which the page lacks no existing item.
fn complete<'a>(
    page: &HistoryEntry,
    result: &Value,
    listed: &[(&str, u64)],
    items: &SetItems<'a>,
    moment: u64,
) -> Result<Complete<'a>, PageFault<'a>> {
    let after = Bound::Excluded(page.param("after"));
    let to = match listed.last() {
        Some((last, _)) if result["has_more"] == Value::Bool(true) => Bound::Included(*last),
        _ => Bound::Unbounded,
    };
    let mut shown = listed.iter().map(|(id, _)| *id).peekable();
    let mut absent: Vec<(u64, u64, &'a TrueFact)> = Vec::new();
    for (id, facts) in items.range::<str, _>((after, to)) {
        while shown.peek().is_some_and(|next| next < id) {
            shown.next();
        }
        if shown.peek() == Some(id) {
            continue;
        }
        let deleted = facts.iter().find(|fact| fact.kind == FactKind::Delete);
        let until = deleted.map_or(u64::MAX, |fact| fact.offset);
        absent.extend(facts.first().map(|first| (first.offset, until, *first)));
    }
    absent.sort_by_key(|(from, ..)| *from);
    let (mut moments, mut missing) = (Vec::new(), None);
    let (least, mut moment) = (moment, moment);
    let mut lost = None;
    for (from, until, fact) in absent {
        if until <= moment {
            continue;
        }
        if from > moment {
            moments.push(moment..from);
        } else if moments.is_empty() {
            missing = Some(fact);
        }
        moment = until;
        if until == u64::MAX {
            lost = Some((from, fact));
            break;
        }
    }
    if moment < u64::MAX {
        moments.push(moment..u64::MAX);
    }
    match lost {
        Some((from, fact)) if moments.is_empty() => Err(PageFault {
            problem: format!(
                "it is missing in a page that is not older than offset {least}, although it was created at \
                 {from} and never deleted"
            ),
            instance: Some(fact.instance.clone()),
            facts: vec![fact],
        }),
        _ => Ok(Complete { moments, missing }),
    }
}

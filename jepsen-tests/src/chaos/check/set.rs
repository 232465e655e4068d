//! Listings of instances that are created and deleted: each page is one moment of the log, not older than
//! what was known before it was asked for. So nothing that was created is lost, and nothing that was deleted
//! comes back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Bound;

use serde_json::Value;

use super::ops::{self, Action};
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{Fact, FactKind, Truth};
use crate::chaos::history::{Entry, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "set";
/// The machine of the items.
const MACHINE: &str = "item";

/// The facts of every item there ever was, by id.
type Items<'a> = BTreeMap<&'a str, Vec<&'a Fact>>;

/// Why a page is no moment of the log.
struct Fault<'a> {
    problem: String,
    instance: Option<String>,
    facts: Vec<&'a Fact>,
}

/// Checks every page.
pub(super) fn check(entries: &[Entry], truth: &Truth) -> Vec<CheckerResult> {
    let entries: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.workload == Workload::Set)
        .collect();
    if entries.is_empty() {
        return Vec::new();
    }
    let items = items(truth);
    let asked = asked(&entries, truth);
    let mut ends: BinaryHeap<Reverse<(u64, u64, usize)>> = BinaryHeap::new();
    for (at, entry) in entries.iter().enumerate() {
        let offsets = ops::of(entry).into_iter().filter_map(|op| op.offset());
        ends.extend(offsets.map(|offset| Reverse((entry.ended, offset, at))));
    }
    let mut pages: Vec<(usize, &Entry)> = entries.iter().copied().enumerate().collect();
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
        match moment(page, result, &items, floor.0).and_then(|moment| {
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

fn items(truth: &Truth) -> Items<'_> {
    let mut items = Items::new();
    for fact in truth.facts() {
        let is_item = fact.machine == MACHINE || items.contains_key(fact.instance.as_str());
        if is_item {
            items.entry(&fact.instance).or_default().push(fact);
        }
    }
    items
}

/// For every offset of a create or delete, when it and all before it had been asked for.
fn asked(entries: &[&Entry], truth: &Truth) -> Vec<(u64, u64)> {
    let mut begun: BTreeMap<u64, u64> = BTreeMap::new();
    for op in entries.iter().flat_map(|entry| ops::of(entry)) {
        let kind = match op.action {
            Action::Create { .. } => FactKind::Create,
            Action::Delete => FactKind::Delete,
            Action::Event { .. } | Action::Get => continue,
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

fn from_the_future(moment: u64, truth: &Truth) -> Fault<'_> {
    let facts = truth.facts();
    let upto = facts.partition_point(|fact| fact.offset <= moment);
    Fault {
        problem: format!("from the future: it shows offset {moment}, which was asked for later"),
        instance: None,
        facts: facts[..upto].last().into_iter().collect(),
    }
}

/// The earliest offset at which the log was as a page shows it, and not below `floor`.
fn moment<'a>(
    page: &Entry,
    result: &Value,
    items: &Items<'a>,
    floor: u64,
) -> Result<u64, Fault<'a>> {
    let listed = listed(page, result)?;
    let mut moment = floor;
    let mut replaced: Option<(&str, &'a Fact)> = None;
    for (id, offset) in &listed {
        let facts = items.get(id).map_or(&[][..], Vec::as_slice);
        let after = facts.partition_point(|fact| fact.offset <= *offset);
        let shown = after.checked_sub(1).map(|at| facts[at]);
        if shown.is_none_or(|shown| shown.offset != *offset || shown.kind == FactKind::Delete) {
            return Err(Fault {
                problem: format!("it lists it as of offset {offset}, where it was not like that"),
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
    let (moment, missing) = complete(page, result, &listed, items, moment)?;
    match replaced {
        Some((id, next)) if next.offset <= moment => Err(Fault {
            problem: format!(
                "it lists what offset {} had replaced, and is not older than {moment}",
                next.offset
            ),
            instance: Some(id.to_owned()),
            facts: missing.into_iter().chain([next]).collect(),
        }),
        _ => Ok(moment),
    }
}

/// What a page lists, with offsets; ids ascend and follow what was asked for.
fn listed<'v>(page: &'v Entry, result: &'v Value) -> Result<Vec<(&'v str, u64)>, Fault<'static>> {
    let instances = result["instances"].as_array();
    let instances = instances.map_or(&[][..], Vec::as_slice);
    let mut listed: Vec<(&str, u64)> = Vec::with_capacity(instances.len());
    for instance in instances {
        let id = instance["id"].as_str().unwrap_or_default();
        let before = listed.last().map_or(page.param("after"), |last| last.0);
        if id <= before || instance["machine"].as_str() != Some(MACHINE) {
            return Err(Fault {
                problem: format!("it lists {id:?} after {before:?}, or what was not asked for"),
                instance: Some(id.to_owned()),
                facts: Vec::new(),
            });
        }
        let offset = instance["last_wal_offset"].as_u64().unwrap_or_default();
        listed.push((id, offset));
    }
    Ok(listed)
}

/// The earliest offset from `moment` on at which nothing was there that a page leaves out, and the item that
/// it had to wait for.
fn complete<'a>(
    page: &Entry,
    result: &Value,
    listed: &[(&str, u64)],
    items: &Items<'a>,
    moment: u64,
) -> Result<(u64, Option<&'a Fact>), Fault<'a>> {
    let after = Bound::Excluded(page.param("after"));
    let to = match listed.last() {
        Some((last, _)) if result["has_more"] == Value::Bool(true) => Bound::Included(*last),
        _ => Bound::Unbounded,
    };
    let mut shown = listed.iter().map(|(id, _)| *id).peekable();
    let mut absent: Vec<(u64, u64, &'a Fact)> = Vec::new();
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
    let (mut moment, mut cause) = (moment, None);
    for (from, until, fact) in absent {
        if !(from..until).contains(&moment) {
            continue;
        }
        if until == u64::MAX {
            return Err(Fault {
                problem: format!(
                    "it is missing in a page that is not older than offset {moment}, and was created at \
                     {from} and never deleted"
                ),
                instance: Some(fact.instance.clone()),
                facts: vec![fact],
            });
        }
        moment = until;
        cause = Some(fact);
    }
    Ok((moment, cause))
}

//! Linearizability, by the order of the log.
//!
//! Every acknowledgement, read and refusal names or implies a version of its instance, and the log says in
//! which order the versions came. So the checker need not search for an order: the history is linearizable if no
//! operation that ended before another began has a later version than that one. One pass over the operations of
//! an instance, sorted by version, shows whether that is so.

pub mod pipelined;
mod versions;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde_json::Value;

use self::versions::Versions;
use super::ops::{self, ClientTold, InstanceOp, OpAction};
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "order";

/// The most violations that are reported for one instance: each costs a pass over all its operations.
const MISPLACED_MAX: usize = 100;

/// An operation with its place in the order of its instance: `2 v` where it made version `v`, `2 v + 1`
/// where it saw it.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    op: InstanceOp<'a>,
    place: usize,
    begun: u64,
    ended: u64,
}

/// What one workload came to.
type Tallies = BTreeMap<Workload, Tally>;

/// Checks every instance; one result for each workload whose promise is linearizability.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let mut by_instance: BTreeMap<&str, Vec<InstanceOp<'_>>> = BTreeMap::new();
    for op in entries.iter().flat_map(ops::of) {
        if op.entry.workload != Workload::Monotonic {
            by_instance.entry(op.instance).or_default().push(op);
        }
    }
    // Local reads may be behind. But later reads must see what a local read has seen.
    for op in entries.iter().flat_map(ops::of) {
        if op.entry.workload == Workload::Monotonic
            && let Some(ops) = by_instance.get_mut(op.instance)
        {
            ops.push(op);
        }
    }
    let mut tallies = Tallies::new();
    for entry in entries {
        if !matches!(
            entry.workload,
            Workload::Monotonic | Workload::Asking | Workload::Automation | Workload::Timer
        ) {
            let tally = tallies.entry(entry.workload).or_default();
            tally.operations += 1;
            tally.succeeded += usize::from(entry.result().is_some());
        }
    }
    for (id, ops) in &by_instance {
        check_instance(id, ops, truth, &mut tallies);
    }
    tallies
        .into_iter()
        .map(|(workload, tally)| tally.finish(NAME, workload.name()))
        .collect()
}

fn check_instance(id: &str, ops: &[InstanceOp<'_>], truth: &Truth, tallies: &mut Tallies) {
    let versions = Versions::new(id, ops, truth);
    let owner = ops
        .iter()
        .find(|op| op.is_write())
        .or(ops.first())
        .map(|op| op.entry.workload);
    for violation in versions.judge() {
        if let Some(owner) = owner {
            tallies.entry(owner).or_default().violation(violation);
        }
    }
    let mut placed = Vec::with_capacity(ops.len());
    for writer in &versions.writers {
        placed.extend(writer.shown().map(|op| Placed {
            op: *op,
            place: 2 * writer.version,
            begun: writer.begun(),
            ended: writer.ended(),
        }));
    }
    let mut open = Vec::new();
    for op in ops {
        match place(op, &versions) {
            Ok(Some(place)) => placed.push(Placed {
                op: *op,
                place,
                begun: op.entry.begun,
                ended: op.entry.ended,
            }),
            Ok(None) => {
                if !op.is_local() && matches!(op.told, ClientTold::Refused { .. }) {
                    open.push(*op);
                }
            }
            Err(violation) => report(tallies, op, violation),
        }
    }
    for (op, violation) in place_refusals(open, &versions, &mut placed) {
        report(tallies, &op, violation);
    }
    for (op, violation) in compare(placed, &versions) {
        report(tallies, &op, violation);
    }
}

fn report(tallies: &mut Tallies, op: &InstanceOp<'_>, violation: Violation) {
    let tally = tallies.entry(op.entry.workload).or_default();
    tally.violation(violation);
}

/// The place that an answer names, once it is clear that the answer is what the log says. An
/// acknowledgement has its place by its fact already.
fn place(op: &InstanceOp<'_>, versions: &Versions<'_>) -> Result<Option<usize>, Violation> {
    let placed = match op.told {
        ClientTold::Ok(result) if op.is_write() => acknowledged(op, result, versions),
        ClientTold::Ok(result) => read(op, result, versions),
        ClientTold::Refused {
            code: "CONFLICT",
            details,
        } => conflict(details, versions),
        ClientTold::Refused { .. } | ClientTold::NotDone | ClientTold::Unknown => Ok(None),
    };
    placed.map_err(|(problem, version)| {
        let facts = version.and_then(|version| versions.fact(version));
        Violation::new(problem, Some(versions.id), [op.entry], facts)
    })
}

/// A place, or the fault and the version that shows it.
type VersionPlace = Result<Option<usize>, (String, Option<usize>)>;

fn acknowledged(op: &InstanceOp<'_>, result: &Value, versions: &Versions<'_>) -> VersionPlace {
    let Some(offset) = op.offset() else {
        return Err(("acknowledged without an offset".to_owned(), None));
    };
    let Some(writer) = versions.writer(op) else {
        let problem = format!("acknowledged at offset {offset}, but not in the log");
        return Err((problem, versions.at(offset)));
    };
    if writer.fact.offset != offset {
        let at = writer.fact.offset;
        let problem = format!("acknowledged at offset {offset}, but it is at {at}");
        return Err((problem, Some(writer.version)));
    }
    if !told_as_is(op, result, writer.fact) {
        let problem = "the acknowledgement says something else than the log".to_owned();
        return Err((problem, Some(writer.version)));
    }
    Ok(None)
}

fn read(op: &InstanceOp<'_>, result: &Value, versions: &Versions<'_>) -> VersionPlace {
    let offset = op.offset().unwrap_or_default();
    let Some(version) = versions.at(offset) else {
        let problem = format!("a read of offset {offset}, which did not change the instance");
        return Err((problem, None));
    };
    match versions.fact(version) {
        Some(fact) if shows(result, fact) => Ok(Some(2 * version + 1)),
        _ => Err((
            format!("a read of offset {offset} says something else than the log"),
            Some(version),
        )),
    }
}

/// A conflict of offsets names the version that the node saw.
fn conflict(details: &Value, versions: &Versions<'_>) -> VersionPlace {
    let expected = details["expected_wal_offset"].as_u64();
    let (Some(expected), Some(actual)) = (expected, details["actual_wal_offset"].as_u64()) else {
        return Ok(None);
    };
    let Some(version) = versions.at(actual) else {
        let problem = format!("refused for offset {actual}, which did not change the instance");
        return Err((problem, None));
    };
    if expected == actual {
        let problem = "refused although the offset was the expected one".to_owned();
        return Err((problem, Some(version)));
    }
    Ok(Some(2 * version + 1))
}

/// Whether an acknowledgement says what the log says.
fn told_as_is(op: &InstanceOp<'_>, result: &Value, fact: &TrueFact) -> bool {
    match op.action {
        OpAction::Create { .. } => result["state"].as_str() == Some(&fact.to),
        OpAction::Event { .. } => {
            result["from_state"].as_str() == Some(&fact.from)
                && result["to_state"].as_str() == Some(&fact.to)
                && result["ctx"] == fact.ctx
        }
        OpAction::Delete => result["deleted"] == Value::Bool(true),
        OpAction::Get => false,
    }
}

/// Whether a read shows an instance as a fact left it.
pub(super) fn shows(result: &Value, fact: &TrueFact) -> bool {
    let event_id = result.get("last_event_id").and_then(Value::as_str);
    result["state"].as_str() == Some(&fact.to)
        && result["ctx"] == fact.ctx
        && event_id == fact.event_id.as_deref()
}

/// Gives each refusal the first place that explains it, and reports those without such a place. A refusal
/// changes nothing, so the lowest place never hurts another operation.
fn place_refusals<'a>(
    mut open: Vec<InstanceOp<'a>>,
    versions: &Versions<'_>,
    placed: &mut Vec<Placed<'a>>,
) -> Vec<(InstanceOp<'a>, Violation)> {
    open.retain(|op| explains(op, versions, 0).is_some());
    open.sort_by_key(|op| op.entry.begun);
    let ends = placed.iter().map(|one| Reverse((one.ended, one.place)));
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = ends.collect();
    let mut floor = 0;
    let mut wrong = Vec::new();
    for op in open {
        while let Some(Reverse((ended, place))) = ends.peek().copied()
            && ended < op.entry.begun
        {
            floor = floor.max(place);
            ends.pop();
        }
        let first = floor / 2;
        let candidates = versions.all.iter().enumerate().skip(first);
        let version = candidates
            .take_while(|(_, version)| version.begun <= op.entry.ended)
            .find(|(at, _)| explains(&op, versions, *at) == Some(true));
        let Some((version, _)) = version else {
            let facts = [first.checked_sub(1), Some(first), Some(first + 1)];
            let facts = facts
                .into_iter()
                .flatten()
                .filter_map(|at| versions.fact(at));
            let problem = format!(
                "no version that was current meanwhile explains the refusal: {:?}",
                op.told
            );
            let entries = [op.entry].into_iter().chain(last_before(placed, &op));
            let violation = Violation::new(problem, Some(versions.id), entries, facts);
            wrong.push((op, violation));
            continue;
        };
        let place = 2 * version + 1;
        ends.push(Reverse((op.entry.ended, place)));
        placed.push(Placed {
            op,
            place,
            begun: op.entry.begun,
            ended: op.entry.ended,
        });
    }
    wrong
}

/// The request that had shown the highest place before an operation began.
fn last_before<'a>(placed: &[Placed<'a>], op: &InstanceOp<'_>) -> Option<&'a HistoryEntry> {
    let before = placed.iter().filter(|one| one.ended < op.entry.begun);
    before.max_by_key(|one| one.place).map(|one| one.op.entry)
}

/// Whether a version explains a refusal; `None` if the refusal does not depend on the instance.
fn explains(op: &InstanceOp<'_>, versions: &Versions<'_>, at: usize) -> Option<bool> {
    let version = versions.all.get(at)?;
    let ClientTold::Refused { code, details } = op.told else {
        return None;
    };
    match code {
        "INSTANCE_NOT_FOUND" => Some(!version.is_live()),
        // An id that was used before may be refused as well.
        "INSTANCE_EXISTS" => Some(version.fact.is_some()),
        "INVALID_TRANSITION" | "GUARD_FAILED" | "SCHEMA_FAILED" | "EXPRESSION_FAILED" => {
            let OpAction::Event { params, .. } = op.action else {
                return None;
            };
            let named = details["current_state"].as_str();
            let is_state = named.is_none_or(|named| named == version.state());
            Some(is_state && version.refuses(params, code))
        }
        "CONFLICT" => {
            let actual = details["actual_state"].as_str()?;
            let expected = details["expected_state"].as_str()?;
            Some(version.state() == actual && actual != expected && version.is_live())
        }
        _ => None,
    }
}

/// Finds an operation that began after another had ended, and yet has an earlier version.
fn compare<'a>(
    mut placed: Vec<Placed<'a>>,
    versions: &Versions<'_>,
) -> Vec<(InstanceOp<'a>, Violation)> {
    placed.sort_by_key(|one| Reverse(one.place));
    let mut wrong = Vec::new();
    // The earliest end among the operations with a higher place.
    let mut ended = u64::MAX;
    for group in placed.chunk_by(|one, two| one.place == two.place) {
        for late in group {
            let may_be_late = late.op.is_local() && !late.op.is_write();
            if late.begun > ended && !may_be_late && wrong.len() < MISPLACED_MAX {
                wrong.push(misplaced(late, &placed, versions));
            }
        }
        let first = group.iter().map(|one| one.ended).min();
        ended = ended.min(first.unwrap_or(u64::MAX));
    }
    wrong
}

fn misplaced<'a>(
    late: &Placed<'a>,
    placed: &[Placed<'a>],
    versions: &Versions<'_>,
) -> (InstanceOp<'a>, Violation) {
    // The nearest one in time gives the smallest window.
    let earlier = placed
        .iter()
        .filter(|one| one.place > late.place && one.ended < late.begun)
        .max_by_key(|one| one.ended)
        .unwrap_or(late);
    let offset = |one: &Placed<'_>| versions.all[one.place / 2].offset;
    let (low, high) = (offset(late), offset(earlier));
    let is_read = |one: &Placed<'_>| one.place % 2 == 1;
    let problem = match (is_read(late), is_read(earlier)) {
        (true, true) => {
            format!("stale: it saw offset {low}, although another had seen {high} before it began")
        }
        (true, false) => {
            format!("stale: it saw offset {low}, although {high} was acknowledged before it began")
        }
        (false, true) => {
            format!("from the future: {high} was seen before the write at offset {low} was sent")
        }
        (false, false) => {
            format!("out of order: offset {low} was sent after {high} had been acknowledged")
        }
    };
    let facts = [late, earlier].map(|one| versions.fact(one.place / 2));
    let entries = [earlier.op.entry, late.op.entry];
    let facts = facts.into_iter().flatten();
    let violation = Violation::new(problem, Some(versions.id), entries, facts);
    // If a read saw too much, report the read and not the write.
    let guilty = if is_read(late) || !is_read(earlier) {
        late.op
    } else {
        earlier.op
    };
    (guilty, violation)
}

//! Local reads with `min_wal_offset`: no later read of a client, on any node, shows an older state, and no
//! change at or below the requested offset is missing.

use std::collections::{BTreeMap, HashMap};

use super::order::shows;
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, RequestOutcome, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "monotonic";

/// What one client last saw of one instance.
type LastSeen<'a> = HashMap<(u32, &'a str), (u64, &'a HistoryEntry)>;

/// Checks every client's reads in the order in which they were sent.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let reads =
        |entry: &&HistoryEntry| entry.workload == Workload::Monotonic && entry.op == "GET_INSTANCE";
    let mut reads: Vec<&HistoryEntry> = entries.iter().filter(reads).collect();
    if reads.is_empty() {
        return Vec::new();
    }
    reads.sort_by_key(|read| read.begun);
    let mut facts: BTreeMap<&str, Vec<&TrueFact>> = BTreeMap::new();
    let mut seen = LastSeen::new();
    let mut tally = Tally::default();
    for read in reads {
        tally.operations += 1;
        tally.succeeded += usize::from(read.result().is_some());
        let id = read.param("instance_id");
        let facts = facts
            .entry(id)
            .or_insert_with(|| truth.of_instance(id).collect());
        check_read(read, facts, &mut seen, &mut tally);
    }
    vec![tally.finish(NAME, Workload::Monotonic.name())]
}

fn check_read<'a>(
    read: &'a HistoryEntry,
    facts: &[&TrueFact],
    seen: &mut LastSeen<'a>,
    tally: &mut Tally,
) {
    let id = read.param("instance_id");
    let asked = read.params["min_wal_offset"].as_u64().unwrap_or_default();
    // The version at the requested offset. The read must show it or a later one.
    let due = facts.iter().rev().find(|fact| fact.offset <= asked);
    let mut wrong = |problem: String, other: Option<&HistoryEntry>, fact: Option<&TrueFact>| {
        let entries = other.into_iter().chain([read]);
        let facts = due.copied().into_iter().chain(fact);
        tally.violation(Violation::new(problem, Some(id), entries, facts));
    };
    let result = match &read.outcome {
        RequestOutcome::Ok(result) => result,
        RequestOutcome::Refused { code, .. } if code == "INSTANCE_NOT_FOUND" => {
            let is_deleted = facts.iter().any(|fact| fact.kind == FactKind::Delete);
            if due.is_some() && !is_deleted {
                let problem =
                    format!("not found, although it existed at {asked}, the offset asked for");
                wrong(problem, None, None);
            }
            return;
        }
        RequestOutcome::Refused { .. } | RequestOutcome::Unknown { .. } => return,
    };
    let offset = result["last_wal_offset"].as_u64().unwrap_or_default();
    // Of several facts of one entry the last counts.
    let shown = facts.iter().rev().find(|fact| fact.offset == offset);
    match shown {
        Some(fact) if shows(result, fact) => {}
        _ => {
            let problem = format!("a read of offset {offset} says something else than the log");
            return wrong(problem, None, shown.copied());
        }
    }
    if let Some(due) = due.filter(|due| due.offset > offset) {
        let problem = format!(
            "it shows offset {offset}, but the client asked for {asked} or later, where it was at {}",
            due.offset
        );
        wrong(problem, None, shown.copied());
    }
    let before = seen.insert((read.client, id), (offset, read));
    if let Some((before, earlier)) = before.filter(|(before, _)| *before > offset) {
        let problem = format!("it went back: the client saw offset {offset} after {before}");
        wrong(problem, Some(earlier), shown.copied());
        // Keep the later offset: the client has seen it.
        seen.insert((read.client, id), (before, earlier));
    }
}

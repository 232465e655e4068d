//! Automation: what clients set stands in the log where the answer says, and what they read was so at some moment
//! between question and answer.

use serde_json::Value;

use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::Truth;
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "automation";

/// Checks every answer.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let of_it = |entry: &&HistoryEntry| entry.workload == Workload::Automation;
    let mut tally = Tally::default();
    // What was acknowledged, by when.
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    for entry in entries.iter().filter(of_it) {
        let offset = entry
            .result()
            .and_then(|result| result["wal_offset"].as_u64());
        acknowledged.extend(offset.map(|offset| (entry.ended, offset)));
    }
    acknowledged.sort_unstable();
    for entry in entries.iter().filter(of_it) {
        tally.operations += 1;
        let Some(result) = entry.result() else {
            continue;
        };
        tally.succeeded += 1;
        let before = acknowledged.partition_point(|(ended, _)| *ended <= entry.begun);
        let due = acknowledged[..before]
            .iter()
            .map(|(_, offset)| *offset)
            .max();
        if let Some(problem) = problem(entry, result, due.unwrap_or(0), truth) {
            tally.violation(Violation::new(problem, None, [entry], []));
        }
    }
    match tally.operations {
        0 => Vec::new(),
        _ => vec![tally.finish(NAME, Workload::Automation.name())],
    }
}

/// What is wrong with an answer. `due`: the last change that was acknowledged before the question.
fn problem(entry: &HistoryEntry, result: &Value, due: u64, truth: &Truth) -> Option<String> {
    let shows = |paused: bool, reason: &str| {
        let word = if paused { "paused" } else { "running" };
        result["automation"] == word && result["reason"].as_str().unwrap_or_default() == reason
    };
    if let Some(offset) = result["wal_offset"].as_u64() {
        let found = truth.automation.iter().find(|(at, ..)| *at == offset);
        let is_asked = found.is_some_and(|(_, paused, reason)| {
            shows(*paused, reason)
                && entry.params["set"] == result["automation"]
                && entry.params["reason"] == *reason
        });
        return (!is_asked).then(|| format!("acknowledged at {offset}, where {found:?} is"));
    }
    // The change that was in force, or any later one; at first automation runs, without a reason.
    let from = truth.automation.partition_point(|(at, ..)| *at < due);
    let from = if due == 0 { 0 } else { from };
    let explained = (due == 0 && shows(false, ""))
        || truth.automation[from..]
            .iter()
            .any(|(_, paused, reason)| shows(*paused, reason));
    (!explained).then(|| format!("it shows what was not so from {due} on"))
}

//! Every answer is valid RCP. The suite's faults can lose an answer, but never change one: so an answer that is not
//! RCP, or that reports an internal error for a read, is a fault of the node.

use super::result::{CheckerResult, Tally, Violation};
use super::truth::Truth;
use crate::chaos::history::{HistoryEntry, RequestOutcome};

/// The name of the checker.
pub(super) const NAME: &str = "answers";

/// Checks every request without a known outcome.
pub(super) fn check(entries: &[HistoryEntry], _truth: &Truth) -> Vec<CheckerResult> {
    let mut tally = Tally {
        operations: entries.len(),
        ..Tally::default()
    };
    for entry in entries {
        match &entry.outcome {
            RequestOutcome::Unknown { why } => {
                if let Some(problem) = problem(entry, why) {
                    tally.violation(Violation::new(problem, None, [entry], []));
                }
            }
            RequestOutcome::Ok(_) | RequestOutcome::Refused { .. } => tally.succeeded += 1,
        }
    }
    vec![tally.finish(NAME, "all")]
}

/// The fault of an answer that left the outcome unknown; `None` without an answer.
fn problem(entry: &HistoryEntry, why: &str) -> Option<String> {
    if why.starts_with(crate::error::NOT_RCP) {
        return Some(format!("an answer that is not valid: {why}"));
    }
    let is_read = match entry.op.as_str() {
        "GET_INSTANCE" | "LIST_INSTANCES" | "ALLOWED_EVENTS" | "TIMER_LIST" | "LOCK_GET"
        | "LOCK_LIST" => true,
        "BATCH" => entry.params["ops"]
            .as_array()
            .is_some_and(|ops| ops.iter().all(|op| op["op"] == "GET_INSTANCE")),
        _ => false,
    };
    // By the protocol, this error means for a write that its outcome is unknown.
    (is_read && why.starts_with("INTERNAL_ERROR"))
        .then(|| format!("a read was answered with {why}"))
}

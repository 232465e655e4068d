//! The feature level of a cluster that is upgraded: what needs more is refused before the level is raised, and never
//! after it. That no entry needs more than the level at its place, the log itself shows.

use crate::chaos::check::ops;
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::Truth;
use crate::chaos::history::{HistoryEntry, RequestOutcome};

/// The name of the checker.
pub const NAME: &str = "level";

/// Compares refusals with where the level was raised.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let refused: Vec<&HistoryEntry> = entries.iter().filter(|entry| is_refusal(entry)).collect();
    // A new cluster begins with the level of its program, before the first write of a client.
    let first_write = truth.facts().first().map_or(u64::MAX, |fact| fact.offset);
    let raised = truth.levels.iter().map(|(offset, _)| *offset);
    let raised = raised.filter(|offset| *offset > first_write).max();
    if refused.is_empty() && raised.is_none() {
        return Vec::new();
    }
    // The first answer that names an offset from there on.
    let known = raised.and_then(|raised| {
        let acknowledged = entries
            .iter()
            .flat_map(ops::of)
            .filter(|op| op.offset() >= Some(raised));
        acknowledged.map(|op| op.entry.ended).min()
    });
    let mut tally = Tally {
        operations: refused.len(),
        ..Tally::default()
    };
    for entry in &refused {
        match known {
            Some(known) if entry.begun <= known => tally.succeeded += 1,
            _ => {
                let what = match raised {
                    Some(raised) => {
                        format!(
                            "refused for the level, although an answer has named an offset behind {raised}, where it was raised"
                        )
                    }
                    None => "refused for the level, which was never raised".to_owned(),
                };
                tally.violation(Violation::new(what, None, [*entry], []));
            }
        }
    }
    vec![tally.finish(NAME, "all")]
}

fn is_refusal(entry: &HistoryEntry) -> bool {
    let RequestOutcome::Refused { code, .. } = &entry.outcome else {
        return false;
    };
    code == "FEATURE_LEVEL"
}

//! The log's time: it never goes back, and it is never far ahead of the right time. It must not follow a wall
//! clock that jumps forward. Otherwise nodes forget idempotency keys, and a retry takes effect twice.
//!
//! The suite's own clock is the right one: it runs on the same machine as the nodes, and a fault makes the clock of
//! one node wrong at a time. An entry is older than any answer that names its offset. So its time must not be later
//! than the moment of that answer. The check does not judge how far it is behind, because a leader may begin at the
//! last time in the log.

use crate::chaos::check::ops;
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::Truth;
use crate::chaos::history::HistoryEntry;

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "log time";

/// How far the log may be ahead: `cluster.max_clock_skew_ms`, within which a leader follows its own wall clock, and a
/// second for clocks that run too fast by a tenth for a few seconds.
pub(in crate::chaos::check) const AHEAD_MS_MAX: u64 = 10_000 + 1_000;

/// Compares the times in the log with the answers that name its offsets; `began_ms` is when the history began, by the
/// suite's clock, in Unix milliseconds.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
    began_ms: u64,
) -> CheckerResult {
    let mut tally = Tally {
        operations: truth.times.len(),
        ..Tally::default()
    };
    for two in truth.times.windows(2) {
        let [(before, earlier), (offset, later)] = two else {
            continue;
        };
        if later < earlier {
            let what = format!("the log has {earlier} ms at {before}, and {later} ms at {offset}");
            tally.violation(Violation::new(what, None, [], []));
        }
    }
    let mut ahead_most = None;
    for op in entries.iter().flat_map(ops::of) {
        let Some(time_ms) = op.offset().and_then(|offset| time_at(truth, offset)) else {
            continue;
        };
        tally.succeeded += 1;
        let told_ms = began_ms + op.entry.ended / 1000;
        let ahead_ms = time_ms.saturating_sub(told_ms);
        ahead_most = ahead_most.max(Some(ahead_ms));
        if ahead_ms > AHEAD_MS_MAX {
            let offset = op.offset().unwrap_or_default();
            let what = format!("the log's time at {offset} is {ahead_ms} ms ahead");
            let facts = truth.of_instance(op.instance);
            let facts = facts.filter(|fact| fact.offset == offset);
            tally.violation(Violation::new(what, Some(op.instance), [op.entry], facts));
        }
    }
    if let Some(ahead_ms) = ahead_most {
        let note = format!("at most {ahead_ms} ms ahead of the answers");
        tally.notes.push(note);
    }
    tally.finish(NAME, "all")
}

/// The time of the entry at an offset, where the log has one that took effect.
fn time_at(truth: &Truth, offset: u64) -> Option<u64> {
    let found = truth.times.binary_search_by_key(&offset, |(at, _)| *at);
    found.ok().map(|place| truth.times[place].1)
}

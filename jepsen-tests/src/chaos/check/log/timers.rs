//! Timers, from the log alone: armed, moved and left as the machine and the clients say, fired once and not before their
//! time, spent with a reason, and none forgotten. The account is the simulation's; see `rstmdb_sim::check::timers`.

use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::{TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "timers";

/// By how much the first timer may be overdue at the end, when the cluster had time to fire it, in milliseconds.
const OVERDUE_MS_MAX: u64 = 2_000;

/// Gives what is wrong with the timers of the log.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let of_it = entries
        .iter()
        .filter(|entry| entry.workload == Workload::Timer);
    let timers = &truth.timers;
    let (fired, spent) = (timers.armed.fired(), timers.armed.spent());
    let mut tally = Tally {
        operations: of_it.count(),
        succeeded: usize::try_from(fired + spent).unwrap_or(usize::MAX),
        ..Tally::default()
    };
    if tally.operations == 0 {
        return Vec::new();
    }
    for (offset, problem) in &timers.problems {
        let at = |fact: &&TrueFact| fact.offset == *offset;
        let facts = truth.facts().iter().filter(at);
        let what = format!("at {offset}: {problem}");
        tally.violation(Violation::new(what, None, [], facts));
    }
    if let Some(overdue_ms) = timers.overdue_ms.filter(|late| *late > OVERDUE_MS_MAX) {
        let problem = format!(
            "a timer that was {overdue_ms} ms overdue had not fired at the end, in a cluster without faults"
        );
        tally.violation(Violation::new(problem, None, [], []));
    }
    tally.notes.push(format!("{fired} fired, {spent} spent"));
    vec![tally.finish(NAME, Workload::Timer.name())]
}

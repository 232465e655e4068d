//! The verdicts on a run: the answers to clients, compared with the log.
//!
//! | module | checks |
//! |---|---|
//! | [`truth`] | that the nodes' logs agree, and what they say |
//! | `order` | linearizability of single instances, by the order of the log |
//! | `order::pipelined` | that requests of one pipeline took effect in the order of sending |
//! | `once` | keyed requests: one effect and one answer |
//! | `bank` | transfers and reads of all accounts: the sum, and one moment for each read |
//! | `set` | listings: no item is lost, no deleted item comes back |
//! | `monotonic` | local reads that must not go back |
//! | `asking` | dry runs and ALLOWED_EVENTS: the answer fits the log, and nothing took effect |
//! | `times` | the log's time: never back, never far ahead |
//! | `timers` | timers: fired once, in time, and not forgotten |
//! | `locks` | locks: one holder, tokens that grow, and writes only under the token that holds |
//! | `answers` | that every answer is valid RCP, and none reports an internal error of the node |
//! | `search` | linearizability without the log: is there any order of the requests that explains the values? |
//!
//! A check that could not be made has its own verdict, and so has a check without any request. Neither counts as a
//! pass.

mod answers;
mod asking;
mod bank;
mod log;
mod monotonic;
mod once;
mod ops;
mod order;
mod result;
mod search;
mod set;
pub mod truth;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bank::CENTS_EACH;
pub use log::levels::NAME as LEVEL;
use log::{automation, levels, locks, said, timers, times};
use result::Tally;
pub use result::{CheckVerdict, CheckerResult, Violation, ViolationWindow};
pub use truth::Error;
use truth::Truth;

use super::history::{HistoryEntry, Workload};

/// One checker.
type Checker = fn(&[HistoryEntry], &Truth) -> Vec<CheckerResult>;

/// Every checker, by its name in the report when it fails itself.
const CHECKS: [(&str, Checker); 15] = [
    ("logs", logs_agree),
    (answers::NAME, answers::check),
    (order::pipelined::NAME, order::pipelined::check),
    (order::NAME, order::check),
    (once::NAME, once::check),
    (bank::NAME, bank::check),
    (set::NAME, set::check),
    (monotonic::NAME, monotonic::check),
    (asking::NAME, asking::check),
    (said::NAME, said::check),
    (levels::NAME, levels::check),
    (automation::NAME, automation::check),
    (timers::NAME, timers::check),
    (locks::NAME, locks::check),
    (search::NAME, search::check),
];

/// Runs every checker over a run.
pub fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    CHECKS
        .into_iter()
        .flat_map(|(name, checker)| run_one(name, checker, entries, truth))
        .collect()
}

/// A checker that panics has no verdict on the cluster, and must not pass.
fn run_one(
    name: &str,
    checker: Checker,
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    catch_unwind(AssertUnwindSafe(|| checker(entries, truth)))
        .unwrap_or_else(|panic| vec![failed(name, &panicked(&*panic))])
}

/// Runs every checker over a run that had these workloads. The verdict on a workload that recorded no request is
/// unknown. So is the verdict on the order of pipelines, which the register's clients send, if there was no pipeline.
pub fn check_all(
    workloads: &[Workload],
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let mut results = check(entries, truth);
    for workload in workloads {
        let name = workload.name();
        if !results.iter().any(|result| result.subject == name) {
            results.push(Tally::default().finish("any", name));
        }
    }
    let register = Workload::Register;
    let is_pipelined = results
        .iter()
        .any(|it| it.checker == order::pipelined::NAME);
    if workloads.contains(&register) && !is_pipelined {
        results.push(Tally::default().finish(order::pipelined::NAME, register.name()));
    }
    results
}

/// Checks the times in the log of a run that began at this Unix time in milliseconds, by the suite's clock.
pub fn log_time(entries: &[HistoryEntry], truth: &Truth, began_ms: u64) -> CheckerResult {
    let checked = catch_unwind(AssertUnwindSafe(|| times::check(entries, truth, began_ms)));
    checked.unwrap_or_else(|panic| failed(times::NAME, &panicked(&*panic)))
}

/// The result of a check that could not be made.
pub fn failed(checker: &str, why: &str) -> CheckerResult {
    CheckerResult {
        checker: checker.to_owned(),
        subject: "all".to_owned(),
        operations: 0,
        verdict: CheckVerdict::Failed(why.to_owned()),
        notes: Vec::new(),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}

/// Checks that the logs of the nodes do not contradict each other.
fn logs_agree(_entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let mut tally = Tally {
        operations: truth.facts().len(),
        succeeded: truth.facts().len(),
        ..Tally::default()
    };
    for problem in &truth.disagreements {
        tally.violation(Violation::new(problem, None, [], []));
    }
    let mut result = tally.finish("logs", "all");
    result.notes.push(format!("of {} nodes", truth.nodes));
    vec![result]
}

#[cfg(test)]
mod tests;

//! Timers, from the log alone: armed, moved and left as the machine and the clients say, fired once and not before their
//! time, spent with a reason, and none forgotten. The account is the simulation's; see `rstmdb_sim::check::timers`.
//!
//! What clients were told of gates is compared with the log: what was acknowledged is there, what was refused is not.

use crate::chaos::check::ops::{self, InstanceOp, OpAction};
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::{FactKind, TrueFact, Truth};
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
    let of_it = |entry: &&HistoryEntry| entry.workload == Workload::Timer;
    let of_it: Vec<&HistoryEntry> = entries.iter().filter(of_it).collect();
    let timers = &truth.timers;
    let (fired, spent) = (timers.armed.fired(), timers.armed.spent());
    let mut tally = Tally {
        operations: of_it.len(),
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
    for entry in of_it {
        if let Some((problem, id)) = told_wrong(entry, truth) {
            let facts = truth.of_instance(id).rev().take(2);
            tally.violation(Violation::new(problem, Some(id), [entry], facts));
        }
    }
    tally.notes.push(format!("{fired} fired, {spent} spent"));
    vec![tally.finish(NAME, Workload::Timer.name())]
}

/// What is wrong with the answer to a request, and with which instance.
fn told_wrong<'a>(entry: &'a HistoryEntry, truth: &Truth) -> Option<(String, &'a str)> {
    if entry.op == "TIMER_SET" {
        let (id, offset) = (entry.param("instance_id"), &entry.result()?["wal_offset"]);
        let offset = offset.as_u64()?;
        let is_there = is_there(truth, id, |fact| {
            fact.offset == offset && fact.kind == FactKind::Moved
        });
        return (!is_there).then(|| (format!("a move is acknowledged at {offset}"), id));
    }
    let ops = ops::of_any(entry);
    let wrong = |op: &InstanceOp<'a>| Some((op_told_wrong(op, truth)?, op.instance));
    ops.iter().find_map(wrong)
}

fn op_told_wrong(op: &InstanceOp<'_>, truth: &Truth) -> Option<String> {
    let kind = match op.action {
        OpAction::Create { .. } => Some(FactKind::Create),
        OpAction::Event { event_id, .. } => {
            if op.is_refused() {
                let found = truth.of_event(event_id).next()?;
                let offset = found.offset;
                return Some(format!("{event_id} was refused, and is at {offset}"));
            }
            Some(FactKind::Event)
        }
        OpAction::Delete => Some(FactKind::Delete),
        // Firings change the instance as well.
        OpAction::Get => None,
    };
    let offset = op.offset()?;
    let is_it = |fact: &TrueFact| {
        let is_asked = match op.action {
            OpAction::Event { event_id, .. } => fact.event_id.as_deref() == Some(event_id),
            OpAction::Get => op.result().is_some_and(|read| read["state"] == *fact.to),
            OpAction::Create { .. } | OpAction::Delete => true,
        };
        fact.offset == offset && kind.is_none_or(|kind| kind == fact.kind) && is_asked
    };
    let is_there = is_there(truth, op.instance, is_it);
    (!is_there).then(|| format!("it is answered with offset {offset}, where the log has it not"))
}

fn is_there(truth: &Truth, id: &str, is_it: impl Fn(&TrueFact) -> bool) -> bool {
    truth.of_instance(id).any(is_it)
}

//! Keyed requests, sent until answered. Each takes effect once, with any of its attempts, and all answers are
//! equal.

use std::collections::BTreeMap;

use serde_json::Value;

use super::result::{CheckerResult, Tally, Violation};
use super::truth::{TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, RequestOutcome, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "exactly once";

/// Checks every key.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let mut by_key: BTreeMap<&str, Vec<&HistoryEntry>> = BTreeMap::new();
    for entry in entries {
        let key = entry.param("idempotency_key");
        if entry.workload == Workload::Once && !key.is_empty() {
            by_key.entry(key).or_default().push(entry);
        }
    }
    if by_key.is_empty() {
        return Vec::new();
    }
    let mut tally = Tally::default();
    let mut repeated = 0;
    for (key, attempts) in &by_key {
        tally.operations += attempts.len();
        let done = attempts.iter().any(|attempt| attempt.result().is_some());
        tally.succeeded += usize::from(done);
        repeated += usize::from(attempts.len() > 1);
        check_key(key, attempts, truth, &mut tally);
    }
    let keys = by_key.len();
    tally.notes.push(format!(
        "{keys} keys, {repeated} of them sent more than once"
    ));
    vec![tally.finish(NAME, Workload::Once.name())]
}

fn check_key(key: &str, attempts: &[&HistoryEntry], truth: &Truth, tally: &mut Tally) {
    let facts: Vec<&TrueFact> = truth.of_key(key).collect();
    let instance = facts.first().map(|fact| fact.instance.as_str());
    let instance = instance.or(attempts.first().map(|attempt| attempt.param("instance_id")));
    let mut wrong = |problem: String| {
        let entries = attempts.iter().copied();
        let facts = facts.iter().copied();
        tally.violation(Violation::new(problem, instance, entries, facts));
    };
    let answers: Vec<&Value> = attempts.iter().filter_map(|entry| entry.result()).collect();
    let first = answers.first().copied();
    if facts.len() > 1 {
        let offsets: Vec<u64> = facts.iter().map(|fact| fact.offset).collect();
        wrong(format!("{key} took effect more than once, at {offsets:?}"));
    }
    match (first, facts.first()) {
        (Some(_), None) => wrong(format!("{key} was acknowledged, but is not in the log")),
        (Some(answer), Some(fact)) if answer["wal_offset"].as_u64() != Some(fact.offset) => {
            let (told, at) = (&answer["wal_offset"], fact.offset);
            wrong(format!("{key} was acknowledged at {told}, but is at {at}"));
        }
        _ => {}
    }
    let is_other = |answer: &&&Value| first.is_some_and(|first| !are_same(first, answer));
    if answers.iter().any(|answer| is_other(&answer)) {
        wrong(format!("{key} was answered in different ways"));
    }
    let exists = |attempt: &&HistoryEntry| match &attempt.outcome {
        RequestOutcome::Refused { code, .. } => code == "INSTANCE_EXISTS",
        _ => false,
    };
    if !facts.is_empty() && attempts.iter().any(exists) {
        wrong(format!(
            "{key} was refused because of its own earlier effect"
        ));
    }
    let applied = |answer: &&&Value| answer["applied"] == Value::Bool(true);
    let firsts = answers.iter().filter(applied).count();
    if firsts > 1 {
        wrong(format!(
            "{firsts} attempts of {key} were answered as the first"
        ));
    }
}

/// Whether two answers differ only in whether they are the first.
fn are_same(one: &Value, two: &Value) -> bool {
    const FIELDS: [&str; 7] = [
        "wal_offset",
        "instance_id",
        "state",
        "from_state",
        "to_state",
        "ctx",
        "deleted",
    ];
    FIELDS.iter().all(|field| one[field] == two[field])
}

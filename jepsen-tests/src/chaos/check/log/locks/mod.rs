//! Locks: one holder at each place of the log, tokens that grow, and writes that take effect only under the token that
//! holds.
//!
//! The log alone says most of it, by the simulation's account; see `rstmdb_sim::check::locks`. The answers are compared
//! with it here. Besides, the payload of each event says under which token its client has sent it. So it does not matter
//! what the log says of fences, nor which entries the suite's own engine takes.

mod answers;
mod moments;

use std::collections::{BTreeMap, BTreeSet};

use answers::Answers;

use crate::chaos::check::ops::{self, InstanceOp, OpAction};
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::{FactKind, LEDGER, TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "locks";

/// Compares the answers about locks, and to writes under them, with the log.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let of_it = |entry: &&HistoryEntry| entry.workload == Workload::Lock;
    let of_it: Vec<&HistoryEntry> = entries.iter().filter(of_it).collect();
    if of_it.is_empty() {
        return Vec::new();
    }
    let mut tally = Tally {
        operations: of_it.len(),
        ..Tally::default()
    };
    for (offset, problem) in &truth.locks.problems {
        let facts = truth.facts().iter().filter(|fact| fact.offset == *offset);
        let what = format!("at {offset}: {problem}");
        tally.violation(Violation::new(what, None, [], facts));
    }
    check_ledgers(truth, &mut tally);
    check_owners(&of_it, truth, &mut tally);
    check_refused(&of_it, truth, &mut tally);
    let answers = Answers::new(entries, truth);
    for entry in &of_it {
        for problem in answers.problems(entry) {
            tally.violation(Violation::new(problem, None, [*entry], []));
        }
        tally.succeeded += check_fenced(entry, truth, &mut tally);
    }
    let [granted, waited, expired, fenced] = truth.locks.counts();
    tally.notes.push(format!(
        "{granted} granted, {waited} of them after a wait; {expired} expired; {fenced} writes under them"
    ));
    vec![tally.finish(NAME, Workload::Lock.name())]
}

/// In the log, the tokens of each ledger's events never go back, and each entry has the fence that its client has sent.
fn check_ledgers(truth: &Truth, tally: &mut Tally) {
    let of_ledgers = truth
        .facts()
        .iter()
        .filter(|fact| fact.kind == FactKind::Event && fact.instance.starts_with(LEDGER));
    let mut newest: BTreeMap<&str, &TrueFact> = BTreeMap::new();
    for fact in of_ledgers {
        let mut wrong = |what: String, before: Option<&TrueFact>| {
            let facts = before.into_iter().chain([fact]);
            tally.violation(Violation::new(what, Some(&fact.instance), [], facts));
        };
        let (lock, token) = (&fact.payload["lock"], &fact.payload["token"]);
        let fence = &fact.meta["fence"];
        if fence["lock"] != *lock || fence["token"] != *token {
            let what = format!(
                "its client sent it under token {token} of {lock}, and the log has the fence {fence}"
            );
            wrong(what, None);
        }
        let before = newest.insert(&fact.instance, fact);
        let Some(before) = before.filter(|before| token_of(before) > token_of(fact)) else {
            continue;
        };
        let (at, earlier) = (before.offset, token_of(before));
        let what =
            format!("a write under token {token} took effect behind one under {earlier}, at {at}");
        wrong(what, Some(before));
        newest.insert(&fact.instance, before);
    }
}

fn token_of(fact: &TrueFact) -> u64 {
    fact.payload["token"].as_u64().unwrap_or_default()
}

/// No two owners have one token. An owner that was refused at once, at each of its attempts, never gets the lock.
fn check_owners(of_it: &[&HistoryEntry], truth: &Truth, tally: &mut Tally) {
    let mut granted: BTreeMap<(&str, u64), &HistoryEntry> = BTreeMap::new();
    let mut may_have: BTreeSet<(&str, &str)> = BTreeSet::new();
    let asked = |entry: &&&HistoryEntry| entry.op == "LOCK_ACQUIRE";
    for entry in of_it.iter().filter(asked) {
        let (lock, owner) = (entry.param("name"), entry.param("owner"));
        if !answers::is_refused(entry) || !entry.params["wait_ms"].is_null() {
            may_have.insert((lock, owner));
        }
        let token = entry.result().and_then(|result| result["token"].as_u64());
        let Some(token) = token else {
            continue;
        };
        let first = *granted.entry((lock, token)).or_insert(entry);
        if first.param("owner") != owner {
            let what =
                format!("two owners of {lock} were told that they hold it with token {token}");
            tally.violation(Violation::new(what, None, [first, *entry], []));
        }
    }
    for entry in of_it.iter().filter(asked) {
        let (lock, owner) = (entry.param("name"), entry.param("owner"));
        if !may_have.contains(&(lock, owner)) && truth.locks.knows(lock, owner) {
            let what = format!("{owner} was refused {lock}, and the log has it among its owners");
            tally.violation(Violation::new(what, None, [*entry], []));
        }
    }
}

/// A write that was refused because its lock was lost is not in the log.
fn check_refused(of_it: &[&HistoryEntry], truth: &Truth, tally: &mut Tally) {
    let ops: Vec<InstanceOp<'_>> = of_it.iter().flat_map(|entry| ops::of(entry)).collect();
    let event_of = |op: &InstanceOp<'_>| match op.action {
        OpAction::Event { event_id, .. } => Some(event_id.to_owned()),
        OpAction::Create { .. } | OpAction::Delete | OpAction::Get => None,
    };
    // Of several attempts with one key, another one may have taken effect.
    let open = ops.iter().filter(|op| !op.is_refused());
    let open: BTreeSet<String> = open.filter_map(event_of).collect();
    for op in ops.iter().filter(|op| op.is_refused()) {
        let Some(event) = event_of(op).filter(|event| !open.contains(event)) else {
            continue;
        };
        let facts: Vec<&TrueFact> = truth.of_event(&event).collect();
        if !facts.is_empty() {
            let what = format!("{event} was refused, and took effect");
            tally.violation(Violation::new(what, Some(op.instance), [op.entry], facts));
        }
    }
}

/// A write that was acknowledged under a token has its place where this token holds the lock. Gives how many there are in
/// this request.
fn check_fenced(entry: &HistoryEntry, truth: &Truth, tally: &mut Tally) -> usize {
    let fence = &entry.params["fence"];
    let (Some(lock), Some(token)) = (fence["lock"].as_str(), fence["token"].as_u64()) else {
        return 0;
    };
    let of_it = ops::of(entry);
    let offsets: BTreeSet<u64> = of_it.iter().filter_map(InstanceOp::offset).collect();
    for offset in &offsets {
        if let Some(problem) = moments::not_held(truth, lock, token, *offset) {
            let what = format!("acknowledged at {offset} under token {token} of {lock}: {problem}");
            let facts = truth.facts().iter().filter(|fact| fact.offset == *offset);
            let instance = of_it.first().map(|op| op.instance);
            tally.violation(Violation::new(what, instance, [entry], facts));
        }
    }
    offsets.len()
}

//! Money moved between accounts by atomic batches: no money appears or disappears, and every batched read
//! shows one moment of the log.

use std::collections::{BTreeMap, HashMap};

use super::ops::{self, InstanceOp, OpAction};
use super::result::{CheckerResult, Tally, Violation};
use super::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, Workload};

/// The name of the checker.
pub(super) const NAME: &str = "bank";
/// What every account begins with.
pub const CENTS_EACH: i64 = 1000;

/// Checks every transfer and every read.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let mut accounts: BTreeMap<&str, Vec<&TrueFact>> = BTreeMap::new();
    for fact in truth.facts().iter().filter(|fact| is_account(fact)) {
        accounts.entry(&fact.instance).or_default().push(fact);
    }
    let mut tally = Tally::default();
    let mut reads = 0;
    let mut transfers = 0;
    for entry in entries {
        if entry.workload != Workload::Bank || entry.op != "BATCH" {
            continue;
        }
        tally.operations += 1;
        let ops = ops::of(entry);
        if ops.iter().any(InstanceOp::is_write) {
            transfers += usize::from(entry.result().is_some());
            check_transfer(entry, &ops, truth, &mut tally);
        } else if entry.result().is_some() {
            reads += 1;
            check_read(entry, &ops, &accounts, &mut tally);
        }
    }
    if tally.operations == 0 {
        return Vec::new();
    }
    check_sums(truth, &mut tally);
    // Reads without transfers prove nothing, and neither do transfers without reads.
    tally.succeeded = reads.min(transfers);
    tally
        .notes
        .push(format!("{transfers} transfers and {reads} reads were done"));
    vec![tally.finish(NAME, Workload::Bank.name())]
}

fn is_account(fact: &TrueFact) -> bool {
    fact.instance.starts_with("acct-")
}

fn cents(fact: &TrueFact) -> i64 {
    fact.ctx["cents"].as_i64().unwrap_or_default()
}

/// Checks that a transfer took effect whole and at one offset, or not at all.
fn check_transfer(entry: &HistoryEntry, ops: &[InstanceOp<'_>], truth: &Truth, tally: &mut Tally) {
    let facts: Vec<Option<&TrueFact>> = ops
        .iter()
        .filter_map(|op| match op.action {
            OpAction::Event { event_id, .. } => Some(truth.of_event(event_id).next()),
            OpAction::Create { .. } | OpAction::Delete | OpAction::Get => None,
        })
        .collect();
    let offset = |fact: &Option<&TrueFact>| fact.map(|fact| fact.offset);
    let is_whole = facts
        .windows(2)
        .all(|two| offset(&two[0]) == offset(&two[1]));
    if !is_whole {
        let offsets: Vec<Option<u64>> = facts.iter().map(offset).collect();
        let problem = format!("a transfer took effect in part, at {offsets:?}");
        tally.violation(Violation::new(
            problem,
            None,
            [entry],
            facts.into_iter().flatten(),
        ));
    }
}

/// Checks that the accounts of a read add up, and had these values at one moment.
fn check_read(
    entry: &HistoryEntry,
    ops: &[InstanceOp<'_>],
    accounts: &BTreeMap<&str, Vec<&TrueFact>>,
    tally: &mut Tally,
) {
    let mut sum = 0;
    let mut cut = 0;
    for op in ops {
        sum += op
            .result()
            .and_then(|result| result["ctx"]["cents"].as_i64())
            .unwrap_or_default();
        cut = cut.max(op.offset().unwrap_or_default());
    }
    let expected = CENTS_EACH * i64::try_from(ops.len()).unwrap_or_default();
    if sum != expected {
        let problem = format!("a read of all accounts adds up to {sum}, not to {expected}");
        tally.violation(Violation::new(problem, None, [entry], []));
    }
    for op in ops {
        let facts = accounts.get(op.instance).map_or(&[][..], Vec::as_slice);
        let seen = op.offset().unwrap_or_default();
        let after = facts.partition_point(|fact| fact.offset <= seen);
        let Some(next) = facts.get(after).filter(|next| next.offset <= cut) else {
            continue;
        };
        let problem = format!(
            "a read shows no single moment of the log: it shows offset {cut}, but this account as of \
             offset {seen}, which offset {} had replaced by then",
            next.offset
        );
        let others = ops.iter().filter(|op| op.offset() == Some(cut));
        let others = others.filter_map(|op| {
            let facts = accounts.get(op.instance)?;
            facts.iter().find(|fact| fact.offset == cut).copied()
        });
        let facts = others.take(1).chain([*next]);
        tally.violation(Violation::new(problem, Some(op.instance), [entry], facts));
    }
}

/// Checks that every entry of the log keeps the sum of all accounts.
fn check_sums(truth: &Truth, tally: &mut Tally) {
    let mut balances: HashMap<&str, i64> = HashMap::new();
    let moves = |one: &TrueFact| is_account(one);
    let facts: Vec<&TrueFact> = truth.facts().iter().filter(|fact| moves(fact)).collect();
    for entry in facts.chunk_by(|one, two| one.offset == two.offset) {
        let mut change = 0;
        for fact in entry {
            let before = balances.insert(&fact.instance, cents(fact));
            if fact.kind == FactKind::Event {
                change += cents(fact) - before.unwrap_or_default();
            }
        }
        if change != 0 {
            let problem = format!("offset {} changed the sum by {change}", entry[0].offset);
            tally.violation(Violation::new(problem, None, [], entry.iter().copied()));
        }
    }
}

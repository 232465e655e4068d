//! What clients said about their writes stands in the log, unchanged, with the token that they have shown: headers,
//! reason, correlation and cause. Nothing stands there that no client has said.

use serde_json::Value;

use crate::chaos::check::ops::{self, InstanceOp, OpAction};
use crate::chaos::check::result::{CheckerResult, Tally, Violation};
use crate::chaos::check::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::HistoryEntry;
use crate::load::said::FIELDS;

/// The name of the checker.
pub(in crate::chaos::check) const NAME: &str = "metadata";

/// Compares each fact with the request that asked for it.
pub(in crate::chaos::check) fn check(
    entries: &[HistoryEntry],
    truth: &Truth,
) -> Vec<CheckerResult> {
    let mut tally = Tally::default();
    let mut inherited = 0;
    for op in entries.iter().flat_map(ops::of) {
        let Some(fact) = fact_of(&op, truth) else {
            continue;
        };
        tally.operations += 1;
        let says_something = FIELDS
            .iter()
            .any(|field| !op.entry.params[*field].is_null());
        tally.succeeded += usize::from(says_something);
        if let Some(problem) = problem(&op, fact, truth, &mut inherited) {
            tally.violation(Violation::new(
                problem,
                Some(op.instance),
                [op.entry],
                [fact],
            ));
        }
    }
    if tally.operations == 0 || tally.succeeded == 0 && tally.violations.is_empty() {
        // A history without metadata, as of a cluster at the first level.
        return Vec::new();
    }
    tally
        .notes
        .push(format!("{inherited} correlations are those of the cause"));
    vec![tally.finish(NAME, "all")]
}

/// What a request made, if it was the one that made it.
fn fact_of<'a>(op: &InstanceOp<'_>, truth: &'a Truth) -> Option<&'a TrueFact> {
    let of_kind = |kind| {
        let mut facts = truth.of_instance(op.instance);
        facts.find(|fact| fact.kind == kind)
    };
    match op.action {
        OpAction::Event { event_id, .. } => truth.of_event(event_id).next(),
        // Only one client asks for a creation or a deletion, where it was acknowledged.
        OpAction::Create { .. } => of_kind(FactKind::Create).filter(|_| op.result().is_some()),
        OpAction::Delete => of_kind(FactKind::Delete).filter(|_| op.result().is_some()),
        OpAction::Get => None,
    }
}

fn problem(
    op: &InstanceOp<'_>,
    fact: &TrueFact,
    truth: &Truth,
    inherited: &mut usize,
) -> Option<String> {
    let (asked, found) = (&op.entry.params, &fact.meta);
    for field in ["headers", "reason", "causation_id", "fence"] {
        if asked[field] != found[field] {
            return Some(format!(
                "{field} is {}, and the client said {}",
                found[field], asked[field]
            ));
        }
    }
    // A keyed request may be one attempt of several, under different tokens.
    let is_alone = op.result().is_some() && asked["idempotency_key"].is_null();
    let actor = found["actor"].as_str().unwrap_or_default();
    if is_alone && actor != op.entry.actor {
        return Some(format!(
            "the actor is {actor:?}, and it was {:?}",
            op.entry.actor
        ));
    }
    if !asked["correlation_id"].is_null() || found["correlation_id"].is_null() {
        let same = asked["correlation_id"] == found["correlation_id"];
        return (!same).then(|| format!("the correlation is {}", found["correlation_id"]));
    }
    *inherited += 1;
    let cause = asked["causation_id"].as_str();
    let cause = cause.and_then(|cause| cause.parse::<u64>().ok());
    let of_cause = cause.and_then(|offset| correlation_at(truth, offset));
    (of_cause != Some(&found["correlation_id"])).then(|| {
        format!(
            "the correlation is {}, and that of the cause {:?} is {of_cause:?}",
            found["correlation_id"], asked["causation_id"]
        )
    })
}

fn correlation_at(truth: &Truth, offset: u64) -> Option<&Value> {
    let facts = truth.facts();
    let at = facts.partition_point(|fact| fact.offset < offset);
    let fact = facts.get(at).filter(|fact| fact.offset == offset)?;
    Some(&fact.meta["correlation_id"])
}

//! Questions. The answer to a client must be what the instance allows at some moment between the question and the
//! answer. A question must leave nothing in the log.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::result::{CheckerResult, Tally, Violation};
use super::truth::{FactKind, TrueFact, Truth};
use crate::chaos::history::{HistoryEntry, RequestOutcome, Workload};
use crate::load::machines::{ModelRefusal, Moved, TestMachine};

/// The name of the checker.
pub(super) const NAME: &str = "asking";

/// What was acknowledged of one instance: when each answer came, and its offset.
type Acknowledged<'a> = BTreeMap<&'a str, Vec<(u64, u64)>>;

/// Checks every question.
pub(super) fn check(entries: &[HistoryEntry], truth: &Truth) -> Vec<CheckerResult> {
    let asked = |entry: &&HistoryEntry| entry.workload == Workload::Asking;
    let mut tally = Tally::default();
    let acknowledged = acknowledged(entries);
    for entry in entries.iter().filter(asked) {
        tally.operations += 1;
        tally.succeeded += usize::from(entry.result().is_some());
        let id = entry.param("instance_id");
        let before = acknowledged.get(id).map_or(&[][..], Vec::as_slice);
        let before = &before[..before.partition_point(|(ended, _)| *ended <= entry.begun)];
        let due = before.iter().map(|(_, offset)| *offset).max().unwrap_or(0);
        if let Some((problem, fact)) = problem(entry, due, truth) {
            tally.violation(Violation::new(problem, Some(id), [entry], fact));
        }
    }
    match tally.operations {
        0 => Vec::new(),
        _ => vec![tally.finish(NAME, Workload::Asking.name())],
    }
}

fn acknowledged(entries: &[HistoryEntry]) -> Acknowledged<'_> {
    let mut all = Acknowledged::new();
    for entry in entries.iter().filter(|entry| entry.op == "APPLY_EVENT") {
        let offset = entry.result().and_then(|done| done["wal_offset"].as_u64());
        if let Some(offset) = offset {
            let of_instance = all.entry(entry.param("instance_id")).or_default();
            of_instance.push((entry.ended, offset));
        }
    }
    all.values_mut().for_each(|answers| answers.sort_unstable());
    all
}

/// With these errors a node says that it cannot answer now. They say nothing about the instance.
const NOT_DECIDED: [&str; 4] = ["NO_LEADER", "TIMEOUT", "RATE_LIMITED", "READ_ONLY_MODE"];

/// What is wrong with an answer. `due` is the offset of the last change that was acknowledged before the question.
fn problem<'a>(
    entry: &HistoryEntry,
    due: u64,
    truth: &'a Truth,
) -> Option<(String, Option<&'a TrueFact>)> {
    let id = entry.param("instance_id");
    if let RequestOutcome::Refused { code, .. } = &entry.outcome {
        // Before the instance was created, as far as that was not acknowledged.
        let is_early = code == "INSTANCE_NOT_FOUND" && due == 0;
        if is_early || NOT_DECIDED.contains(&code.as_str()) {
            return None;
        }
    }
    if entry.op == "ALLOWED_EVENTS" {
        return match &entry.outcome {
            RequestOutcome::Ok(told) => allowed(entry, told, due, truth),
            RequestOutcome::Refused { code, .. } => {
                Some((format!("what is allowed was refused with {code}"), None))
            }
            RequestOutcome::Unknown { .. } => None,
        };
    }
    if let Some(fact) = truth.of_event(entry.param("event_id")).next() {
        let problem = format!("a dry run took effect at {}", fact.offset);
        return Some((problem, Some(fact)));
    }
    if let RequestOutcome::Ok(told) = &entry.outcome
        && (told["dry_run"] != Value::Bool(true) || !told["wal_offset"].is_null())
    {
        return Some(("a dry run was answered as a write".to_owned(), None));
    }
    if matches!(entry.outcome, RequestOutcome::Unknown { .. }) {
        return None;
    }
    // The last version before the question, and every later one.
    let facts: Vec<&TrueFact> = truth.of_instance(id).collect();
    let from = facts.partition_point(|fact| fact.offset < due);
    let explained = facts[from..].iter().any(|fact| explains(entry, fact));
    match explained {
        true => None,
        false => Some((
            format!("no version of {id} from {due} on gives this answer"),
            None,
        )),
    }
}

/// Whether an instance at this fact gives the answer to a dry run.
fn explains(entry: &HistoryEntry, fact: &TrueFact) -> bool {
    let event = entry.param("event");
    let payload = &entry.params["payload"];
    match (&entry.outcome, next(fact, event, payload)) {
        (RequestOutcome::Ok(told), Some(Ok(moved))) => {
            told["from_state"] == *fact.to
                && told["to_state"] == *moved.state
                && told["ctx"] == Value::Object(moved.ctx)
                && told["would"]["emits"] == json!(moved.emits)
        }
        // Another client was faster, after this one has read. A leader compares offsets before it looks at the event.
        (RequestOutcome::Refused { code, details }, Some(_)) if code == "CONFLICT" => {
            details["actual_wal_offset"] == fact.offset
                && entry.params["expected_wal_offset"] != fact.offset
        }
        (RequestOutcome::Refused { code, details }, Some(Err(why))) => {
            let named = details["current_state"].as_str();
            *code == why.code() && named.is_none_or(|named| named == fact.to)
        }
        _ => false,
    }
}

/// What an event does from a fact on, by the model; `None` if the instance is not there.
fn next(fact: &TrueFact, event: &str, payload: &Value) -> Option<Result<Moved, ModelRefusal>> {
    let machine =
        TestMachine::from_name(&fact.machine).filter(|_| fact.kind != FactKind::Delete)?;
    let payload = payload.as_object().cloned();
    Some(machine.event(&fact.to, event, fact.ctx.as_object()?, payload))
}

/// What is wrong with the answer to ALLOWED_EVENTS.
fn allowed<'a>(
    entry: &HistoryEntry,
    told: &Value,
    due: u64,
    truth: &'a Truth,
) -> Option<(String, Option<&'a TrueFact>)> {
    let id = entry.param("instance_id");
    let offset = told["last_wal_offset"].as_u64().unwrap_or_default();
    let shown = truth
        .of_instance(id)
        .rev()
        .find(|fact| fact.offset == offset);
    let Some(fact) = shown.filter(|fact| told["state"] == *fact.to) else {
        let problem = format!("it shows {id} at {offset} in another state than the log");
        return Some((problem, shown));
    };
    if offset < due {
        let problem = format!("it shows {id} at {offset}, and {due} was acknowledged before");
        return Some((problem, Some(fact)));
    }
    let events = told["events"].as_array().map_or(&[][..], Vec::as_slice);
    let all = match fact.machine.as_str() {
        "parcel" => &TestMachine::PARCEL_EVENTS[..],
        _ => &TestMachine::ORDER_EVENTS,
    };
    for event in all.iter().copied() {
        let shown = events.iter().find(|shown| shown["event"] == event);
        let shown = shown.map(|shown| (&shown["outcome"], &shown["to_state"]));
        let fits = match next(fact, event, &entry.params["payloads"][event])? {
            Ok(moved) => shown == Some((&json!("taken"), &json!(moved.state))),
            Err(ModelRefusal::InvalidTransition) => shown.is_none(),
            Err(_) => shown == Some((&json!("refused"), &Value::Null)),
        };
        if !fits {
            let problem = format!(
                "it shows {event} as {shown:?}, which is not what {} gives",
                fact.to
            );
            return Some((problem, Some(fact)));
        }
    }
    None
}

//! The details of refusals that have many.

use serde_json::{Value, json};

use super::{Offset, Refusal, TRIED, Tried};

impl Refusal {
    /// The details of what is not as the client expects.
    pub(super) fn conflict_details(&self) -> Value {
        match self {
            Self::StateConflict {
                expected_state,
                actual_state,
            } => json!({ "expected_state": expected_state, "actual_state": actual_state }),
            Self::OffsetConflict {
                expected_wal_offset,
                actual_wal_offset,
            } => json!({
                "expected_wal_offset": expected_wal_offset,
                "actual_wal_offset": Offset(*actual_wal_offset).to_json(),
            }),
            Self::KeyConflict {
                idempotency_key,
                actual_wal_offset,
            } => json!({
                "idempotency_key": idempotency_key,
                "actual_wal_offset": Offset(*actual_wal_offset).to_json(),
            }),
            _ => json!({}),
        }
    }

    /// The details of what a definition's parts refuse.
    pub(super) fn evaluation_details(&self) -> Value {
        match self {
            Self::GuardFailed {
                current_state,
                event,
                guards,
                guards_left_out,
                errors,
                tried,
            } => {
                let tried: Vec<Value> = tried.iter().map(Tried::to_json).collect();
                let mut details = json!({
                    "current_state": current_state,
                    "event": event,
                    "guards": guards,
                    TRIED: tried,
                });
                if *guards_left_out > 0 {
                    details["guards_left_out"] = json!(guards_left_out);
                }
                if errors.iter().any(Option::is_some) {
                    details["errors"] = json!(errors);
                }
                details
            }
            Self::DefinitionFaults { faults } => {
                let faults = faults
                    .iter()
                    .map(|it| json!({ "place": it.place, "text": it.text }));
                json!({ "field": "definition", "faults": faults.collect::<Vec<_>>() })
            }
            Self::ExpressionFailed { place, why } | Self::ExpressionLimit { place, why } => {
                json!({ "place": place, "why": why })
            }
            Self::SchemaFailed {
                of,
                path,
                rule,
                why,
            } => json!({ "of": of, "path": path, "rule": rule, "why": why }),
            _ => json!({}),
        }
    }
}

/// Which versions of a machine instances have.
pub(super) fn in_use(machine: &str, used: &[(u32, u64)]) -> Value {
    let versions = used
        .iter()
        .map(|(version, instances)| json!({ "version": version, "instances": instances }));
    let versions: Vec<Value> = versions.collect();
    let instances: u64 = used.iter().map(|(_, instances)| instances).sum();
    json!({ "machine": machine, "instances": instances, "versions": versions })
}

/// What the client lacks.
pub(super) fn forbidden(verb: &str, machine: Option<&str>) -> Value {
    match machine {
        Some(machine) => json!({ "needs": { "verb": verb, "machine": machine } }),
        None => json!({ "needs": { "verb": verb } }),
    }
}

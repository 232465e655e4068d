//! What clients say about their writes.

use super::fixtures::*;
use super::*;

/// Two writes of a register, the second caused by the first: what the log has of both.
fn judge(first: Value, second: Value) -> CheckerResult {
    let (mut log, mut history) = register(json!({"v": 0}), 2);
    let said = [
        json!({"headers": {"a": "b"}, "reason": "why", "correlation_id": "w"}),
        json!({"causation_id": "11"}),
    ];
    for (at, said) in said.into_iter().enumerate() {
        let params = history.entries[at].params.as_object_mut().unwrap();
        params.extend(said.as_object().unwrap().clone());
        history.entries[at].actor = "token:1".to_owned();
    }
    log.facts[1].meta = first;
    log.facts[2].meta = second;
    result(&history.entries, &log.truth(), "metadata", "all")
}

fn first() -> Value {
    json!({"actor": "token:1", "headers": {"a": "b"}, "reason": "why", "correlation_id": "w"})
}

#[test]
fn what_was_said_and_what_follows_from_the_cause_is_valid() {
    for second in [
        json!({"actor": "token:1", "causation_id": "11", "correlation_id": "w"}),
        // The node that decided no longer had the cause.
        json!({"actor": "token:1", "causation_id": "11"}),
    ] {
        let found = judge(first(), second);
        assert_eq!(found.verdict, CheckVerdict::Valid, "{found}");
    }
}

#[test]
fn what_is_lost_changed_or_invented_is_found() {
    let second = json!({"actor": "token:1", "causation_id": "11", "correlation_id": "w"});
    for (field, value, finds) in [
        ("headers", Value::Null, "headers is null"),
        ("headers", json!({"a": "c"}), "headers is"),
        ("reason", json!("because"), "reason is"),
        ("causation_id", json!("3"), "causation_id is"),
        ("actor", json!("token:2"), "the actor is"),
        ("correlation_id", json!("v"), "the correlation is"),
    ] {
        let mut wrong = first();
        wrong[field] = value;
        let second = match field {
            "correlation_id" => json!({"actor": "token:1", "causation_id": "11"}),
            _ => second.clone(),
        };
        assert_finds(&judge(wrong, second), finds);
    }
    let other = json!({"actor": "token:1", "causation_id": "11", "correlation_id": "v"});
    assert_finds(&judge(first(), other), "that of the cause");
}
